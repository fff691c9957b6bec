package wire

import (
	"errors"
	"syscall"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of linux/tcp.h, which package syscall does not name.
const tcpUserTimeout = 0x12

// boundUnacknowledged makes the kernel give a connection up that has had data unacknowledged for SubmitTimeout. Without it the
// kernel goes on sending what a process gave it for a quarter of an hour, though the process was stopped or has closed the
// connection, and a request that met a dead network arrives when that works again.
func boundUnacknowledged(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(SubmitTimeout.Milliseconds()))
	})
	return errors.Join(err, failed)
}
