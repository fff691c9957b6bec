package media

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"syscall"

	"code.dny.dev/ssrf"
)

// plainError tells in words for callers what went wrong, and nothing of our network: not the address that a name stood
// for, nor the resolver that was asked. Its cause is for the code.
type plainError struct {
	text  string
	cause error
}

// Error returns the words.
func (e *plainError) Error() string { return e.text }

// Unwrap returns the cause, whose words are not to be told.
func (e *plainError) Unwrap() error { return e.cause }

// withoutQuotes returns an error of the client that is safe to print. *url.Error quotes the link, and
// others of net/http quote redirects and malformed answers, in which a server can repeat the link; those of net name
// addresses of our network. Only errors that are known to do neither pass.
func withoutQuotes(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if plain, ok := errors.AsType[*plainError](err); ok {
		return plain // What wraps it names an address.
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return err
	}
	for _, plain := range []error{ErrBlocked, errRedirects, errSlow, context.Canceled, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, plain) {
			return err
		}
	}
	if text := plainly(err); text != "" {
		return &plainError{text, err}
	}
	return errAnswer
}

// plainly says what befell a connection, or nothing where it was something else.
func plainly(err error) string {
	failed, isNet := errors.AsType[net.Error](err)
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

// blocked is the guard's refusal of an address, which it does not name: what a name stands for in our network is not
// for everyone to ask.
func blocked(cause error) error {
	text := "the address is not public"
	switch {
	case errors.Is(cause, ssrf.ErrProhibitedPort):
		text = "the port is not 80 or 443"
	case errors.Is(cause, ssrf.ErrProhibitedNetwork):
		text = "it is not TCP"
	}
	return &plainError{fmt.Sprintf("%v: %s", ErrBlocked, text), fmt.Errorf("%w: %w", ErrBlocked, cause)}
}
