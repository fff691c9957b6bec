package httpapi

import (
	"log"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/connlimit"
)

// NewServer returns a server for the internal handler, with a bound on everything a client
// could draw out: 10 seconds for the header, 15 for the whole request, a minute from the request to the end of
// the answer (a call takes up to 30 seconds of it), two minutes of silence between requests, 64 KiB of header.
//
// A connection has its place among those of a listener of package connlimit while the handlers of this package serve a request
// that has come whole, or an upload that brings bytes.
//
// Watch streams and downloads lift the bound on the answer for themselves; middleware that wraps
// the http.ResponseWriter must have an Unwrap method for that, as http.ResponseController asks for. What the
// server itself complains about is logged as a warning, at most once a minute.
func NewServer(handler http.Handler, to *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ConnContext:       connlimit.Context,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          log.New(&serverErrors{log: to}, "", 0),
	}
}

// NewPublicServer returns a server for the ingress handler, with shorter bounds: strangers reach it.
func NewPublicServer(handler http.Handler, log *slog.Logger) *http.Server {
	s := NewServer(handler, log)
	s.ReadHeaderTimeout, s.IdleTimeout, s.MaxHeaderBytes = 5*time.Second, 15*time.Second, 16<<10
	return s
}

// errorInterval is how often a server may complain about the same.
const errorInterval = time.Minute

// serverErrors logs what a server complains about: each kind at once, and then once in an interval, with the number of those
// that were held back. Anybody can make a handshake fail, as often as he likes.
type serverErrors struct {
	log *slog.Logger

	mu    sync.Mutex
	kinds map[string]*errorKind // Of two kinds.
}

type errorKind struct {
	next time.Time // Before that, serverErrors of the kind are held back.
	held int
}

// Write takes one line.
func (c *serverErrors) Write(line []byte) (int, error) {
	text, kind := strings.TrimSpace(string(line)), "server"
	if strings.Contains(text, "TLS handshake error") {
		kind = "handshake"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kinds == nil {
		c.kinds = map[string]*errorKind{}
	}
	k := c.kinds[kind]
	if k == nil {
		k = &errorKind{}
		c.kinds[kind] = k
	}
	now := time.Now()
	if now.Before(k.next) {
		k.held++
		return len(line), nil
	}
	c.log.Warn("HTTP server complains", "error", text[:min(len(text), 512)], "held_back", k.held)
	k.next, k.held = now.Add(errorInterval), 0
	return len(line), nil
}
