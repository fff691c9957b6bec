package httpapi

import "net/http"

// noStore sets headers that forbid caches to store an answer and browsers to guess its type: an answer may contain a signed
// link, or data of one caller. A handler whose answer may be stored overwrites Cache-Control.
func noStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}
