package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"
)

// PublicSources opens uploaded sources by signed links. It may be called concurrently.
type PublicSources interface {
	// OpenSource opens the source that a token names. The content is read until ctx ends, and closed. The error is
	// fs.ErrNotExist for a token that is forged or has expired, and for a source that is no longer kept.
	OpenSource(ctx context.Context, token string) (content io.ReadSeekCloser, contentType string, modTime time.Time, err error)
}

// publicSourceHandler serves sources to providers.
type publicSourceHandler struct {
	sources PublicSources
	refuser
}

// serve sends a source or the requested range of it. It answers a wrong token like an unknown path.
func (h *publicSourceHandler) serve(w http.ResponseWriter, r *http.Request) {
	content, contentType, modTime, err := h.sources.OpenSource(r.Context(), strings.TrimPrefix(r.URL.Path, sourcesPath))
	if errors.Is(err, fs.ErrNotExist) {
		h.refuse(w, notPublic)
		return
	}
	if err != nil {
		h.fail(r.Context(), w, fmt.Errorf("open a source by its link: %w", err))
		return
	}
	defer content.Close()
	writer, err := newStallTimeoutWriter(w)
	if err != nil {
		h.fail(r.Context(), w, err)
		return
	}
	if !strings.HasPrefix(contentType, "video/") { // A web page that a stranger uploaded must not open under our host name.
		contentType = "application/octet-stream"
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "private, no-store")
	http.ServeContent(&contentWriter{ctx: r.Context(), stallTimeoutWriter: writer, refuser: h.refuser}, r, "", modTime, content)
	h.logBroken(r.Context(), content)
}
