package pglocal

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// childAttr makes the kernel send SIGINT, PostgreSQL's fast shutdown, when this process dies without cleanup.
func childAttr(credential *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: credential, Setpgid: true, Pdeathsig: syscall.SIGINT}
}

// commandLine returns the arguments of a process, or none if the process has ended. Root without further capabilities, as
// in a container, may not read more of another user's process.
func commandLine(pid int) []string {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return nil
	}
	return strings.Split(string(content), "\x00")
}
