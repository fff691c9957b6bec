package pglocal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

const (
	lockName = "refract.lock"
	// TemporaryPrefix begins the names of temporary folders, which RemoveAbandoned removes.
	TemporaryPrefix = "refract-postgres-"
)

// folder is an opened and locked data folder:
//
//	refract.lock   marks the folder as ours; locked while a process uses it; holds that process's id
//	password       the superuser's password, 0600
//	data           the PostgreSQL data directory, 0700
//	data.new       one that is being made; becomes data when it is complete
//
// When Refract runs as root the folder and its lock stay root's, so that the account PostgreSQL runs as cannot put
// symbolic links in the way of what root opens here.
type folder struct {
	path      string
	temporary bool
	lock      *os.File
	release   func() error
}

// DefaultDataDir returns the folder for the cluster of the present user: /var/lib/refract/postgres for root, whose home
// PostgreSQL could not enter, otherwise refract/postgres in $XDG_DATA_HOME or ~/.local/share.
func DefaultDataDir() (string, error) {
	if isRoot() {
		return "/var/lib/refract/postgres", nil
	}
	// The XDG rules say that a relative path is to be ignored.
	if base := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "refract", "postgres"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("choose a data folder: %w", err)
	}
	return filepath.Join(home, ".local", "share", "refract", "postgres"), nil
}

// openFolder creates the folder when it is missing, makes sure that it is empty or ours before anything in it is changed,
// and locks it. An empty path means a temporary folder in tempDir.
func openFolder(path, tempDir string) (*folder, error) {
	temporary := path == ""
	path, err := makeFolder(path, tempDir)
	if err != nil {
		return nil, err
	}
	f := &folder{path: path, temporary: temporary}
	f.release = sync.OnceValue(func() error {
		var errs []error
		if f.temporary {
			errs = append(errs, os.RemoveAll(f.path))
		}
		if f.lock != nil {
			errs = append(errs, unlock(f.lock))
		}
		return errors.Join(errs...)
	})
	if err := f.checkOurs(); err != nil {
		return nil, errors.Join(err, f.close())
	}
	if err := f.acquire(); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// makeFolder returns the absolute path without symbolic links, so that each run names the folder in the same way.
func makeFolder(path, tempDir string) (_ string, err error) {
	create := false
	if path == "" {
		create = true
		if path, err = os.MkdirTemp(tempDir, TemporaryPrefix); err == nil {
			path, err = filepath.Abs(path)
		}
	} else if path, err = filepath.Abs(path); err == nil {
		_, statErr := os.Lstat(path)
		create = errors.Is(statErr, fs.ErrNotExist)
		err = os.MkdirAll(path, folderMode())
	}
	if err != nil {
		return "", fmt.Errorf("make data folder: %w", err)
	}
	if create { // whatever the umask
		if err := os.Chmod(path, folderMode()); err != nil {
			return "", fmt.Errorf("make data folder: %w", err)
		}
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", fmt.Errorf("make data folder: %w", err)
	}
	return path, nil
}

// folderMode lets the account that PostgreSQL runs as pass through a folder of root's.
func folderMode() fs.FileMode {
	if isRoot() {
		return 0o711
	}
	return 0o700
}

func (f *folder) checkOurs() error {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return fmt.Errorf("look into data folder: %w", err)
	}
	foreign := ""
	for _, e := range entries {
		switch e.Name() {
		case lockName:
			return nil
		case "lost+found": // a fresh file system
		default:
			foreign = e.Name()
		}
	}
	if foreign != "" {
		return fmt.Errorf("data folder %s: it holds %q and is not a cluster made by refract: choose an empty or a new folder", f.path, foreign)
	}
	return nil
}

// acquire takes the lock, which ends with the process whatever happens to it.
func (f *folder) acquire() error {
	lock, err := os.OpenFile(filepath.Join(f.path, lockName), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("lock data folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		owner, _ := io.ReadAll(io.LimitReader(lock, 20))
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("data folder %s: another refract process uses it (process id %s)", f.path, strings.TrimSpace(string(owner)))
		}
		return fmt.Errorf("lock data folder %s: %w", f.path, err)
	}
	f.lock = lock
	// It only helps the reader of the message above.
	if lock.Truncate(0) == nil {
		_, _ = lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return nil
}

// unlock gives a lock up and closes its file. Closing alone would leave the lock to a process that is being started at this moment: it
// has all files until it runs its program.
func unlock(lock *os.File) error {
	return errors.Join(syscall.Flock(int(lock.Fd()), syscall.LOCK_UN), lock.Close())
}

func (f *folder) data() string { return filepath.Join(f.path, "data") }

// close gives the folder free, and removes it when it is temporary. The server must be gone.
func (f *folder) close() error { return f.release() }

// major returns the major version that made the data, 0 when there is none yet.
func (f *folder) major() (int, error) {
	if _, err := os.Lstat(f.data()); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	content, err := os.ReadFile(filepath.Join(f.data(), "PG_VERSION"))
	if err != nil {
		return 0, fmt.Errorf("read the version of the data: %w", err)
	}
	word, _, _ := strings.Cut(strings.TrimSpace(string(content)), ".")
	major, err := strconv.Atoi(word)
	if err != nil || major <= 0 {
		return 0, fmt.Errorf("%s/PG_VERSION: it names no version", f.data())
	}
	return major, nil
}

// TempDir makes a folder for data that is removed soon, a private PostgreSQL below it. That of a root user runs as another user,
// who must be able to enter the folder.
func TempDir(pattern string) (string, error) {
	dir, err := os.MkdirTemp("", pattern)
	if err != nil {
		return "", fmt.Errorf("make a folder for data: %w", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // It holds nothing but folders with modes of their own.
		return "", fmt.Errorf("make a folder for data: %w", err)
	}
	return dir, nil
}
