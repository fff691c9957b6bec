package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/connlimit"
	"github.com/refract-video/refract/internal/cookie"
)

// Bounds of a form that has a file.
const (
	// formStallTimeout is how long a browser may send nothing of the form.
	formStallTimeout = time.Minute
	// maxTokenPart bounds what comes before the token of the form is checked, in bytes.
	maxTokenPart = 16 << 10
	// maxFormParts bounds the number of fields.
	maxFormParts = 1000
	// maxDiscarded bounds what is read of a refused file, in bytes, so that the browser shows the answer. After that the connection
	// ends.
	maxDiscarded = 256 << 20
	// formUploadChunk is how many bytes of a file go to the gRPC server at a time.
	formUploadChunk = 64 << 10
)

// fileField is the field of the form that has the file.
const fileField = "file"

var errBrokenForm = errors.New("the form did not arrive completely: go back and send it again, which makes one task in total")

// fileTooLargeError means that a file is larger than the model takes.
type fileTooLargeError struct{ limit int64 }

func (e *fileTooLargeError) Error() string {
	return fmt.Sprintf("is larger than %s, which is the most that the model takes", formatBytes(e.limit))
}

// sentForm is a form that was read.
type sentForm struct {
	url.Values
	Source  *refractv1.UploadedSource // The file; nil where none was sent, or it was refused.
	File    string                    // The name of the file, as the browser says.
	Refused error                     // Why the file was refused.
}

// readSubmission reads the form of a task, and uploads its file while it arrives. The token of the form is its first part: without it
// nothing else is read. limit returns the maximum size of a file for the fields before it, 0 where none is known.
func (v *visit) readSubmission(limit func(url.Values) int64) (*sentForm, error) {
	if kind, _, err := mime.ParseMediaType(v.r.Header.Get("Content-Type")); err != nil || kind != "multipart/form-data" {
		if err := v.checkForm(); err != nil {
			return nil, err
		}
		return &sentForm{Values: v.r.PostForm}, nil
	}
	if v.console.Cookies.CheckOrigin(v.r) != nil {
		return nil, errForged
	}
	control := http.NewResponseController(v.w)
	// The server's write timeout counts from the request on, and its read timeout ends long before a large file does.
	defer func() { _ = control.SetWriteDeadline(time.Now().Add(formStallTimeout)) }()
	body := &formBody{r: v.r.Body, control: control, left: maxTokenPart}
	v.r.Body = io.NopCloser(body)
	parts, err := v.r.MultipartReader()
	if err != nil {
		return nil, errForged
	}
	form, err := v.readParts(parts, body, limit)
	if err != nil {
		v.w.Header().Set("Connection", "close") // The rest of the body may still arrive.
	}
	return form, err
}

// readParts reads the parts of a form.
func (v *visit) readParts(parts *multipart.Reader, body *formBody, limit func(url.Values) int64) (*sentForm, error) {
	form := &sentForm{Values: url.Values{}}
	for n := 0; ; n++ {
		part, err := parts.NextPart()
		switch {
		case errors.Is(err, io.EOF) && n > 0:
			return form, nil
		case err != nil && n == 0:
			return nil, errForged
		case err != nil:
			return nil, brokenForm(err)
		case n > maxFormParts:
			return nil, errTooLong
		case n == 0 && part.FormName() != formField:
			return nil, errForged
		case part.FormName() == fileField:
			if err := v.readFile(part, body, form, limit(form.Values)); err != nil {
				return nil, err
			}
			continue
		}
		value, err := io.ReadAll(part) // The body is bounded.
		switch {
		case err != nil && n == 0:
			return nil, errForged
		case err != nil:
			return nil, brokenForm(err)
		}
		if n == 0 {
			if !cookie.HasFormToken(string(value), v.caller.FormKey) {
				return nil, errForged
			}
			body.left = maxForm
		}
		form.Add(part.FormName(), string(value))
	}
}

// brokenForm returns the error of a form that could not be read.
func brokenForm(err error) error {
	if errors.Is(err, errTooLong) {
		return errTooLong
	}
	return errBrokenForm
}

