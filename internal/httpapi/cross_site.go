package httpapi

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// crossSiteGuard refuses requests of web pages where callers need no credentials: a browser on this machine can reach a
// loopback address for any page that it shows. Origin or Sec-Fetch-Site reveal a page of another site. Host reveals a page
// whose host name resolves to this machine (DNS rebinding).
type crossSiteGuard struct {
	host string // The host of the configured base URL; empty without one.
}

func newCrossSiteGuard(baseURL string) *crossSiteGuard {
	u, err := url.Parse(baseURL)
	if err != nil {
		return &crossSiteGuard{}
	}
	return &crossSiteGuard{host: u.Hostname()}
}

// violation returns why a request comes from another site, or an empty string.
func (o *crossSiteGuard) violation(r *http.Request) string {
	const howTo = ", and anyone who reaches this service is taken for an operator (--auth none): "
	if r.Host != "" && !o.isOwn(r.Host) { // A browser always sends Host. A health check in HTTP/1.0 may omit it.
		return "the request names another host than this machine" + howTo + "call it as localhost or 127.0.0.1"
	}
	if strings.HasPrefix(r.URL.Path, linksPath) && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		return "" // A signed link needs no credentials, and other sites may embed it.
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin": // No browser, the address bar, a page of this service.
	default:
		return "the request comes from a page of another site" + howTo + "call it from a program"
	}
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return ""
	}
	if u, err := url.Parse(origins[0]); err != nil || len(origins) > 1 || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
		return "the request comes from a page of another origin" + howTo + "call it from a program"
	}
	return ""
}

// isOwn reports whether a Host header names this machine.
func (o *crossSiteGuard) isOwn(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.ToLower(strings.Trim(name, "[]")), ".")
	if ip := net.ParseIP(name); ip != nil {
		return ip.IsLoopback() || strings.EqualFold(name, o.host)
	}
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || o.host != "" && strings.EqualFold(name, o.host)
}
