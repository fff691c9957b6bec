package client

import (
	"context"
	"net"
	"net/url"
	"slices"
	"strings"
)

// bearer sends an API token with every call. An empty one sends nothing. It is used by pointer, so that a printed connection
// shows its address and not the token.
type bearer struct{ token string }

// GetRequestMetadata returns the header that carries the token.
func (b *bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	if b.token == "" {
		return nil, nil
	}
	return map[string]string{"authorization": "Bearer " + b.token}, nil
}

// RequireTransportSecurity returns false, because Dial decides about it.
func (*bearer) RequireTransportSecurity() bool { return false }

// downloadToken decides which downloads carry the token.
//
// NOTE: the token goes only to a host that the caller named, on any port; all loopback names are one host. Over plain http it
// goes to loopback alone, unless the caller permits more. A service, or an impostor of it, thus cannot direct the token elsewhere.
// It is used by pointer, like bearer.
type downloadToken struct {
	token     string
	host      string   // Of the service. Empty with New.
	hosts     []string // Further hosts.
	plaintext bool
}

// forURI returns the token for a download, or an empty string when the host must not have it.
func (d *downloadToken) forURI(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || d.token == "" || u.Hostname() == "" {
		return ""
	}
	to := u.Hostname()
	named := slices.ContainsFunc(append([]string{d.host}, d.hosts...), func(host string) bool { return strings.EqualFold(to, host) }) ||
		(loopback(to) && loopback(d.host))
	if named && (u.Scheme == "https" || (u.Scheme == "http" && (loopback(to) || d.plaintext))) {
		return d.token
	}
	return ""
}

// WithholdsToken reports whether the client has a token and does not send it with a download from this URI, because of the rule
// that WithToken describes. The download then works where the URI itself is signed, and is refused elsewhere.
func (c *Client) WithholdsToken(downloadURI string) bool {
	return c.token.token != "" && c.token.forURI(downloadURI) == ""
}

// loopback reports whether a host is this machine alone.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}
