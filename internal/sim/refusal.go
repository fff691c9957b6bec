package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Refusal is an answer that refuses a call.
type Refusal struct {
	Code    int
	Message string
	// RetryAfter is how long the client should wait before it calls again; 0 says nothing about that.
	RetryAfter time.Duration
}

// Refuse returns a refusal with a code.
func Refuse(code int, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Message: fmt.Sprintf(format, args...)}
}

// SetRetryAfter writes the header in whole seconds, rounded up.
func (no *Refusal) SetRetryAfter(h http.Header) {
	if no.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((no.RetryAfter+time.Second-1)/time.Second)))
	}
}

// JSON encodes v without escaping "&" in URLs, as the providers do.
func JSON(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return []byte(`{"code":500,"msg":"encode answer"}`) // Unreachable: every type of the simulator can be encoded.
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

// MaxJSON bounds every JSON body that carries no file.
const MaxJSON = 1 << 20

// ReadJSON reads a bounded JSON body, and refuses with 413 or 400.
func ReadJSON(w http.ResponseWriter, r *http.Request, limit int64, into any) *Refusal {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return Refuse(http.StatusRequestEntityTooLarge, "The body is larger than %d bytes", big.Limit)
	case err != nil:
		return Refuse(http.StatusBadRequest, "The body could not be read")
	case json.Unmarshal(raw, into) != nil:
		return Refuse(http.StatusBadRequest, "The body is not valid JSON")
	}
	return nil
}

// IsURI reports whether s is absolute and names a host.
func IsURI(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme != "" && u.Host != ""
}
