package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
)

// recovered turns a panic of next into a log line with the stack and an answer 500. An answer that has begun is cut instead,
// so that the client does not accept it as complete.
func recovered(refusals refuser, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tracked := &trackedWriter{ResponseWriter: w}
		defer func() {
			if v := recover(); v != nil {
				refusals.panicked(tracked, r, v)
			}
		}()
		next.ServeHTTP(tracked, r)
	})
}

// panicked answers for a handler that panicked with v. A deferred function must call it, so that the stack is the panic's.
func (f refuser) panicked(w *trackedWriter, r *http.Request, v any) {
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler)
	}
	// The path is left out: at the public listener it contains a secret.
	f.log.ErrorContext(r.Context(), "HTTP handler panicked",
		"method", r.Method, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	if w.begun {
		panic(http.ErrAbortHandler)
	}
	f.refuse(w, internalError)
}

// trackedWriter records whether an answer has begun.
type trackedWriter struct {
	http.ResponseWriter
	begun bool
}

func (t *trackedWriter) WriteHeader(httpStatus int) {
	t.begun = t.begun || isFinal(httpStatus)
	t.ResponseWriter.WriteHeader(httpStatus)
}

func (t *trackedWriter) Write(p []byte) (int, error) {
	t.begun = true
	return t.ResponseWriter.Write(p)
}

// Unwrap returns the writer for http.ResponseController.
func (t *trackedWriter) Unwrap() http.ResponseWriter { return t.ResponseWriter }
