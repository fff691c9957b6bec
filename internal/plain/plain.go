// Package plain describes failed connections in messages for callers. The messages say nothing about our network: no IP
// address, no socket, no resolver.
package plain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"syscall"
)

// Error is an error whose text callers may see. Its cause is for code and logs.
type Error struct {
	Text  string
	Cause error
}

// Error returns the text.
func (e *Error) Error() string { return e.Text }

// Unwrap returns the cause. Callers must not see its text.
func (e *Error) Unwrap() error { return e.Cause }

// Hidden returns the text of the cause that an Error in err hides from callers. It is for logs. It is empty if err has
// no such cause.
func Hidden(err error) string {
	if e, ok := errors.AsType[*Error](err); ok && e.Cause != nil {
		return e.Cause.Error()
	}
	return ""
}

// Network describes the failure of a connection. It returns "" for other errors.
func Network(err error) string {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // A url.Error always implements net.Error, so look at its cause.
	}
	if name, ok := errors.AsType[*net.DNSError](err); ok {
		switch {
		case name.IsNotFound:
			return fmt.Sprintf("host %s does not resolve", name.Name)
		case name.IsTimeout:
			return fmt.Sprintf("host %s could not be looked up in time", name.Name)
		default:
			return fmt.Sprintf("host %s can't be looked up now", name.Name)
		}
	}
	failed, isNet := errors.AsType[net.Error](err)
	if _, bare := failed.(syscall.Errno); bare {
		isNet = false // Every Errno implements net.Error, even that of a full disk. A connection error wraps the Errno in another net.Error.
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded), isNet && failed.Timeout():
		return "no answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to the host"
	case isNet:
		return "the connection failed"
	default:
		return ""
	}
}
