package client

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// downloadStall is how long a download waits for the next bytes.
const downloadStall = 30 * time.Second

// Download downloads an output to a file, and creates missing folders. The file appears under its path only after its size and
// SHA-256 are verified and it is on disk. It replaces an existing file. On an error, no file appears and an existing one
// stays.
//
// A download that is cut continues after the last byte. The token goes to the hosts that WithToken describes.
//
// Download returns the error of the context, or an error for a file that is damaged, refused or no longer kept. It also fails
// after five tries in a row without progress. An error never contains the download URI, which may be a secret. The options
// OnProgress and OnRetry apply.
func (c *Client) Download(ctx context.Context, output *refractv1.Output, path string, options ...CallOption) error {
	d := &download{
		client: c.http, token: c.token.forURI(output.GetDownloadUri()), output: output, settings: callSettingsOf(options),
		stall: downloadStall, hash: sha256.New(),
	}
	if err := d.run(ctx, path); err != nil {
		return fmt.Errorf("download %s: %w", path, err)
	}
	return nil
}

// permanentError is an error that another try would return again.
type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// download is one download.
type download struct {
	client   *http.Client
	token    string
	output   *refractv1.Output
	settings callSettings
	stall    time.Duration

	file     *os.File
	have     int64 // Bytes in the file.
	hash     hash.Hash
	watchdog *time.Timer // Cancels a try that stalls.
}

// run downloads to a file in the same folder, so that renaming it is one step of the file system.
func (d *download) run(ctx context.Context, path string) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // The user's umask decides who may read downloads.
		return err
	}
	part := filepath.Join(dir, "."+filepath.Base(path)+"."+rand.Text()[:8]+".part")
	d.file, err = os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666) //nolint:gosec // As above.
	if err != nil {
		return err
	}
	defer func() {
		_ = d.file.Close() // After a success, it is already closed and checked.
		if err != nil {
			err = errors.Join(err, os.Remove(part))
		}
	}()
	if err := d.fetch(ctx); err != nil {
		return err
	}
	if err := d.verify(); err != nil {
		return err
	}
	if err := errors.Join(d.file.Sync(), d.file.Close()); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return err
	}
	syncFolder(dir)
	return nil
}

// fetch tries until the file has its size.
func (d *download) fetch(ctx context.Context) error {
	var pause pauses
	var furthest int64
	for tries := 1; ; tries++ {
		err := d.try(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if permanent, ok := errors.AsType[permanentError](err); ok {
			return permanent.error
		}
		if d.have > furthest {
			furthest, tries = d.have, 0
			pause.reset()
		}
		if tries >= maxTries {
			return fmt.Errorf("%d tries without progress: %w", maxTries, err)
		}
		d.settings.retry(err)
		if err := pause.wait(ctx, err); err != nil {
			return err
		}
	}
}

var errStalled = errors.New("no bytes came")

// try requests the bytes that are still missing. If another try would fail in the same way, it returns a permanentError.
func (d *download) try(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d.watchdog = time.AfterFunc(d.stall, func() { cancel(errStalled) })
	defer d.watchdog.Stop()
	req, err := d.request(ctx)
	if err != nil {
		return permanentError{err}
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	defer resp.Body.Close()
	if err := d.begin(resp); err != nil {
		return err
	}
	missing := d.output.GetSizeBytes() - d.have
	n, err := io.Copy(d, io.LimitReader(resp.Body, missing+1))
	switch {
	case n > missing:
		return permanentError{fmt.Errorf("the file is larger than its %d bytes", d.output.GetSizeBytes())}
	case n == missing:
		return nil
	case err != nil:
		return err
	default:
		return io.ErrUnexpectedEOF
	}
}

func (d *download) request(ctx context.Context) (*http.Request, error) {
	if d.output.GetDownloadUri() == "" {
		return nil, errors.New("the output has no download URI: its file is no longer kept")
	}
	u, err := url.Parse(d.output.GetDownloadUri())
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, errors.New("the service returned a download URI that is not http or https")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, withoutURL(err)
	}
	req.Header.Set("Accept-Encoding", "identity") // Size and hash are those of the uncompressed bytes.
	if d.token != "" {
		req.Header.Set("Authorization", "Bearer "+d.token)
	}
	if d.have > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(d.have, 10)+"-")
	}
	return req, nil
}

// begin reads the header of a response and makes the file ready for its body.
func (d *download) begin(resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusPartialContent:
		if !strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", d.have)) {
			return permanentError{errors.New("the server sent another range than the requested one")}
		}
		return nil
	case resp.StatusCode == http.StatusOK: // The whole file, whatever was requested.
		d.have = 0
		d.hash.Reset()
		_, err := d.file.Seek(0, io.SeekStart)
		if err = errors.Join(err, d.file.Truncate(0)); err != nil {
			return permanentError{err}
		}
		return nil
	case resp.StatusCode >= 500, resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusRequestTimeout:
		return refusal(resp)
	default:
		return permanentError{refusal(resp)}
	}
}

// Write takes bytes of the body.
func (d *download) Write(b []byte) (int, error) {
	d.watchdog.Reset(d.stall)
	n, err := d.file.Write(b)
	d.hash.Write(b[:n])
	d.have += int64(n)
	d.settings.progress(d.have, d.output.GetSizeBytes())
	if err != nil {
		return n, permanentError{err} // The disk would still be full for another try.
	}
	return n, nil
}

func (d *download) verify() error {
	if got := hex.EncodeToString(d.hash.Sum(nil)); got != d.output.GetSha256() {
		return fmt.Errorf("the file is damaged: its SHA-256 is %s instead of %q; nothing was kept", got, d.output.GetSha256())
	}
	return nil
}

// refusal converts a response without the file to an error. If the body is a google.rpc.Status, the error contains its
// message.
func refusal(resp *http.Response) error {
	var body struct {
		Message string `json:"message"`
	}
	err := json.NewDecoder(io.LimitReader(resp.Body, 16<<10)).Decode(&body)
	if err != nil || body.Message == "" {
		return fmt.Errorf("the server answered %d", resp.StatusCode)
	}
	return fmt.Errorf("the server answered %d: %q", resp.StatusCode, body.Message)
}

// keepToken removes the token from redirects to another scheme or host. The standard library would send it to subdomains, to
// other ports and over plain http.
func keepToken(req *http.Request, via []*http.Request) error {
	if first := via[0].URL; req.URL.Scheme != first.Scheme || req.URL.Host != first.Host {
		req.Header.Del("Authorization")
	}
	if len(via) >= 5 {
		return errors.New("too many redirects")
	}
	return nil
}

// withoutURL removes the URL from an error of net/http, because the URL may be signed.
func withoutURL(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err
	}
	return err
}

// syncFolder makes a rename durable. Not every system can do that, and the file itself is durable already.
func syncFolder(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}
