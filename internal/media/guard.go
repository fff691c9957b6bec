package media

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"code.dny.dev/ssrf"

	"github.com/refract-video/refract/internal/tracing"
)

// ErrBlocked means that the guard refused a link or an address that it led to. The same link is
// refused again.
var ErrBlocked = errors.New("refused by the network guard")

// errRedirects means that a chain of redirects is too long.
var errRedirects = fmt.Errorf("more than %d redirects", maxRedirects)

const (
	maxRedirects        = 5
	dialTimeout         = 10 * time.Second
	tlsTimeout          = 10 * time.Second
	headerTimeout       = 30 * time.Second
	defaultStallTimeout = 30 * time.Second
	idleConnTimeout     = 30 * time.Second
	maxHeaderBytes      = 64 << 10
)

// Guard is the SSRF guard: it says what a fetch may reach, and how slow a body may be. Its zero value is for
// production: https to public addresses on ports 80 and 443.
type Guard struct {
	// AllowPrivate permits http, any port, and private and loopback addresses. It is for development:
	// with it, every caller that may submit a task can read from our network.
	AllowPrivate bool

	// Allow permits the same for some hosts and networks, such as a result host on a private network.
	Allow Allowed

	// StallTimeout is how long a body may take for each 64 KiB before it is cut; zero means 30 s.
	StallTimeout time.Duration

	// Resolver resolves names; nil means the system's.
	Resolver *net.Resolver

	// Roots are the trusted certificate authorities; nil means the system's.
	Roots *x509.CertPool
}

// NewClient returns the HTTP client for URLs of users and providers. It follows at most five
// redirects, uses no proxy, no cookies and no credentials, and speaks HTTP/1.1: one large body gains nothing from
// a shared connection. Requests that the guard refuses fail with ErrBlocked. It bounds how slow
// a body is, not how long it takes: a caller bounds that with its context. It may be used concurrently.
func NewClient(g Guard) *http.Client {
	if g.StallTimeout <= 0 {
		g.StallTimeout = defaultStallTimeout
	}
	return &http.Client{
		Transport:     tracing.Transport(&transport{guard: g, base: newBase(g)}),
		CheckRedirect: checkRedirect,
	}
}

func newBase(g Guard) *http.Transport {
	return &http.Transport{
		// NOTE: Proxy stays nil. Behind a proxy the guard would judge the proxy's address and no other.
		DialContext:            g.dial,
		TLSClientConfig:        &tls.Config{RootCAs: g.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    tlsTimeout,
		ResponseHeaderTimeout:  headerTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		IdleConnTimeout:        idleConnTimeout,
		DisableCompression:     true, // Video does not shrink, Content-Length would be lost, and a decompression bomb would expand here.
	}
}

// dial judges addresses in the dialer's Control function: between the resolution of a name and the first
// packet, so that a name can't resolve to another address in between (DNS rebinding). It judges every new
// connection.
func (g Guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, Resolver: g.Resolver}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%w: the link has no usable host", ErrBlocked)
	}
	if !g.AllowPrivate && !g.Allow.host(host) {
		d.Control = g.control
	}
	return d.DialContext(ctx, network, address)
}

func (g Guard) control(network, address string, conn syscall.RawConn) error {
	if at, err := netip.ParseAddrPort(address); err == nil && g.Allow.addr(at.Addr()) {
		return nil
	}
	if err := publicOnly.Safe(network, address, conn); err != nil {
		return blocked(err)
	}
	return nil
}

// publicOnly refuses the addresses that are not public: everything in the registries of special-purpose addresses, and
// all of IPv6 that is not global unicast or is translated from IPv4. The metadata service of Azure is added: its
// address looks public.
var publicOnly = ssrf.New(ssrf.WithDeniedV4Prefixes(netip.MustParsePrefix("168.63.129.16/32")))

// check judges what can be seen in a URL before any name is resolved.
func (g Guard) check(u *url.URL) error {
	switch {
	case u.Hostname() == "":
		return fmt.Errorf("%w: the link has no host", ErrBlocked)
	case u.User != nil: // The client would send it as credentials.
		return fmt.Errorf("%w: the link has a user name", ErrBlocked)
	case u.Scheme == "https", u.Scheme == "http" && (g.AllowPrivate || g.Allow.host(u.Hostname())):
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
