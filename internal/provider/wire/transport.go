package wire

import (
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/refract-video/refract/internal/tracing"
)

// How long calls may take.
const (
	SubmitTimeout   = 30 * time.Second // A submission; giving up on it leaves its outcome unknown.
	QuestionTimeout = 15 * time.Second // Everything that may be asked again.
)

const (
	dialTimeout = 10 * time.Second
	tlsTimeout  = 10 * time.Second

	// idleTimeout is shorter than what common servers allow (60 s and more), so that few queries meet a
	// connection just being closed at the other end.
	idleTimeout = 30 * time.Second

	maxResponseHeader = 64 << 10
)

// newHTTPClients returns the clients for submissions and for queries, over the transport of lent or over ones
// of our own. Each submission of ours has a connection of its own: one that was used before may be closed by the
// other end just as the request leaves, and then it is unknown whether it arrived.
func newHTTPClients(lent *http.Client) (submits, queries *http.Client) {
	if lent != nil {
		c := newHTTPClient(lent.Transport)
		return c, c
	}
	fresh := newTransport(boundUnacknowledged)
	fresh.DisableKeepAlives = true
	return newHTTPClient(fresh), newHTTPClient(newTransport(nil))
}

// newHTTPClient returns a client that follows no redirect: a 307 would make it send a submission a second time.
func newHTTPClient(transport http.RoundTripper) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     tracing.Transport(transport),
	}
}

// newTransport returns a transport of our own. control may set options of its sockets.
func newTransport(control func(network, address string, c syscall.RawConn) error) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: dialTimeout, KeepAlive: idleTimeout, Control: control}).DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        idleTimeout,
		TLSHandshakeTimeout:    tlsTimeout,
		ResponseHeaderTimeout:  SubmitTimeout,
		MaxResponseHeaderBytes: maxResponseHeader,
		// Without pings a dead HTTP/2 connection fails every request until the kernel gives it up.
		HTTP2: &http.HTTP2Config{SendPingTimeout: QuestionTimeout, PingTimeout: QuestionTimeout},
	}
}
