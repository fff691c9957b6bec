package httpapi

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// readyTimeout bounds a check of readiness. Load balancers seldom wait longer.
const readyTimeout = 5 * time.Second

// liveness answers that the process runs.
func liveness(w http.ResponseWriter, _ *http.Request) { writeText(w, statusServed, "ok") }

// readiness answers whether the process can serve. The log has the reason when it can't.
func readiness(ready func(context.Context) error, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		if ready != nil {
			if err := ready(ctx); err != nil {
				log.WarnContext(ctx, "not ready", "error", err)
				writeText(w, statusUnready, "unready")
				return
			}
		}
		writeText(w, statusServed, "ready")
	})
}

func writeText(w http.ResponseWriter, httpStatus int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(httpStatus)
	_, _ = io.WriteString(w, text+"\n") //nolint:gosec // No browser reads plain text as a page.
}

// document serves a JSON document that is fixed for the life of the process.
func (f refuser) document(read func() ([]byte, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := read()
		if err != nil {
			f.fail(r.Context(), w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
	})
}
