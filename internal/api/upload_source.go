package api

import (
	"context"
	"encoding/hex"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// Uploads takes uploads.
type Uploads interface {
	// Receive takes the next bytes of an upload, and keeps those that came before body failed.
	Receive(ctx context.Context, tenant string, h source.Header, body io.Reader) (source.Progress, error)
	// Await waits for what a call says first, which is there when ready is closed, as long as a caller may be silent.
	Await(ctx context.Context, ready <-chan struct{}) error
}

type uploadStream = grpc.ClientStreamingServer[refractv1.UploadSourceRequest, refractv1.UploadSourceResponse]

// UploadSource takes the next bytes of an upload.
func (s *TaskService) UploadSource(stream uploadStream) error {
	first, err := s.firstOf(stream)
	if err != nil {
		return err
	}
	h := first.GetHeader()
	if h == nil {
		return &lifecycle.FieldError{Field: "header", Message: "must be the first message"}
	}
	sum, err := hex.DecodeString(h.GetSha256())
	if err != nil {
		return &lifecycle.FieldError{Field: "header.sha256", Message: "must be hexadecimal"}
	}
	p, err := s.uploads.Receive(stream.Context(), tenantOf(stream.Context()), source.Header{
		Upload: task.UploadID(strings.ToLower(h.GetUploadId())), Offset: h.GetOffset(), SizeBytes: h.GetSizeBytes(), SHA256: sum,
	}, &chunks{stream: stream})
	if err != nil {
		return err
	}
	return stream.SendAndClose(&refractv1.UploadSourceResponse{
		ReceivedBytes: p.Received, Source: uploadedSource(p.Source), Duplicate: p.Duplicate,
	})
}

// firstOf receives the first message. The goroutine that waits for it ends with the call at the latest.
func (s *TaskService) firstOf(stream uploadStream) (*refractv1.UploadSourceRequest, error) {
	var first *refractv1.UploadSourceRequest
	var err error
	ready := make(chan struct{})
	go func() {
		defer close(ready)
		first, err = stream.Recv()
	}()
	if silent := s.uploads.Await(stream.Context(), ready); silent != nil {
		return nil, silent
	}
	return first, err
}

// chunks reads the bytes that a stream carries after its header.
type chunks struct {
	stream uploadStream
	rest   []byte
}

func (c *chunks) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		m, err := c.stream.Recv()
		if err != nil {
			return 0, err // io.EOF when the caller has no more for now.
		}
		if m.GetHeader() != nil {
			return 0, &lifecycle.FieldError{Field: "header", Message: "must be the first message, and only that"}
		}
		c.rest = m.GetChunk()
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func uploadedSource(s *task.Source) *refractv1.UploadedSource {
	if s == nil {
		return nil
	}
	m := &refractv1.UploadedSource{
		Id: string(s.ID), SizeBytes: s.SizeBytes, Sha256: hex.EncodeToString(s.SHA256), ContentType: s.ContentType,
		Width: int32(s.Width), Height: int32(s.Height), //nolint:gosec // Pixels of a picture.
		CreateTime: timestamppb.New(s.CreateTime),
	}
	if s.Duration > 0 {
		m.Duration = durationpb.New(s.Duration)
	}
	return m
}
