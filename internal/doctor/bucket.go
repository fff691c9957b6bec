package doctor

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/redact"
)

// probeBytes is the size of the file that is stored.
const probeBytes = 1 << 20

// bucket checks the bucket.
type bucket struct {
	url  string
	open *media.Bucket
}

func (b *bucket) examine(ctx context.Context) Report {
	if b.url == "" {
		return nil
	}
	first := []check{{"bucket", b.files}}
	links := []check{{"bucket links", b.links}}
	if folder, isFolder := folderOf(b.url); isFolder { // NOTE: opening the bucket would make it.
		if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
			r := warn("let the service make it at its start; if it held files, mount their disk first", "the folder %s does not exist", folder)
			r.Check = "bucket"
			return append(Report{r}, skipAll(links, "not checked, without a bucket")...)
		}
	}
	var err error
	if b.open, err = media.OpenBucket(ctx, b.url); err != nil {
		r := fail("correct --bucket", "%v", err)
		r.Check = "bucket"
		return append(Report{r}, skipAll(links, "not checked, without a bucket")...)
	}
	defer func() { _ = b.open.Close() }() // All that it stored is deleted.
	report := makeAll(ctx, first)
	if report[0].Status == Fail {
		return append(report, skipAll(links, "not checked, since the bucket fails")...)
	}
	return append(report, makeAll(ctx, links)...)
}

// folderOf returns the folder of a bucket that is one.
func folderOf(bucketURL string) (folder string, isFolder bool) {
	u, err := url.Parse(bucketURL)
	if err != nil || u.Scheme != "file" {
		return "", false
	}
	if u.Host == "." {
		return strings.TrimPrefix(u.Path, "/"), true
	}
	return u.Path, true
}

// files stores, reads, compares and deletes a file.
func (b *bucket) files(ctx context.Context) Result {
	err := b.open.Probe(ctx, probeBytes)
	if err == nil {
		return ok("%s: a file was written, read back and deleted", redact.URL(b.url))
	}
	failed, isStorage := errors.AsType[*media.StorageError](err)
	if !isStorage {
		return fail("run it again", "%s: %v", redact.URL(b.url), err)
	}
	doing := map[string]string{"put": "writing", "open": "reading", "read": "reading", "delete": "deleting"}[failed.Op]
	return fail("let the service write, read and delete files there; until then admission pauses, since results could not be saved",
		"%s: %s a file failed: the storage %s (%v)", redact.URL(b.url), doing, media.StorageCause(err), failed.Err)
}

// links fetches a file by a signed link.
func (b *bucket) links(ctx context.Context) Result {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	err := b.open.ProbeLink(ctx, &http.Client{Transport: transport})
	switch {
	case err == nil:
		return ok("a file was fetched by a signed link")
	case errors.Is(err, errors.ErrUnsupported):
		return ok("this bucket signs no links: the service sends files itself")
	default:
		return warn("let anyone who has a signed link fetch it: the endpoint must be reachable, and the credentials able to sign",
			"a signed link did not work: the storage %s (%v)", media.StorageCause(err), err)
	}
}
