package httpapi

import (
	"fmt"
	"net/http"
	"time"
)

// stallTimeout is how long a client may read nothing of a stream or a download, or send nothing of an upload. A watch has a
// bookmark at least every 15 seconds, so it never reaches the timeout for lack of messages.
const stallTimeout = time.Minute

// stallTimeoutWriter writes an answer that may last. Each write has stallTimeout instead of the server's write timeout,
// which counts from the request on.
type stallTimeoutWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

// newStallTimeoutWriter replaces the server's write timeout of an answer. The read timeout ends with the request.
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
