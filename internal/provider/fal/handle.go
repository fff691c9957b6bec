package fal

import (
	"net/url"
	"strings"

	"github.com/refract-video/refract/internal/provider"
)

// A handle has the two URLs under which the queue said that it answers about a request, separated by a blank: the status and the
// response. It is empty where a URL is not at the configured host.

// newHandle returns the handle of a request.
func (p *Provider) newHandle(status, response string) string {
	handle := status + " " + response
	if _, _, ok := p.readHandle(handle); !ok {
		return ""
	}
	return handle
}

// readHandle returns the URLs in a handle, or false where it has none that may be asked.
//
// NOTE: requests to them carry the API key. A handle comes from an answer and later from the database, so each use checks that
// the URLs are at the configured host.
func (p *Provider) readHandle(handle string) (status, response string, ok bool) {
	status, response, _ = strings.Cut(handle, " ")
	ok = len(handle) <= provider.MaxHandle && p.ours(status) && p.ours(response)
	return status, response, ok
}

// ours reports whether a URL is at the configured host, over the configured scheme.
func (p *Provider) ours(s string) bool {
	u, err := url.Parse(s)
	base, baseErr := url.Parse(p.wire.BaseURL())
	return err == nil && baseErr == nil && u.Scheme == base.Scheme && u.Host == base.Host && u.User == nil && u.Fragment == ""
}

// addresses returns the URLs of a request: those of its handle, or else those that the queue documents. They name the owner and
// the app of the model, and not the rest of its id [D]. ok is false where the model is not known either.
func (p *Provider) addresses(q provider.Query) (status, response string, ok bool) {
	if status, response, ok = p.readHandle(q.Handle); ok {
		return status, response, true
	}
	parts := strings.SplitN(q.Remote, "/", 3)
	if len(parts) < 2 {
		return "", "", false
	}
	path, ok := modelPath(parts[0] + "/" + parts[1])
	response = p.wire.BaseURL() + path + "/requests/" + url.PathEscape(q.TaskID)
	return response + "/status", response, ok
}
