package client

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// shelf is a service that keeps uploads, and cuts calls after so many bytes each.
type shelf struct {
	mu   sync.Mutex
	cuts []int
	ids  map[string]bool
	got  bytes.Buffer
}

func (s *shelf) receive(stream uploadStream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := stream.Recv()
	if err != nil {
		return err
	}
	h := m.GetHeader()
	if s.ids == nil {
		s.ids = map[string]bool{}
	}
	s.ids[h.GetUploadId()] = true
	left := -1 // Without a cut.
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if left < 0 && len(s.cuts) > 0 {
			left, s.cuts = s.cuts[0], s.cuts[1:]
		}
		chunk := m.GetChunk()
		if left >= 0 && len(chunk) >= left {
			s.got.Write(chunk[:left])
			return status.Error(codes.Unavailable, "connection lost")
		}
		left -= min(len(chunk), max(left, 0))
		s.got.Write(chunk)
	}
	resp := &refractv1.UploadSourceResponse{ReceivedBytes: int64(s.got.Len())}
	if sum := sha256.Sum256(s.got.Bytes()); hex.EncodeToString(sum[:]) == h.GetSha256() {
		resp.Source = &refractv1.UploadedSource{Id: testID, SizeBytes: int64(s.got.Len())}
	}
	return stream.SendAndClose(resp)
}

func TestUpload_ContinuesWhereItWasCut(t *testing.T) {
	t.Parallel()
	s := &shelf{cuts: []int{1_000, 600_000, 1}}
	c := startRemote(t, &remote{upload: s.receive}).dial(t)
	clip := bytes.Repeat([]byte("0123456789"), 150_000)
	var cuts int
	var done, total int64
	resp, err := c.Upload(t.Context(), bytes.NewReader(clip), OnRetry(func(error) { cuts++ }), OnProgress(func(d, of int64) { done, total = d, of }))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(s.got.Bytes(), clip) || len(s.ids) != 1 || resp.GetSource().GetId() != testID || resp.GetDuplicate() {
		t.Errorf("the service has %d of %d bytes, under %d ids; response %v", s.got.Len(), len(clip), len(s.ids), resp)
	}
	if cuts != 3 || done != 1_500_000 || total != done {
		t.Errorf("%d cuts, want 3; progress %d of %d", cuts, done, total)
	}
	// The same clip has the same upload id, and nothing is sent again.
	if resp, err := c.Upload(t.Context(), bytes.NewReader(clip)); err != nil || !resp.GetDuplicate() || len(s.ids) != 1 || s.got.Len() != len(clip) {
		t.Errorf("uploaded again: %v, %v, under %d ids", resp, err, len(s.ids))
	}
}

func TestUpload_ReturnsWhyAClipIsRefused(t *testing.T) {
	t.Parallel()
	r := startRemote(t, &remote{upload: func(uploadStream) error {
		return refused(codes.ResourceExhausted, "the file is too large", reason("SOURCE_TOO_LARGE"))
	}})
	c := r.dial(t)
	if _, err := c.Upload(t.Context(), strings.NewReader("")); err == nil || !strings.Contains(err.Error(), "the clip is empty") {
		t.Errorf("an empty clip: got %v", err)
	}
	if _, err := c.Upload(t.Context(), strings.NewReader("x")); Reason(err) != "SOURCE_TOO_LARGE" {
		t.Errorf("a large clip: got %v", err)
	}
}

func TestUpload_GivesUpAfterFiveTriesWithoutProgress(t *testing.T) {
	t.Parallel()
	var calls int
	r := startRemote(t, &remote{upload: func(uploadStream) error {
		calls++
		return errDraining
	}})
	_, err := r.dial(t).Upload(t.Context(), strings.NewReader("x"))
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "5 tries without progress") || calls != maxTries {
		t.Errorf("got %v after %d calls", err, calls)
	}
}
