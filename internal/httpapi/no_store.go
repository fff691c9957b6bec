package httpapi

import "net/http"

// noStore makes every answer one that no cache keeps and no browser takes for another type: it may hold a signed link, or
// what only its caller may see. An answer that may be kept says so itself.
func noStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}
