package httpapi

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// crossSiteGuard keeps web pages out where nobody authenticates: a browser on this machine can reach a loopback address for any page
// that it shows. A page of another site shows by Origin or Sec-Fetch-Site, and one whose host name was pointed at this machine
// (DNS rebinding) by Host.
type crossSiteGuard struct {
	host string // Of the address that callers use, where one is configured.
}

func newCrossSiteGuard(baseURL string) *crossSiteGuard {
	u, err := url.Parse(baseURL)
	if err != nil {
		return &crossSiteGuard{}
	}
	return &crossSiteGuard{host: u.Hostname()}
}

// violation returns why a request comes from another site, or nothing.
func (o *crossSiteGuard) violation(r *http.Request) string {
	const howTo = ", and anyone who reaches this service is taken for an operator (--auth none): "
	if r.Host != "" && !o.isOwn(r.Host) { // A browser always names one, a probe in HTTP/1.0 need not.
		return "the request names another host than this machine" + howTo + "call it as localhost or 127.0.0.1"
	}
	if strings.HasPrefix(r.URL.Path, linksPath) && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		return "" // A link is its own credential, and made to be shown by other sites.
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin": // Not a browser, the address line, a page of ours.
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
