package httpapi

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
)

// maxBody bounds the bodies of REST requests in bytes, as the gRPC server bounds its own.
const maxBody = 3 << 20

// admitted hands on requests whose body is complete and within its bound and whose URL is text, without
// what the gateway would add to the metadata of a call on its own.
func admitted(refusals refuser, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isText(r.URL) {
			refusals.invalid(w, "", "the URL is not UTF-8 text")
			return
		}
		body, err := readBody(w, r, maxBody)
		if err != nil {
			refusals.refuseBody(w, err)
			return
		}
		r = r.WithContext(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
		// The gateway forwards these as x-forwarded-for and x-forwarded-host, whatever its matcher says.
		r.Host, r.RemoteAddr = "", ""
		r.Header = r.Header.Clone()
		r.Header.Del("X-Forwarded-For")
		r.Header.Del("X-Forwarded-Host")
		next.ServeHTTP(w, r)
	})
}

// isText tells whether path and query are valid UTF-8, as strings in messages must be.
func isText(u *url.URL) bool {
	query, err := url.QueryUnescape(u.RawQuery)
	return err == nil && utf8.ValidString(query) && utf8.ValidString(u.Path)
}

// errBodyTooLarge means that a body is over its bound.
var errBodyTooLarge = errors.New("the body is too large")

// readBody returns the whole body, or errBodyTooLarge.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, errBodyTooLarge // Told from the header: a client that waits for "100 Continue" sends nothing.
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return nil, errBodyTooLarge
	}
	return body, err
}

// refuseBody answers a request whose body could not be read. The connection ends with it, since the rest
// of the body may still be on its way.
func (f refuser) refuseBody(w http.ResponseWriter, err error) {
	w.Header().Set("Connection", "close")
	switch {
	case errors.Is(err, errBodyTooLarge):
		f.refuse(w, http.StatusRequestEntityTooLarge, codes.ResourceExhausted, "the body is too large")
	case errors.Is(err, os.ErrDeadlineExceeded):
		f.refuse(w, http.StatusRequestTimeout, codes.DeadlineExceeded, "the body did not arrive in time")
	default:
		f.refuse(w, http.StatusBadRequest, codes.InvalidArgument, "the body is incomplete")
	}
}