// readFile uploads the file of a form. A refused file is read without being kept, for a while: the fields behind it are wanted, and a
// browser shows no answer before it has sent everything.
func (v *visit) readFile(part *multipart.Part, body *formBody, form *sentForm, limit int64) error {
	rest := body.left
	body.left = noLimit
	defer func() { body.left = rest }()
	done := connlimit.Busy(v)
	defer done()
	if form.Source != nil || form.Refused != nil {
		return errTooLong // There is one file.
	}
	file := &countedFile{r: part, limit: limit}
	if limit > 0 && v.r.ContentLength > limit+maxForm {
		form.File, form.Refused = part.FileName(), &fileTooLargeError{limit} // Nothing of it is uploaded.
	} else {
		source, err := v.upload(file)
		if err == nil && source == nil {
			return nil // No file was chosen.
		}
		form.File, form.Source, form.Refused = part.FileName(), source, err
	}
	if form.Refused == nil {
		return nil
	}
	if body.err != nil {
		return brokenForm(body.err)
	}
	if n, err := io.CopyN(io.Discard, part, maxDiscarded); n == maxDiscarded || err != nil && !errors.Is(err, io.EOF) {
		return form.Refused
	}
	return nil
}

// upload sends a file to the service as it is read, and returns nil for an empty one.
func (v *visit) upload(file io.Reader) (*refractv1.UploadedSource, error) {
	buf := make([]byte, formUploadChunk)
	n, readErr := io.ReadFull(file, buf)
	if n == 0 {
		return nil, endOfFile(readErr)
	}
	ctx, cancel := context.WithCancel(v)
	defer cancel()
	stream, err := v.console.tasks.UploadSource(ctx)
	if err != nil {
		return nil, err
	}
	header := &refractv1.UploadSourceHeader{UploadId: uuid.NewString()}
	err = sendHeader(stream, header)
	var size int64
	for n > 0 && err == nil {
		err = stream.Send(&refractv1.UploadSourceRequest{Part: &refractv1.UploadSourceRequest_Chunk{Chunk: buf[:n]}})
		size += int64(n)
		if n = 0; readErr == nil {
			n, readErr = io.ReadFull(file, buf)
		}
	}
	if err == nil {
		if err := endOfFile(readErr); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, io.EOF) { // io.EOF means that the server has answered.
		return nil, err
	}
	if resp, err := stream.CloseAndRecv(); err != nil || resp.GetSource() != nil {
		return resp.GetSource(), err
	}
	// The size of a file is known at its end only. It completes the upload.
	header.Offset, header.SizeBytes = size, size
	if stream, err = v.console.tasks.UploadSource(ctx); err != nil {
		return nil, err
	}
	if err := sendHeader(stream, header); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	resp, err := stream.CloseAndRecv()
	if err == nil && resp.GetSource() == nil {
		err = errBrokenForm
	}
	return resp.GetSource(), err
}

// sendHeader sends the first message of an upload.
func sendHeader(stream grpc.ClientStreamingClient[refractv1.UploadSourceRequest, refractv1.UploadSourceResponse], header *refractv1.UploadSourceHeader) error {
	return stream.Send(&refractv1.UploadSourceRequest{Part: &refractv1.UploadSourceRequest_Header{Header: header}})
}

// endOfFile returns why a file ended before its end, or nil.
func endOfFile(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// countedFile reads a file that may have limit bytes; 0 means that there is no limit.
type countedFile struct {
	r     io.Reader
	limit int64
	read  int64
}

func (f *countedFile) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if f.read += int64(n); f.limit > 0 && f.read > f.limit {
		return 0, &fileTooLargeError{f.limit}
	}
	return n, err
}

// noLimit is the bound of a body while its file is read, whose own limits apply.
const noLimit = 1 << 62

// formBody reads the body of a form. Each read has formStallTimeout instead of the server's read timeout.
type formBody struct {
	r       io.Reader
	control *http.ResponseController
	left    int64 // The number of bytes that may follow.
	err     error // Why no more can be read.
}

func (b *formBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.left <= 0 {
		b.err = errTooLong
		return 0, b.err
	}
	if err := b.control.SetReadDeadline(time.Now().Add(formStallTimeout)); err != nil {
		return 0, fmt.Errorf("extend the read timeout: %w", err)
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}
