package clienttest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// UploadSink collects the bytes of one upload. Its Receive is meant for Service.Upload.
type UploadSink struct {
	// Cuts are the numbers of bytes after which Receive breaks a call: one for each call that sends bytes. It does
	// not break further calls.
	Cuts []int

	mu       sync.Mutex
	ids      map[string]bool
	received bytes.Buffer
}

// Bytes returns what was uploaded.
func (s *UploadSink) Bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.received.Bytes())
}

// UploadIDs returns how many different upload ids were received.
func (s *UploadSink) UploadIDs() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ids)
}

// Receive answers one call. The answer has the source if the received bytes have the announced SHA-256.
func (s *UploadSink) Receive(stream UploadStream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	h := first.GetHeader()
	if s.ids == nil {
		s.ids = map[string]bool{}
	}
	s.ids[h.GetUploadId()] = true
	if err := s.receiveChunks(stream); err != nil {
		return err
	}
	resp := &refractv1.UploadSourceResponse{ReceivedBytes: int64(s.received.Len())}
	if sum := sha256.Sum256(s.received.Bytes()); hex.EncodeToString(sum[:]) == h.GetSha256() {
		resp.Source = &refractv1.UploadedSource{
			Id: TaskID, SizeBytes: int64(s.received.Len()), ContentType: "video/mp4", Duration: durationpb.New(4 * time.Second),
		}
	}
	return stream.SendAndClose(resp)
}

// receiveChunks collects the chunks of a call up to its cut.
func (s *UploadSink) receiveChunks(stream UploadStream) error {
	for taken, cut := 0, -1; ; {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if cut < 0 && len(s.Cuts) > 0 {
			cut, s.Cuts = s.Cuts[0], s.Cuts[1:]
		}
		chunk := m.GetChunk()
		if cut >= 0 && taken+len(chunk) >= cut {
			s.received.Write(chunk[:cut-taken])
			return status.Error(codes.Unavailable, "connection lost")
		}
		taken += len(chunk)
		s.received.Write(chunk)
	}
}
