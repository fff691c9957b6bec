package httpapi

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/connlimit"
	"github.com/refract-video/refract/internal/httpfield"
)

// sourcesPath is where sources are uploaded, each under the id of its upload.
const sourcesPath = "/v1/sources/"

// uploadChunk is how many bytes go to the gRPC server at a time.
const uploadChunk = 256 << 10

// uploadHandler receives uploads of sources over HTTP. It is no route of the gateway, which keeps whole bodies in memory.
type uploadHandler struct {
	mux   *runtime.ServeMux
	tasks refractv1.TaskServiceClient
	refuser
}

// ServeHTTP receives the next bytes of an upload (PUT), or answers how many it has (HEAD, GET).
func (h *uploadHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setRoute(r.Context(), sourcesPath+"{upload_id}")
	if field, problem := checkQuery(nil, r.URL.Query(), nil); problem != "" {
		h.invalid(closing(w, r), field, problem)
		return
	}
	header := &refractv1.UploadSourceHeader{UploadId: strings.TrimPrefix(r.URL.Path, sourcesPath)}
	body := &stallTimeoutReader{r: http.NoBody, control: http.NewResponseController(w), begun: sync.OnceValue(func() func() { return connlimit.Busy(r.Context()) })} //nolint:contextcheck // It is the context of the request.
	switch r.Method {
	case http.MethodHead, http.MethodGet:
	case http.MethodPut:
		if err := describeUpload(header, r); err != nil {
			h.invalid(closing(w, r), "", err.Error())
			return
		}
		body.r = r.Body
		defer func() { body.begun()() }()
	default:
		h.refuseMethod(closing(w, r), "GET, HEAD, PUT")
		return
	}
	resp, md, err := h.send(r, header, body)
	forwardHeaders(w, md)
	// The server's write timeout counts from the request on, which may have begun hours ago.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(stallTimeout)) // Where it can't be set there is none.
	if err != nil {
		h.refuseUpload(r.Context(), w, err)
		return
	}
	h.answer(w, r.Method, resp)
}

// send passes the body on as the messages of a stream. When the caller disconnects it completes the stream, so that the
// bytes that have arrived are kept. It stops reading the body when the server answers before the end of the body.
func (h *uploadHandler) send(
	r *http.Request, header *refractv1.UploadSourceHeader, body *stallTimeoutReader,
) (*refractv1.UploadSourceResponse, metadata.MD, error) {
	ctx, err := runtime.AnnotateContext(context.WithoutCancel(r.Context()), h.mux, r, refractv1.TaskService_UploadSource_FullMethodName)
	if err != nil {
		return nil, nil, err
	}
	var md metadata.MD
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := h.tasks.UploadSource(ctx, grpc.Header(&md))
	if err != nil {
		return nil, md, err
	}
	resp, answered := &refractv1.UploadSourceResponse{}, make(chan error, 1)
	go func() {
		err := stream.RecvMsg(resp)
		body.cut()
		answered <- err
	}()
	var broken error
	err = stream.Send(&refractv1.UploadSourceRequest{Part: &refractv1.UploadSourceRequest_Header{Header: header}})
	if err == nil {
		broken, err = sendChunks(stream, body)
	}
	if err != nil && !errors.Is(err, io.EOF) { // io.EOF means that the server has answered before the end.
		cancel()
		<-answered //nolint:errcheck // Its error is the same.
		return nil, md, err
	}
	if broken != nil {
		defer time.AfterFunc(stallTimeout, cancel).Stop()
	}
	_ = stream.CloseSend() // It always returns nil.
	err = <-answered
	if err == nil && broken != nil && resp.GetSource() == nil {
		err = bodyError{broken}
	}
	return resp, md, err
}

// sendChunks sends the body until its end. It returns the error of reading the body, or else that of sending.
func sendChunks(
	stream grpc.ClientStreamingClient[refractv1.UploadSourceRequest, refractv1.UploadSourceResponse], body io.Reader,
) (broken, err error) {
	buf := make([]byte, uploadChunk)
	for {
		n, readErr := body.Read(buf)
		if n > 0 {
			m := &refractv1.UploadSourceRequest{Part: &refractv1.UploadSourceRequest_Chunk{Chunk: buf[:n]}}
			if err := stream.Send(m); err != nil {
				return nil, err
			}
		}
		if errors.Is(readErr, io.EOF) {
			return nil, nil
		}
		if readErr != nil {
			return readErr, nil
		}
	}
}

