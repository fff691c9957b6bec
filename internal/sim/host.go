package sim

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// link is one URL under which a file is served.
type link struct {
	content File
	taskID  string
	profile string // Empty for uploads.
	ttl     time.Duration
	script  Script
	// presigned adds a query to the URL. Requests must have the same query.
	presigned bool

	query     string
	path      string
	mediaType string
	created   time.Time
	used      bool
}

// dead reports whether the link no longer works at a time.
func (l *link) dead(now time.Time) bool {
	switch l.script.Link {
	case LinkExpired, LinkGone:
		return true
	case LinkOnce:
		if l.used {
			return true
		}
	case LinkGood:
	}
	return now.Sub(l.created) >= l.ttl
}

// Download is one request for a file that the simulator hosts.
type Download struct {
	Time    time.Time `json:"time"`
	Method  string    `json:"method"`
	Path    string    `json:"path"`
	Range   string    `json:"range,omitempty"`
	Profile string    `json:"profile,omitempty"`
	TaskID  string    `json:"task_id,omitempty"`
	Forged  bool      `json:"forged"`
	Dead    bool      `json:"dead"`
}

// host serves results, inputs and uploads.
type host struct {
	cfg  Config
	dir  string
	base string
	news *notice

	mu        sync.Mutex
	links     map[string]*link
	downloads []Download
}

func newHost(cfg Config, dir, base string, news *notice) *host {
	return &host{cfg: cfg, dir: dir, base: base, news: news, links: map[string]*link{}}
}

// add serves a file under a random name below prefix and returns its URL.
func (h *host) add(prefix string, l link) string {
	return h.put(prefix+RandomHex()+".mp4", l)
}

// put serves a file under a path and returns its URL. It replaces an older file there.
func (h *host) put(path string, l link) string {
	l.path, l.created = path, time.Now()
	l.mediaType = cmp.Or(l.mediaType, "video/mp4")
	if l.presigned {
		l.query = fmt.Sprintf("X-Amz-Expires=%d&X-Amz-Signature=%s", int(l.ttl.Seconds()), RandomHex())
	}
	h.mu.Lock()
	old := h.links[path]
	h.links[path] = &l
	h.mu.Unlock()
	if old != nil && old.content.path != "" {
		// Some systems refuse to remove a file that is still open. The whole directory is removed at the end.
		_ = os.Remove(old.content.path)
	}
	return h.base + (&url.URL{Path: path, RawQuery: l.query}).String()
}

// renew returns a new URL for the file of an older URL of the simulator, and code 200. The new URL expires after ttl. The
// code is 422 for a URL of another server, and 404 for a URL that can't be renewed.
func (h *host) renew(old string, ttl time.Duration) (fresh string, code int) {
	rest, ours := strings.CutPrefix(old, h.base)
	path, err := url.PathUnescape(rest)
	if !ours || err != nil || !strings.HasPrefix(path, "/") {
		return "", http.StatusUnprocessableEntity
	}
	h.mu.Lock()
	l := h.links[path]
	h.mu.Unlock()
	if l == nil || l.script.Link == LinkGone {
		return "", http.StatusNotFound
	}
	again := link{content: l.content, taskID: l.taskID, profile: l.profile, ttl: ttl, script: l.script, mediaType: l.mediaType}
	again.script.Link = LinkGood
	return h.add("/download/", again), http.StatusOK
}

// visit records a request. It returns a copy of the link, and reports whether the link is dead, and whether it exists.
func (h *host) visit(r *http.Request) (l link, dead, found bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.links[r.URL.Path]
	if at == nil {
		return link{}, false, false
	}
	dead = at.dead(time.Now())
	at.used = at.used || r.Method == http.MethodGet
	h.downloads = append(h.downloads, Download{
		Time: time.Now(), Method: r.Method, Path: r.URL.Path, Range: r.Header.Get("Range"),
		Profile: at.profile, TaskID: at.taskID, Forged: at.content.forged, Dead: dead,
	})
	return *at, dead, true
}

// ServeHTTP answers a download.
func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l, dead, found := h.visit(r)
	h.news.changed()
	switch {
	case !found:
		http.NotFound(w, r)
		return
	case l.presigned && r.URL.RawQuery != l.query:
		http.Error(w, "signature does not match", http.StatusForbidden)
		return
	case dead:
		http.Error(w, "link expired", cmp.Or(l.script.LinkStatus, h.cfg.ExpiredStatus))
		return
	case l.script.Redirect != "":
		http.Redirect(w, r, l.script.Redirect, http.StatusFound)
		return
	case l.script.HTMLResult:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!doctype html><title>Just a moment...</title><p>Checking your browser.\n")
		return
	}
	f, err := l.content.open()
	if err != nil {
		h.cfg.Logger.Error("serve file", "path", l.path, "error", err)
		http.Error(w, "storage error", http.StatusInternalServerError)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", l.mediaType)
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, l.created.UnixNano()))
	if done, err := l.misserve(w, r, f); done {
		if err != nil {
			h.cfg.Logger.Error("serve file", "path", l.path, "error", err)
		}
		return
	}
	http.ServeContent(l.hamper(w, r, f), r, "", l.created, f)
}

// hamper makes the response slow or short if the script requires it.
func (l *link) hamper(w http.ResponseWriter, r *http.Request, f io.Seeker) http.ResponseWriter {
	switch {
	case l.script.Loris > 0:
		return drip(w, r, l.script.Loris)
	case l.script.SlowDownload == 0 && l.script.CutDownload == 0:
		return w
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return w // ServeContent meets the same error and answers it.
	}
	bad := &badWriter{ResponseWriter: w, req: r, left: -1, piece: int(max(size/20, 1)), pause: l.script.SlowDownload / 20}
	switch l.script.CutDownload {
	case 0:
	case CutHalf:
		bad.left = (size + 1) / 2
	default:
		bad.left = l.script.CutDownload
	}
	return bad
}

// badWriter writes a body in pieces with pauses between them. It aborts the connection after a number of bytes.
type badWriter struct {
	http.ResponseWriter
	req   *http.Request
	left  int64 // Bytes until the connection breaks; negative for never.
	piece int
	pause time.Duration
}

func (b *badWriter) Write(p []byte) (int, error) {
	done := 0
	for part := range slices.Chunk(p, b.piece) {
		if b.left >= 0 && int64(len(part)) > b.left {
			part = part[:b.left]
		}
		n, err := b.ResponseWriter.Write(part)
		done += n
		if err != nil {
			return done, err
		}
		if b.left >= 0 {
			b.left -= int64(n)
		}
		if b.left == 0 && done < len(p) {
			_ = http.NewResponseController(b.ResponseWriter).Flush()
			panic(http.ErrAbortHandler) // The documented way to close a connection in the middle of a body.
		}
		if b.pause > 0 {
			_ = http.NewResponseController(b.ResponseWriter).Flush()
			if err := sleep(b.req.Context(), b.pause); err != nil {
				return done, err
			}
		}
	}
	return done, nil
}

func (h *host) visits() []Download {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.downloads)
}
