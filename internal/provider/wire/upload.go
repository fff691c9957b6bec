package wire

import (
	"bytes"
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/provider"
)

// OpUpload uploads a file to the provider. It costs nothing.
const OpUpload Op = "upload"

// UploadTimeout bounds an upload. 500 MB need it at a little less than a megabyte a second.
const UploadTimeout = 10 * time.Minute

// Upload is a file to send as a multipart form.
type Upload struct {
	URL    string            // The full URL, because uploads often go to another host than calls.
	Fields map[string]string // The other fields of the form.
	File   provider.File     // The field "file".
}

// PutFile makes one PUT of a file to a URL that carries its own authorization, so that the API key stays away. Without an answer,
// the error is Unavailable, and the caller may send the file again.
func (c *Client) PutFile(ctx context.Context, target string, f provider.File) (Answer, *provider.Error) {
	ctx, cancel := context.WithTimeout(ctx, UploadTimeout)
	defer cancel()
	a, err := c.putFile(ctx, target, f)
	if err != nil {
		return Answer{}, &provider.Error{Class: provider.Unavailable, Op: string(OpUpload), Err: c.cause(err, []string{target})}
	}
	return a, nil
}

func (c *Client) putFile(ctx context.Context, target string, f provider.File) (Answer, error) {
	body := &fileBody{r: io.LimitReader(f.Content, f.SizeBytes)}
	defer func() { _ = body.Close() }() // The caller closes the file next, while the transport may still read it.
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, target, body)
	if err != nil {
		return Answer{}, err
	}
	req.ContentLength = f.SizeBytes
	c.setHeader(req.Header, f.ContentType, true)
	return c.send(req)
}

// send sends the request of an upload and reads its answer.
func (c *Client) send(req *http.Request) (Answer, error) {
	resp, err := c.queries.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	return readAnswer(resp, MaxAnswer), nil
}

// SendFile makes one HTTP request with a file, streamed, with its length in the header. Without an answer, the error
// is Unavailable, and the caller may send the file again.
func (c *Client) SendFile(ctx context.Context, u Upload) (Answer, *provider.Error) {
	ctx, cancel := context.WithTimeout(ctx, UploadTimeout)
	defer cancel()
	a, err := c.sendFile(ctx, u)
	if err != nil {
		return Answer{}, &provider.Error{Class: provider.Unavailable, Op: string(OpUpload), Err: c.cause(err, nil)}
	}
	return a, nil
}

func (c *Client) sendFile(ctx context.Context, u Upload) (Answer, error) {
	head, tail, contentType, err := formAround(u)
	if err != nil {
		return Answer{}, err
	}
	body := &fileBody{r: io.MultiReader(bytes.NewReader(head), io.LimitReader(u.File.Content, u.File.SizeBytes), bytes.NewReader(tail))}
	defer func() { _ = body.Close() }() // The caller closes the file next, while the transport may still read it.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.URL, body)
	if err != nil {
		return Answer{}, err
	}
	req.ContentLength = int64(len(head)) + u.File.SizeBytes + int64(len(tail))
	c.setHeader(req.Header, contentType, false)
	return c.send(req)
}

// fileBody reads a file, or a form with one, until it is closed. Close waits for a running Read, because the transport may still read after
// it has returned an answer or an error.
type fileBody struct {
	mu     sync.Mutex
	r      io.Reader
	closed bool
}

func (b *fileBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.r.Read(p)
}

func (b *fileBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// formAround returns the bytes of a form before and after its file. A form that is written through a pipe has no
// Content-Length, and some proxies refuse it.
func formAround(u Upload) (head, tail []byte, contentType string, err error) {
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	for name, value := range u.Fields {
		if err := parts.WriteField(name, value); err != nil {
			return nil, nil, "", err
		}
	}
	header := textproto.MIMEHeader{}
	header.Set("Content-Disposition", multipart.FileContentDisposition("file", u.File.Name))
	header.Set("Content-Type", u.File.ContentType)
	if _, err := parts.CreatePart(header); err != nil {
		return nil, nil, "", err
	}
	before := form.Len()
	if err := parts.Close(); err != nil {
		return nil, nil, "", err
	}
	return form.Bytes()[:before], form.Bytes()[before:], parts.FormDataContentType(), nil
}
