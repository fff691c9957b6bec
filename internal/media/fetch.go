package media

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// ErrLinkDead means that the link is expired, withdrawn or malformed. A fresh link may help.
var ErrLinkDead = errors.New("the link is dead")

// errAnswer stands for every error that might quote the server.
var errAnswer = errors.New("the answer is not usable HTTP")

// fetch asks for link and returns the answer when it is 200 OK; the caller closes its body.
func fetch(ctx context.Context, client *http.Client, link string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: it is not a URL", ErrLinkDead) // The cause quotes the link.
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, withoutQuotes(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	_ = resp.Body.Close()
	return nil, statusError(resp.StatusCode)
}

func statusError(code int) error {
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone,
		http.StatusBadRequest: // What Google Cloud Storage answers to an expired signature, and S3 to an expired session.
		return fmt.Errorf("%w: status %d", ErrLinkDead, code)
	default:
		return fmt.Errorf("status %d", code)
	}
}

// withoutQuotes returns an error of the client that is safe to print. *url.Error quotes the link, and
// others of net/http quote redirects and malformed answers, in which a server can repeat the link:
// only errors that are known to quote neither pass.
func withoutQuotes(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return err
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return err
	}
	for _, plain := range []error{
		ErrBlocked, errRedirects, errSilent, context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF,
	} {
		if errors.Is(err, plain) {
			return err
		}
	}
	return errAnswer
}

// origin is the part of a link that may be told: scheme and host.
func origin(link string) string {
	u, err := url.Parse(link)
	if err != nil {
		return "a malformed link"
	}
	return u.Scheme + "://" + u.Host
}
