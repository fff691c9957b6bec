package pglocal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// inherited are the environment variables that PostgreSQL gets from us. NOTE: not all of them, since ours hold API keys,
// and a PGDATA or PGOPTIONS of the user's must not change a private server.
var inherited = []string{"PATH", "TZ", "LD_LIBRARY_PATH"}

// account is the user as whom PostgreSQL runs. The zero value is the user we run as.
type account struct {
	name       string
	credential *syscall.Credential
}

// serverAccount returns the account that runs the server. For root, as whom PostgreSQL refuses to run, that is the owner of the
// data, which PostgreSQL requires, and without data one of two system users. For others it is their own account.
func serverAccount(data string) (account, error) {
	if !isRoot() {
		return account{}, nil
	}
	if info, err := os.Lstat(data); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
			return newAccount(strconv.FormatUint(uint64(st.Uid), 10), st.Uid, st.Gid), nil
		}
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr == nil && gidErr == nil && uid != 0 {
			return newAccount(name, uint32(uid), uint32(gid)), nil
		}
	}
	return account{}, errors.New("run postgres as root: it refuses, and there is no user postgres or nobody: " +
		"run refract as another user, or pass --database-url")
}

func newAccount(name string, uid, gid uint32) account {
	return account{name: name, credential: &syscall.Credential{Uid: uid, Gid: gid}}
}

// command prepares a child that works in dir as this user. There is no shell, and no context either: the life of the child
// is managed by [process].
func (a account) command(dir, path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...) //nolint:noctx,gosec // see above; the path was found by findBinaries
	cmd.Dir = dir
	cmd.SysProcAttr = childAttr(a.credential)
	cmd.Env = []string{"LC_ALL=C"}
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	return cmd
}

// own makes the file this user's.
func (a account) own(file *os.File) error {
	if a.credential == nil {
		return nil
	}
	return file.Chown(int(a.credential.Uid), int(a.credential.Gid))
}

// checkEnter finds out whether the user can enter dir by letting a harmless child do so: that also honours access lists
// and security modules.
func (a account) checkEnter(ctx context.Context, bin binaries, dir string) error {
	if a.credential == nil {
		return nil
	}
	output := &logTail{}
	cmd := a.command(dir, bin.path("postgres"), "--version")
	cmd.Stdout, cmd.Stderr = output, output
	err := runProcess(ctx, cmd, output)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("data folder %s: postgres runs as user %s, since it refuses to run as root, and that user cannot enter the folder: "+
			"choose one outside of private folders, such as /var/lib/refract/postgres, or pass --database-url", dir, a.name)
	}
	return err
}
