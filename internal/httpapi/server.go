package httpapi

import (
	"log/slog"
	"net/http"
	"time"
)

// NewServer returns a server for one of the handlers of this package, with a bound on everything a client
// could draw out: 10 seconds for the header, 15 for the whole request, a minute from the request to the end of
// the answer (a call takes up to 30 seconds of it), two minutes of silence between requests, 64 KiB of header.
//
// Watch streams and downloads lift the bound on the answer for themselves; middleware that wraps
// the http.ResponseWriter must have an Unwrap method for that, as http.ResponseController asks for. What the
// server itself complains about is logged as a warning.
func NewServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
