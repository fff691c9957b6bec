package wire

import (
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

// How long calls may take.
const (
	SubmitTimeout   = 30 * time.Second // A submission; giving up on it leaves its outcome unknown.
	QuestionTimeout = 15 * time.Second // Everything that may be asked again.
)

const (
	dialTimeout = 10 * time.Second
	tlsTimeout  = 10 * time.Second

	// idleTimeout is shorter than what common servers allow (60 s and more): a POST that meets a
	// connection just being closed at the other end has an unknown outcome.
	idleTimeout = 30 * time.Second

	maxResponseHeader = 64 << 10
)

// userAgent names the product, since Cloudflare refuses what calls itself a Go HTTP client.
var userAgent = "Refract/" + version() + " (+https://github.com/refract-video/refract)"

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || strings.HasPrefix(info.Main.Version, "(") {
		return "dev"
	}
	return info.Main.Version
}

// newHTTPClient returns a client over the transport of lent, or over one of our own. It follows no
// redirect: a 307 would make the client send a submission a second time.
func newHTTPClient(lent *http.Client) *http.Client {
	c := &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if lent != nil {
		c.Transport = lent.Transport
	} else {
		c.Transport = newTransport()
	}
	return c
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: dialTimeout, KeepAlive: idleTimeout}).DialContext,
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
