package pglocal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// password reads the superuser's password. It makes one when there is no data yet.
func (f *folder) password(user account) (string, error) {
	name := f.passwordFile()
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if _, dataErr := os.Lstat(f.data()); dataErr == nil {
			return "", fmt.Errorf("read the password of the cluster: %w", err)
		}
		return f.makePassword(user)
	}
	if err != nil {
		return "", fmt.Errorf("read the password of the cluster: %w", err)
	}
	defer file.Close() //nolint:errcheck // nothing was written
	content, err := io.ReadAll(io.LimitReader(file, 1<<10))
	if err != nil {
		return "", fmt.Errorf("read the password of the cluster: %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}

func (f *folder) passwordFile() string { return filepath.Join(f.path, "password") }

// makePassword belongs to the server's account, since initdb reads it. The rename makes sure that there is all of it or none.
func (f *folder) makePassword(user account) (string, error) {
	file, err := os.CreateTemp(f.path, "password-*") // 0600
	if err != nil {
		return "", fmt.Errorf("make the password of the cluster: %w", err)
	}
	password := rand.Text()
	_, err = file.WriteString(password + "\n")
	err = errors.Join(err, user.own(file), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), f.passwordFile())
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return "", fmt.Errorf("make the password of the cluster: %w", err)
	}
	return password, nil
}

// create makes the data directory under another name and renames it, so that a directory named data is always complete.
func (f *folder) create(ctx context.Context, spec serverSpec) error {
	fresh := f.data() + ".new"
	if err := os.RemoveAll(fresh); err != nil { // what an interrupted create left; it never held data
		return fmt.Errorf("clear unfinished cluster: %w", err)
	}
	if err := os.Mkdir(fresh, 0o700); err != nil {
		return fmt.Errorf("make cluster: %w", err)
	}
	dir, err := os.Open(fresh)
	if err != nil {
		return fmt.Errorf("make cluster: %w", err)
	}
	if err := errors.Join(spec.user.own(dir), dir.Close()); err != nil {
		return fmt.Errorf("make cluster: %w", err)
	}

	args := []string{
		"--pgdata=" + fresh, "--username=" + superuser, "--pwfile=" + f.passwordFile(), "--auth=scram-sha-256",
		"--locale=C", "--encoding=UTF8", "--no-instructions",
	}
	noSync := spec.cfg.Settings["fsync"] == "off"
	if noSync {
		args = append(args, "--no-sync")
	}
	output := &logTail{logger: spec.cfg.Logger}
	cmd := spec.user.command(f.path, spec.bin.path("initdb"), args...)
	cmd.Stdout, cmd.Stderr = output, output
	spec.waiting.detailedStep("creating the cluster", output.attrs)
	if err := runProcess(ctx, cmd, output); err != nil {
		return fmt.Errorf("make cluster in %s: %w", f.path, err)
	}
	if err := os.Rename(fresh, f.data()); err != nil {
		return fmt.Errorf("make cluster: %w", err)
	}
	if noSync {
		return nil
	}
	return syncDir(f.path)
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync data folder: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("sync data folder: %w", err)
	}
	return nil
}
