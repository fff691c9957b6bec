package media

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// ErrBlocked means that the guard refused a link or an address that it led to. The same link is
// refused again.
var ErrBlocked = errors.New("refused by the network guard")

// errRedirects ends a chain of redirects that is longer than any honest one.
var errRedirects = fmt.Errorf("more than %d redirects", maxRedirects)

const (
	maxRedirects       = 5
	dialTimeout        = 10 * time.Second
	tlsTimeout         = 10 * time.Second
	headerTimeout      = 30 * time.Second
	defaultIdleTimeout = 30 * time.Second
	idleConnTimeout    = 30 * time.Second
	maxHeaderBytes     = 64 << 10
)

// Guard says what a fetch may reach and how long it may stay silent. Its zero value is the one for
// production: https to public addresses on ports 80 and 443.
type Guard struct {
	// AllowPrivate permits http, any port, and private and loopback addresses. It is for development:
	// with it, whoever submits a task can read from our network.
	AllowPrivate bool

	// IdleTimeout is how long a body may send nothing before it is cut; zero means 30 s.
	IdleTimeout time.Duration
}

// NewClient returns the HTTP client for URLs of users and providers. It follows at most five
// redirects, uses no proxy and no cookies, and speaks HTTP/1.1: one large body gains nothing from
// sharing its connection. Requests that the guard refuses fail with ErrBlocked. It bounds silence,
// not length: a caller bounds the whole with its context. It may be used concurrently.
func NewClient(g Guard) *http.Client {
	if g.IdleTimeout <= 0 {
		g.IdleTimeout = defaultIdleTimeout
	}
	return &http.Client{
		Transport:     &transport{guard: g, base: newBase(g.dialer())},
		CheckRedirect: checkRedirect,
	}
}

func newBase(d *net.Dialer) *http.Transport {
	return &http.Transport{
		// NOTE: Proxy stays nil. Behind a proxy the guard would judge the proxy's address and no other.
		DialContext:            d.DialContext,
		TLSHandshakeTimeout:    tlsTimeout,
		ResponseHeaderTimeout:  headerTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		IdleConnTimeout:        idleConnTimeout,
		DisableCompression:     true, // Video does not shrink, and Content-Length would be lost.
	}
}

// dialer judges addresses in its Control function: between the resolution of a name and the first
// packet, so that a name can't change its mind in between.
func (g Guard) dialer() *net.Dialer {
	d := &net.Dialer{Timeout: dialTimeout}
	if g.AllowPrivate {
		return d
	}
	guardian := ssrf.New()
	d.Control = func(network, address string, conn syscall.RawConn) error {
		if err := guardian.Safe(network, address, conn); err != nil {
			return fmt.Errorf("%w: %w", ErrBlocked, err)
		}
		return nil
	}
	return d
}

// check judges what can be seen in a URL before any name is resolved.
func (g Guard) check(u *url.URL) error {
	switch {
	case u.Host == "":
		return fmt.Errorf("%w: the link has no host", ErrBlocked)
	case u.Scheme == "https", u.Scheme == "http" && g.AllowPrivate:
		return nil
	default:
		return fmt.Errorf("%w: the scheme is not https", ErrBlocked)
	}
}

// checkRedirect bounds a chain of redirects; the transport judges each of its URLs.
func checkRedirect(req *http.Request, via []*http.Request) error {
	// NOTE: the referrer is the link that we came from, signature and all.
	req.Header.Del("Referer")
	if len(via) > maxRedirects {
		return errRedirects
	}
	return nil
}
