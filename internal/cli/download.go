package cli

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

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// download fetches an output to a file. The file appears under its path whole, on disk and verified by size
// and SHA-256, in place of one that was there, or not at all.
//
// A download that is cut is resumed from where it was, up to five times in a row without a byte of progress.
// The token is sent to the host of the download URI alone, and not along redirects to elsewhere; an empty one
// is not sent. Whether that host may have it is the caller's decision.
func download(ctx context.Context, client *http.Client, token string, o *refractv1.Output, path string, p *progress) error {
	t := &transfer{client: withCarefulRedirects(client), token: token, output: o, progress: p, stall: 30 * time.Second, hash: sha256.New()}
	defer p.transferred()
	if err := t.run(ctx, path); err != nil {
		return fmt.Errorf("download %s: %w", path, err)
	}
	return nil
}

// maxTries is how many tries without progress end a download.
const maxTries = 5

// transfer is one download.
type transfer struct {
	client   *http.Client
	token    string
	output   *refractv1.Output
	progress *progress
	stall    time.Duration // How long to wait for the next bytes.

	file     *os.File
	have     int64 // Bytes in the file.
	hash     hash.Hash
	watchdog *time.Timer // Cuts a try that stalls.
}

// run downloads to a file beside the path, so that renaming it is one step of the file system.
func (t *transfer) run(ctx context.Context, path string) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // The user's umask decides who may read downloads.
		return err
	}
	part := filepath.Join(dir, "."+filepath.Base(path)+"."+rand.Text()[:8]+".part")
	t.file, err = os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666) //nolint:gosec // As above.
	if err != nil {
		return err
	}
	defer func() {
		_ = t.file.Close() // Closed and checked already when all went well.
		if err != nil {
			err = errors.Join(err, os.Remove(part))
		}
	}()
	if err := t.fetch(ctx); err != nil {
		return err
	}
	if err := t.verify(); err != nil {
		return err
	}
	if err := errors.Join(t.file.Sync(), t.file.Close()); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return err
	}
	syncFolder(dir)
	return nil
}

// fetch tries until the file has its size.
func (t *transfer) fetch(ctx context.Context) error {
	pause := newPause()
	var furthest int64
	for tries := 1; ; tries++ {
		err := t.try(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if permanent, ok := errors.AsType[*backoff.PermanentError](err); ok {
			return permanent.Err
		}
		if t.have > furthest {
			furthest, tries = t.have, 0
			pause.Reset()
		}
		if tries >= maxTries {
			return fmt.Errorf("%d tries without progress: %w", maxTries, err)
		}
		t.progress.note(fmt.Sprintf("download cut after %d of %d bytes, resuming", t.have, t.output.GetSizeBytes()))
		if err := sleep(ctx, pause.NextBackOff()); err != nil {
			return err
		}
	}
}

var errStalled = errors.New("no bytes came")

// try sends one request, for what is still missing. An error that another try would meet again is permanent.
func (t *transfer) try(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	t.watchdog = time.AfterFunc(t.stall, func() { cancel(errStalled) })
	defer t.watchdog.Stop()
	req, err := t.request(ctx)
	if err != nil {
		return backoff.Permanent(err)
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	defer resp.Body.Close()
	if err := t.begin(resp); err != nil {
		return err
	}
	missing := t.output.GetSizeBytes() - t.have
	n, err := io.Copy(t, io.LimitReader(resp.Body, missing+1))
	switch {
	case n > missing:
		return backoff.Permanent(fmt.Errorf("the file is larger than its %d bytes", t.output.GetSizeBytes()))
	case n == missing:
		return nil
	case err != nil:
		return err
	default:
		return io.ErrUnexpectedEOF
	}
}

func (t *transfer) request(ctx context.Context) (*http.Request, error) {
	u, err := url.Parse(t.output.GetDownloadUri())
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, errors.New("the service gave no http address for the output")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, withoutURL(err)
	}
	req.Header.Set("Accept-Encoding", "identity") // Size and hash are those of the plain bytes.
	if t.token != "" {
		req.Header.Set("Authorization", "Bearer "+t.token)
	}
	if t.have > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(t.have, 10)+"-")
	}
	return req, nil
}

