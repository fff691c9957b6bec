// Package plain says in words for callers what befell a connection, and nothing of our network: not the address that a
// name stood for, nor the socket, nor the resolver that was asked.
package plain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"syscall"
)

// Error says plainly what went wrong. Its cause is for code and logs.
type Error struct {
	Text  string
	Cause error
}

// Error returns the words.
func (e *Error) Error() string { return e.Text }

// Unwrap returns the cause, whose words are not to be told.
func (e *Error) Unwrap() error { return e.Cause }

// Hidden returns the words of the cause that an Error in err keeps from callers, for a log; empty without one.
func Hidden(err error) string {
	if e, ok := errors.AsType[*Error](err); ok && e.Cause != nil {
		return e.Cause.Error()
	}
	return ""
}

// Network says what befell a connection, or nothing where it was something else.
func Network(err error) string {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // It would pass for an error of the network, whatever it wraps.
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
		isNet = false // Every errno is a net.Error, that of a full disk too; an error of a connection wraps its own.
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
