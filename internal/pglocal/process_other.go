//go:build unix && !linux

package pglocal

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// childAttr cannot bind the child's life to ours here; stopLeftover makes up for it.
func childAttr(credential *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: credential, Setpgid: true}
}

// commandLine returns the arguments of a process, none when it is gone. A path with spaces comes in pieces, so that its
// server is not recognised: PostgreSQL then refuses to start a second one.
func commandLine(pid int) []string {
	out, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output() //nolint:noctx // local and short
	if err != nil {
		return nil
	}
	return strings.Fields(string(out))
}
