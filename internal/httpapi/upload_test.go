package httpapi_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

const (
	uploadAt = "/v1/sources/0190b0a8-5a0b-4c1e-8f00-000000000002"
	uploadID = "0190b0a8-5a0b-4c1e-8f00-000000000002"
)

// uploads records the messages of one upload.
type uploads struct {
	header *refractv1.UploadSourceHeader
	bytes  bytes.Buffer
	ended  chan struct{} // Closed after a call.
}

func (u *uploads) receive(stream uploadStream) error {
	defer close(u.ended)
	m, err := stream.Recv()
	if err != nil {
		return err
	}
	u.header = m.GetHeader()
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		u.bytes.Write(m.GetChunk())
	}
	resp := &refractv1.UploadSourceResponse{ReceivedBytes: u.header.GetOffset() + int64(u.bytes.Len())}
	if resp.GetReceivedBytes() == u.header.GetSizeBytes() {
		resp.Source = &refractv1.UploadedSource{Id: taskID}
	}
	return stream.SendAndClose(resp)
}

// chunked is a body without a Content-Length.
type chunked struct{ io.Reader }

func TestUpload_ReadsFromTheHeadersWhatTheBodyIs(t *testing.T) {
	t.Parallel()
	const digest = "sha-256=:n59REfeyenge8fHd3eW8Ldore/1zZcnCi1SOVkF2kp8=:"
	hex := "9f9f5111f7b27a781ef1f1dddde5bc2dda2b7bfd7365c9c28b548e564176929f"
	for name, tc := range map[string]struct {
		method  string
		body    io.Reader
		headers []string
		status  int
		want    *refractv1.UploadSourceHeader
		says    string
	}{
		"whole": {
			http.MethodPut, strings.NewReader(video), nil, 201,
			&refractv1.UploadSourceHeader{UploadId: uploadID, SizeBytes: 16}, `"receivedBytes":"16"`,
		},
		"announced": {
			http.MethodPut, strings.NewReader(video),
			[]string{"Repr-Digest", "md5=:x:, " + digest},
			201,
			&refractv1.UploadSourceHeader{UploadId: uploadID, SizeBytes: 16, Sha256: hex}, "",
		},
		"first part": {
			http.MethodPut, strings.NewReader(video),
			[]string{"Content-Range", "bytes 0-15/20"},
			202,
			&refractv1.UploadSourceHeader{UploadId: uploadID, SizeBytes: 20}, `"receivedBytes":"16","duplicate":false`,
		},
		"last part": {
			http.MethodPut, strings.NewReader("ghij"),
			[]string{"Content-Range", "bytes 16-19/20"},
			201,
			&refractv1.UploadSourceHeader{UploadId: uploadID, Offset: 16, SizeBytes: 20}, "",
		},
		"part of a file of unknown size": {
			http.MethodPut,
			chunked{strings.NewReader(video)},
			[]string{"Content-Range", "bytes 0-15/*"},
			202,
			&refractv1.UploadSourceHeader{UploadId: uploadID}, "",
		},
		"no more than the size": {
			http.MethodPut, nil,
			[]string{"Content-Range", "bytes */20"},
			202,
			&refractv1.UploadSourceHeader{UploadId: uploadID, SizeBytes: 20}, "",
		},
		"question": {http.MethodHead, nil, nil, 200, &refractv1.UploadSourceHeader{UploadId: uploadID}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := &uploads{ended: make(chan struct{})}
			s := serveInternal(t, &remote{upload: u.receive})
			a := s.do(t, tc.method, uploadAt, tc.body, tc.headers...)
			if a.status != tc.status || !strings.Contains(a.body, tc.says) {
				t.Errorf("answer %d %s, want %d with %s", a.status, a.body, tc.status, tc.says)
			}
			if diff := cmp.Diff(tc.want, u.header, protocmp.Transform()); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
			if a.header.Get("Upload-Offset") == "" {
				t.Error("no Upload-Offset")
			}
		})
	}
}

func TestUpload_PassesTheBytesOnWhateverTheirNumber(t *testing.T) {
	t.Parallel()
	file := bytes.Repeat([]byte("0123456789abcdef"), 200_000) // More than what REST bodies may have.
	u := &uploads{ended: make(chan struct{})}
	s := serveInternal(t, &remote{upload: u.receive})
	if a := s.do(t, http.MethodPut, uploadAt, bytes.NewReader(file)); a.status != 201 || !bytes.Equal(u.bytes.Bytes(), file) {
		t.Errorf("answer %d, %d bytes passed on, want all %d", a.status, u.bytes.Len(), len(file))
	}
}

