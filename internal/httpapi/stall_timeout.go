package httpapi

import (
	"fmt"
	"net/http"
	"time"
)

// stallTimeout is how long a client may take nothing of a stream or a download. A watch carries a sign of
// life at least every 15 seconds, so it is never silent that long by itself.
const stallTimeout = time.Minute

// stallTimeoutWriter writes an answer that may last. The server's write timeout, which counts from the
// request on, does not apply to it; each write has stallTimeout instead.
type stallTimeoutWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

// newStallTimeoutWriter lifts the server's write timeout off an answer. Its read timeout ends with the request.
func newStallTimeoutWriter(w http.ResponseWriter) (*stallTimeoutWriter, error) {
	s := &stallTimeoutWriter{ResponseWriter: w, control: http.NewResponseController(w)}
	return s, s.extend()
}

func (s *stallTimeoutWriter) Write(p []byte) (int, error) {
	if err := s.extend(); err != nil {
		return 0, err
	}
	return s.ResponseWriter.Write(p)
}

func (s *stallTimeoutWriter) extend() error {
	if err := s.control.SetWriteDeadline(time.Now().Add(stallTimeout)); err != nil {
		return fmt.Errorf("extend the write timeout: %w", err)
	}
	return nil
}
