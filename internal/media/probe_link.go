package media

import (
	"context"
	crand "crypto/rand"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// errLink means that a signed link does not lead to the file. It quotes no link, which is a secret.
var errLink = errors.New("a signed link did not return the file that it was made for")

// ProbeLink stores a small file, fetches it by a signed link as a stranger would, and deletes it. The error is
// errors.ErrUnsupported where the bucket signs no links, and otherwise a *StorageError, unless ctx was canceled. It must not be
// called concurrently with itself or with Probe.
func (b *Bucket) ProbeLink(ctx context.Context, client *http.Client) error {
	content := crand.Text()
	err := b.Put(ctx, b.probeKey, "application/octet-stream", strings.NewReader(content))
	if err == nil {
		err = b.fetchLink(ctx, client, content)
	}
	cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeCleanup) // NOTE: a put that failed may have stored its file.
	defer cancel()
	if deleteErr := b.Delete(cleanup, b.probeKey); err == nil {
		err = deleteErr
	}
	return err
}

func (b *Bucket) fetchLink(ctx context.Context, client *http.Client, want string) error {
	link, err := b.SignedURL(ctx, b.probeKey, time.Minute)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, http.NoBody)
	if err != nil {
		return b.failed(ctx, "sign", b.probeKey, errLink)
	}
	resp, err := client.Do(req)
	if err != nil {
		return b.failed(ctx, "read", b.probeKey, withoutQuotes(err))
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(io.LimitReader(resp.Body, int64(len(want))+1))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = &StatusError{Status: resp.StatusCode}
	}
	if err == nil && string(got) != want {
		err = errLink
	}
	if err != nil {
		return b.failed(ctx, "read", b.probeKey, err)
	}
	return nil
}
