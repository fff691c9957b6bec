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

// NewServer returns a server for the internal handler. Its limits are 10 seconds to read the header, 15 seconds to read the
// whole request, one minute from the request to the end of the response, two idle minutes between requests, and 64 KiB of
// header. A call takes up to 30 seconds of that minute.
//
// A listener of package connlimit does not close a connection while a handler of this package serves a complete request on
// it, or an upload that makes progress.
//
// Watch streams and downloads remove the limit for the response. Middleware that wraps the http.ResponseWriter needs an
// Unwrap method for that; see http.ResponseController. Errors of the server itself are logged as warnings, each kind at most
// once a minute.
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

// NewPublicServer returns a server for the ingress handler, with lower limits, because anyone can reach it.
func NewPublicServer(handler http.Handler, log *slog.Logger) *http.Server {
	s := NewServer(handler, log)
	s.ReadHeaderTimeout, s.IdleTimeout, s.MaxHeaderBytes = 5*time.Second, 15*time.Second, 16<<10
	return s
}

// errorInterval is the minimum time between two log lines about errors of one kind.
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
