package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// protocol is what the wire format of one profile adds to the engine.
type protocol interface {
	// rules returns what the profile allows and promises.
	rules() *terms
	// newID returns a fresh id in the profile's style.
	newID() string
	// scripted returns a refusal with a code, in the profile's words.
	scripted(code int) *refusal
	// refuse answers an error.
	refuse(w http.ResponseWriter, no *refusal)
	// created renders the answer to a submission and sets its headers.
	created(w http.ResponseWriter, j *job) (status int, body []byte)
	// callback renders a callback about a job.
	callback(j *job, v variation) message
}

// refusal is an answer that says no.
type refusal struct {
	code int
	msg  string
	// retryAfter is when it is worth asking again; 0 says nothing about that.
	retryAfter time.Duration
}

func refuse(code int, format string, args ...any) *refusal {
	return &refusal{code: code, msg: fmt.Sprintf(format, args...)}
}

// enter returns the key of a request, and a refusal when the key is not a good one or the profile is down.
func (s *Server) enter(r *http.Request, p protocol) (string, *refusal) {
	key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if known := s.cfg.APIKeys; !ok || key == "" || (len(known) > 0 && !slices.Contains(known, key)) {
		return key, p.scripted(http.StatusUnauthorized)
	}
	if t := p.rules(); t.down() {
		return key, p.scripted(t.downCode)
	}
	return key, nil
}

// question judges a query up to the point where it names a job: credentials, then the rate window.
func (s *Server) question(r *http.Request, p protocol) *refusal {
	key, no := s.enter(r, p)
	if no != nil {
		return no
	}
	wait := p.rules().queries.take(key)
	s.news.changed()
	if wait > 0 {
		return tooMany(p, wait)
	}
	_ = sleep(r.Context(), s.cfg.QueryDelay) // Nobody reads the answer where it fails.
	return nil
}

func tooMany(p protocol, wait time.Duration) *refusal {
	no := p.scripted(http.StatusTooManyRequests)
	no.retryAfter = wait
	return no
}

// setRetryAfter writes the header in whole seconds, rounded up.
func (no *refusal) setRetryAfter(h http.Header) {
	if no.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((no.retryAfter+time.Second-1)/time.Second)))
	}
}

// write answers a JSON body.
func (s *Server) write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		s.cfg.Logger.Debug("write answer", "error", err)
	}
}

// toJSON encodes v without escaping "&" in URLs, as the providers do.
func toJSON(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return []byte(`{"code":500,"msg":"encode answer"}`) // Unreachable: only our own types come here.
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

// maxJSON bounds every JSON body that carries no file.
const maxJSON = 1 << 20

// readJSON reads a bounded JSON body, and refuses with 413 or 400.
func readJSON(w http.ResponseWriter, r *http.Request, limit int64, into any) *refusal {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return refuse(http.StatusRequestEntityTooLarge, "The body is larger than %d bytes", big.Limit)
	case err != nil:
		return refuse(http.StatusBadRequest, "The body could not be read")
	case json.Unmarshal(raw, into) != nil:
		return refuse(http.StatusBadRequest, "The body is not valid JSON")
	}
	return nil
}

// isURI reports whether s is absolute and names a host.
func isURI(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme != "" && u.Host != ""
}