// begin looks at an answer and makes the file ready for its body.
func (t *transfer) begin(resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusPartialContent:
		if !strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", t.have)) {
			return backoff.Permanent(errors.New("the server sent another range than it was asked for"))
		}
		return nil
	case resp.StatusCode == http.StatusOK: // From the beginning, whatever was asked for.
		t.have = 0
		t.hash.Reset()
		_, err := t.file.Seek(0, io.SeekStart)
		if err = errors.Join(err, t.file.Truncate(0)); err != nil {
			return backoff.Permanent(err)
		}
		return nil
	case resp.StatusCode >= 500, resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusRequestTimeout:
		return refusal(resp)
	default:
		return backoff.Permanent(refusal(resp))
	}
}

// Write takes bytes of the body.
func (t *transfer) Write(b []byte) (int, error) {
	t.watchdog.Reset(t.stall)
	n, err := t.file.Write(b)
	t.hash.Write(b[:n])
	t.have += int64(n)
	t.progress.downloading(t.have, t.output.GetSizeBytes())
	if err != nil {
		return n, backoff.Permanent(err) // A full disk is not emptied by another try.
	}
	return n, nil
}

func (t *transfer) verify() error {
	if got := hex.EncodeToString(t.hash.Sum(nil)); got != t.output.GetSha256() {
		return fmt.Errorf("the file is damaged: its SHA-256 is %s instead of %s; nothing was kept", got, OneLine(t.output.GetSha256()))
	}
	return nil
}

// refusal is an answer without the file as an error, in the server's words where it is a google.rpc.Status.
func refusal(resp *http.Response) error {
	var body struct {
		Message string `json:"message"`
	}
	err := json.NewDecoder(io.LimitReader(resp.Body, 16<<10)).Decode(&body)
	if err != nil || body.Message == "" {
		return fmt.Errorf("the server answered %d", resp.StatusCode)
	}
	return fmt.Errorf("the server answered %d: %s", resp.StatusCode, OneLine(body.Message))
}

// withCarefulRedirects returns the client, with the token kept from redirects to another scheme or host. The
// standard library alone would send it on to subdomains, other ports and plain http.
func withCarefulRedirects(client *http.Client) *http.Client {
	careful := *client
	careful.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if first := via[0].URL; req.URL.Scheme != first.Scheme || req.URL.Host != first.Host {
			req.Header.Del("Authorization")
		}
		if len(via) >= 5 {
			return errors.New("too many redirects")
		}
		return nil
	}
	return &careful
}

// withoutURL drops the address from an error of net/http: it may be signed.
func withoutURL(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err
	}
	return err
}

// syncFolder makes a rename last. Not every system can, and the file itself is safe already.
func syncFolder(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}

// outputPath is where an output goes: the path that the user gave, a file in the folder that the user gave, or
// by default one in ./refract-output. Further outputs of the task get a number.
func outputPath(given, taskID string, o *refractv1.Output, i int) (string, error) {
	path := given
	info, err := os.Stat(given)
	folder := strings.HasSuffix(given, string(filepath.Separator)) || (err == nil && info.IsDir())
	if given == "" || folder {
		if _, err := uuid.Parse(taskID); err != nil {
			return "", errors.New("the service's task id is no UUID, so it can't name a file: pass -o PATH")
		}
		extension := ".mp4"
		if o.GetContentType() == "video/quicktime" {
			extension = ".mov"
		}
		if given == "" {
			given = "refract-output"
		}
		path = filepath.Join(given, taskID+extension)
	}
	if i > 0 {
		extension := filepath.Ext(path)
		path = strings.TrimSuffix(path, extension) + "-" + strconv.Itoa(i) + extension
	}
	return path, nil
}
