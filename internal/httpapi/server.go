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

// NewServer returns a server for the internal handler. Its bounds are 10 seconds for the header, 15 for the whole request, a
// minute from the request to the end of the answer (of which a call takes up to 30 seconds), two minutes of silence between
// requests, and 64 KiB of header.
//
// A listener of package connlimit keeps the connection of a request that has arrived completely, and of an upload that sends
// bytes, while a handler of this package serves it.
//
// Watch streams and downloads remove the bound on the answer. Middleware that wraps the http.ResponseWriter needs an Unwrap
// method for that; see http.ResponseController. Errors of the server itself are logged as warnings, each kind at most once a
// minute.
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

// errorInterval is the least time between two log lines about errors of one kind.
const errorInterval = time.Minute

// serverErrors logs errors of an HTTP server: the first of a kind at once, then one per interval with the number of
// suppressed ones. Anyone who reaches the listener can make handshakes fail at any rate.
type serverErrors struct {
	log *slog.Logger

	mu    sync.Mutex
	kinds map[string]*errorKind // "handshake" and "server".
}

type errorKind struct {
	next       time.Time // Errors before this time are suppressed.
	suppressed int
}

// Write logs one line.
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
		k.suppressed++
		return len(line), nil
	}
	c.log.Warn("HTTP server error", "error", text[:min(len(text), 512)], "suppressed", k.suppressed)
	k.next, k.suppressed = now.Add(errorInterval), 0
	return len(line), nil
}