func TestUpload_PassesOnWhatCameBeforeACut(t *testing.T) {
	t.Parallel()
	u := &uploads{ended: make(chan struct{})}
	s := serveInternal(t, &remote{upload: u.receive})
	body := io.MultiReader(strings.NewReader(video), iotest.ErrReader(errors.New("the disk broke")))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL+uploadAt, body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = 1000
	if resp, err := s.Client().Do(req); err == nil {
		resp.Body.Close()
		t.Errorf("answered %d, want that the client failed", resp.StatusCode)
	}
	<-u.ended
	if got := u.bytes.String(); got != video {
		t.Errorf("passed on %q, want %q", got, video)
	}
}

// A body that stalls must not delay the answer of a replica that shuts down, or that knows the file.
func TestUpload_AnswersBeforeTheEndOfTheBody(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer error
		status int
	}{
		"draining": {status.Error(codes.Unavailable, "shutting down"), 503},
		"known":    {nil, 201},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveInternal(t, &remote{upload: func(stream uploadStream) error {
				for range 2 { // The header and the first bytes.
					if _, err := stream.Recv(); err != nil {
						return err
					}
				}
				if tc.answer != nil {
					return tc.answer
				}
				return stream.SendAndClose(&refractv1.UploadSourceResponse{Source: &refractv1.UploadedSource{Id: taskID}})
			}})
			body, client := io.Pipe()
			defer client.Close()
			go func() { _, _ = client.Write([]byte(video)) }()
			if a := s.do(t, http.MethodPut, uploadAt, body, "Content-Range", "bytes 0-99/100"); a.status != tc.status {
				t.Errorf("answer %d %s, want %d", a.status, a.body, tc.status)
			}
		})
	}
}

func TestUpload_RefusesInTheSameShape(t *testing.T) {
	t.Parallel()
	conflict := withFacts(t, codes.Aborted, "UPLOAD_CONFLICT", "received_bytes", "7")
	stalled := withFacts(t, codes.Aborted, "UPLOAD_STALLED", "received_bytes", "7")
	tooLarge := withFacts(t, codes.ResourceExhausted, "SOURCE_TOO_LARGE", "limit_bytes", "7")
	for name, tc := range map[string]struct {
		method  string
		body    io.Reader
		headers []string
		answer  error
		status  int
		says    string
	}{
		"no size":          {http.MethodPut, chunked{strings.NewReader(video)}, nil, nil, 400, "the size is missing"},
		"malformed range":  {http.MethodPut, strings.NewReader(video), []string{"Content-Range", "0-15"}, nil, 400, "bytes FIRST-LAST/SIZE"},
		"another range":    {http.MethodPut, strings.NewReader(video), []string{"Content-Range", "bytes 0-16/20"}, nil, 400, "as many bytes as the body"},
		"malformed digest": {http.MethodPut, strings.NewReader(video), []string{"Repr-Digest", "sha-256=abc"}, nil, 400, "sha-256=:BASE64:"},
		"another method":   {http.MethodPost, strings.NewReader(video), nil, nil, 405, `"code":12`},
		"conflict":         {http.MethodPut, strings.NewReader(video), nil, conflict, 409, `"reason":"UPLOAD_CONFLICT"`},
		"stalled":          {http.MethodPut, strings.NewReader(video), nil, stalled, 408, `"reason":"UPLOAD_STALLED"`},
		"too large":        {http.MethodPut, strings.NewReader(video), nil, tooLarge, 413, `"reason":"SOURCE_TOO_LARGE"`},
		"bucket fails":     {http.MethodPut, strings.NewReader(video), nil, errors.New("hunter2"), 500, `"message":"internal error"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveInternal(t, &remote{upload: func(uploadStream) error { return tc.answer }})
			a := s.do(t, tc.method, uploadAt, tc.body, tc.headers...)
			if a.status != tc.status || !strings.Contains(a.body, tc.says) || strings.Contains(a.body, "hunter2") {
				t.Errorf("answer %d %s\nwant %d with %s", a.status, a.body, tc.status, tc.says)
			}
			if name == "conflict" && a.header.Get("Upload-Offset") != "7" {
				t.Errorf("Upload-Offset %q, want 7", a.header.Get("Upload-Offset"))
			}
		})
	}
}

// withFacts is a refusal with a fact.
func withFacts(t *testing.T, code codes.Code, reason, key, value string) error {
	t.Helper()
	st, err := status.New(code, "refused").WithDetails(&errdetails.ErrorInfo{
		Reason: reason, Domain: "refract", Metadata: map[string]string{key: value},
	})
	if err != nil {
		t.Fatal(err)
	}
	return st.Err()
}