// bodyError is why a body could not be read.
type bodyError struct{ error }

// answer sends the state of the upload: 201 for a new source, 200 for a known source or a question, 202 while bytes are
// missing.
func (h *uploadHandler) answer(w http.ResponseWriter, method string, resp *refractv1.UploadSourceResponse) {
	body, err := encode(resp)
	if err != nil {
		h.refuse(w, internalError)
		return
	}
	httpStatus := statusServed
	switch {
	case method != http.MethodPut, resp.GetDuplicate():
	case resp.GetSource() == nil:
		httpStatus = statusIncomplete
	default:
		httpStatus = statusCreated
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Upload-Offset", strconv.FormatInt(resp.GetReceivedBytes(), 10))
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(httpStatus)
	if method != http.MethodHead {
		_, _ = w.Write(body) //nolint:gosec // The body is JSON and declared as such, with nosniff.
	}
}

// refuseUpload answers a refused upload and ends the connection, since the rest of the body may still arrive.
func (h *uploadHandler) refuseUpload(ctx context.Context, w http.ResponseWriter, err error) {
	w.Header().Set("Connection", "close")
	if broken, ok := errors.AsType[bodyError](err); ok {
		h.refuseBody(w, broken.error)
		return
	}
	if received, ok := errorInfoOf(status.Convert(err)).GetMetadata()["received_bytes"]; ok {
		w.Header().Set("Upload-Offset", received)
	}
	h.fail(ctx, w, err)
}

// describeUpload reads the size, offset and digest of a body from the headers.
func describeUpload(h *refractv1.UploadSourceHeader, r *http.Request) error {
	var err error
	if h.Sha256, err = announcedSHA256(r.Header.Get("Repr-Digest")); err != nil {
		return err
	}
	if r.Header.Get("Content-Range") == "" {
		if r.ContentLength < 0 {
			return errors.New("the size is missing: send Content-Length, or Content-Range with the size of the file")
		}
		h.SizeBytes = r.ContentLength
		return nil
	}
	part, ok := httpfield.ContentRange(r.Header)
	if !ok {
		return errors.New("Content-Range must be of the form: bytes FIRST-LAST/SIZE")
	}
	h.SizeBytes = max(part.Size, 0)
	if part.First < 0 {
		return nil // It only names the size.
	}
	h.Offset = part.First
	if r.ContentLength >= 0 && r.ContentLength != part.Last-part.First+1 {
		return errors.New("Content-Range must have as many bytes as the body")
	}
	return nil
}

// announcedSHA256 reads a Repr-Digest (RFC 9530) and returns its SHA-256 in hexadecimal; empty where it has none.
func announcedSHA256(header string) (string, error) {
	for digest := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(digest), "=")
		if !strings.EqualFold(name, "sha-256") {
			continue
		}
		sum, err := base64.StdEncoding.DecodeString(strings.Trim(value, ":"))
		if err != nil || len(sum) != 32 {
			return "", errors.New("Repr-Digest must be of the form sha-256=:BASE64: with the SHA-256 of the file")
		}
		return hex.EncodeToString(sum), nil
	}
	return "", nil
}

// stallTimeoutReader reads a body that may last. Each read has stallTimeout instead of the server's read timeout.
type stallTimeoutReader struct {
	r       io.Reader
	control *http.ResponseController
	begun   func() (done func()) // Called when bytes have arrived.

	mu   sync.Mutex
	over bool // Whether the body has ended or was cut.
}

func (s *stallTimeoutReader) Read(p []byte) (int, error) {
	if err := s.extend(); err != nil {
		return 0, err
	}
	n, err := s.r.Read(p)
	if n > 0 {
		s.begun()
	}
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.over = true
	}
	return n, err
}

// extend sets the deadline of the next read.
func (s *stallTimeoutReader) extend() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return errCutShort
	}
	if err := s.control.SetReadDeadline(time.Now().Add(stallTimeout)); err != nil {
		return fmt.Errorf("extend the read timeout: %w", err)
	}
	return nil
}

// errCutShort means that the upload was answered before the end of its body.
var errCutShort = errors.New("the upload was answered before the end of the body")

// cut ends the reading of a body, also during a read. It leaves the deadline when the body has ended: the server already
// waits for the next request.
func (s *stallTimeoutReader) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.over = true
		_ = s.control.SetReadDeadline(time.Now()) // Without it the read ends by its timeout.
	}
}
