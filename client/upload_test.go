package client

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/refract-video/refract/internal/clienttest"
)

func TestUpload_ContinuesWhereItWasCut(t *testing.T) {
	t.Parallel()
	s := &clienttest.UploadSink{Cuts: []int{1_000, 600_000, 1}}
	c := dial(t, clienttest.Start(t, &clienttest.Service{Upload: s.Receive}))
	clip := bytes.Repeat([]byte("0123456789"), 150_000)
	var cuts int
	var done, total int64
	resp, err := c.Upload(t.Context(), bytes.NewReader(clip), OnRetry(func(error) { cuts++ }), OnProgress(func(d, of int64) { done, total = d, of }))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(s.Bytes(), clip) || s.UploadIDs() != 1 || resp.GetSource().GetId() != clienttest.TaskID || resp.GetDuplicate() {
		t.Errorf("the service has %d of %d bytes, under %d ids; response %v", len(s.Bytes()), len(clip), s.UploadIDs(), resp)
	}
	if cuts != 3 || done != 1_500_000 || total != done {
		t.Errorf("%d cuts, want 3; progress %d of %d", cuts, done, total)
	}
	// The same clip has the same upload id, and nothing is sent again.
	if resp, err := c.Upload(t.Context(), bytes.NewReader(clip)); err != nil || !resp.GetDuplicate() || s.UploadIDs() != 1 || len(s.Bytes()) != len(clip) {
		t.Errorf("uploaded again: %v, %v, under %d ids", resp, err, s.UploadIDs())
	}
}

func TestUpload_ReturnsWhyAClipIsRefused(t *testing.T) {
	t.Parallel()
	r := clienttest.Start(t, &clienttest.Service{Upload: func(clienttest.UploadStream) error {
		return clienttest.Refused(codes.ResourceExhausted, "the file is too large", clienttest.Reason("SOURCE_TOO_LARGE"))
	}})
	c := dial(t, r)
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
	r := clienttest.Start(t, &clienttest.Service{Upload: func(clienttest.UploadStream) error {
		calls++
		return clienttest.ErrDraining
	}})
	_, err := dial(t, r).Upload(t.Context(), strings.NewReader("x"))
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "5 tries without progress") || calls != maxTries {
		t.Errorf("got %v after %d calls", err, calls)
	}
}
