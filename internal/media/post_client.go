package media

import (
	"net/http"

	"github.com/refract-video/refract/internal/tracing"
)

const (
	// postConns is how many idle connections the client of NewPostClient keeps to one host, and maxPostConns to all hosts.
	postConns    = 64
	maxPostConns = 512
	// maxPostHeaderBytes bounds the header of an answer. A caller's server has no reason to send more.
	maxPostHeaderBytes = 16 << 10
)

// NewPostClient returns the HTTP client that posts to URLs of callers. It returns a redirect as the answer and does not follow
// it. As with NewClient, it uses no proxy, no cookies and no credentials, and a request that the guard refuses fails with
// ErrBlocked. It speaks HTTP/1.1 and keeps connections for further requests: a connection is judged when it is made, and
// it leads to the same address for as long as it lives. A caller bounds the time of a request with its context. The client may be
// used concurrently.
func NewPostClient(g Guard) *http.Client {
	g.StallTimeout = 0 // The caller reads little of an answer, and bounds the time of that too.
	base := newBase(g)
	base.ResponseHeaderTimeout = 0 // The context of the request bounds it.
	base.MaxResponseHeaderBytes = maxPostHeaderBytes
	base.MaxIdleConnsPerHost, base.MaxIdleConns = postConns, maxPostConns
	return &http.Client{
		Transport:     tracing.PropagatingTransport(&transport{guard: g, base: base}),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
