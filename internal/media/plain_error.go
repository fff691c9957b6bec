package media

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/url"

	"code.dny.dev/ssrf"

	"github.com/refract-video/refract/internal/plain"
)

// withoutQuotes returns an error of the client that is safe to print. *url.Error quotes the link, and
// others of net/http quote redirects and malformed answers, in which a server can repeat the link; those of net name
// addresses of our network. Only errors that are known to do neither pass.
func withoutQuotes(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if safe, ok := errors.AsType[*plain.Error](err); ok {
		return safe // What wraps it names an address.
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return err
	}
	for _, known := range []error{ErrBlocked, errRedirects, errSlow, context.Canceled, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, known) {
			return err
		}
	}
	if text := plain.Network(err); text != "" {
		return &plain.Error{Text: text, Cause: err}
	}
	return errAnswer
}

// blocked is the guard's refusal of an address. It does not name the address, so that a caller can't use the service to
// resolve the names of our network.
func blocked(cause error) error {
	text := "the address is not public"
	switch {
	case errors.Is(cause, ssrf.ErrProhibitedPort):
		text = "the port is not 80 or 443"
	case errors.Is(cause, ssrf.ErrProhibitedNetwork):
		text = "it is not TCP"
	}
	return &plain.Error{Text: fmt.Sprintf("%v: %s", ErrBlocked, text), Cause: fmt.Errorf("%w: %w", ErrBlocked, cause)}
}
