package buckettest_test

import (
	"errors"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
	"gocloud.dev/blob"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/media/buckettest"
)

func TestFileBucket(t *testing.T) {
	t.Parallel()
	buckettest.Run(t, buckettest.Kind{Open: func(t *testing.T) *media.Bucket {
		t.Helper()
		return buckettest.Open(t, "file://"+filepath.Join(t.TempDir(), "bucket"))
	}})
}

func TestMemoryBucket(t *testing.T) {
	t.Parallel()
	buckettest.Run(t, buckettest.Kind{Open: func(t *testing.T) *media.Bucket {
		t.Helper()
		return buckettest.Open(t, "mem://")
	}})
}

func TestS3Bucket(t *testing.T) {
	t.Parallel()
	server := buckettest.StartS3(t)
	t.Run("suite", func(t *testing.T) { buckettest.Run(t, server.Kind()) })
	t.Run("signs URLs for the time that is asked for", func(t *testing.T) { signsForAWhile(t, server) })
	t.Run("sweeps uploads that were never completed", func(t *testing.T) { sweepsUploads(t, server) })
	t.Run("sweeps probes whose process died", func(t *testing.T) { sweepsProbes(t, server) })
	t.Run("is missing where there is no bucket", func(t *testing.T) { isMissing(t, server) })
}

func sweepsProbes(t *testing.T, server *buckettest.S3) {
	t.Helper()
	_, bucketURL := server.NewBucket(t)
	blobs, err := blob.OpenBucket(t.Context(), bucketURL)
	if err != nil {
		t.Fatal(err)
	}
	defer blobs.Close()
	for _, key := range []string{"outputs/probe-OLD", "outputs/t/1-0"} {
		if err := blobs.WriteAll(t.Context(), key, []byte("x"), nil); err != nil {
			t.Fatal(err)
		}
	}
	bucket := buckettest.Open(t, bucketURL)
	for before, want := range map[time.Time]bool{time.Now().Add(-time.Hour): true, time.Now().Add(time.Hour): false} {
		_ = bucket.Sweep(t.Context(), before) // The light server knows no uploads in parts of this bucket.
		if !want {
			if there, err := blobs.Exists(t.Context(), "outputs/probe-OLD"); err != nil || there {
				t.Errorf("the probe is there: %t, %v", there, err)
			}
		}
	}
	if there, err := blobs.Exists(t.Context(), "outputs/t/1-0"); err != nil || !there {
		t.Errorf("the result is there: %t, %v", there, err)
	}
}

// isMissing calls a bucket that does not exist. A file that is not found there must not pass for one that was removed.
func isMissing(t *testing.T, server *buckettest.S3) {
	t.Helper()
	name, bucketURL := server.NewBucket(t)
	bucket := buckettest.Open(t, strings.Replace(bucketURL, name, "nobodys", 1))
	_, openErr := bucket.Open(t.Context(), "outputs/t/1-0")
	_, _, pageErr := bucket.Page(t.Context(), "outputs/", nil, 10)
	for what, err := range map[string]error{
		"open": openErr, "page": pageErr, "delete": bucket.Delete(t.Context(), "outputs/t/1-0"), "probe": bucket.Probe(t.Context(), 1),
		"put": bucket.Put(t.Context(), "outputs/t/1-0", "video/mp4", strings.NewReader("x")),
	} {
		if !errors.Is(err, media.ErrStorage) || errors.Is(err, fs.ErrNotExist) || media.StorageCause(err) != "is missing" {
			t.Errorf("%s gave %v, %q; want a StorageError that the storage is missing", what, err, media.StorageCause(err))
		}
	}
}

func signsForAWhile(t *testing.T, server *buckettest.S3) {
	t.Helper()
	link, err := server.Open(t).SignedURL(t.Context(), "outputs/t/1-0", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	if q := u.Query(); len(q.Get("X-Amz-Signature")) != 64 || q.Get("X-Amz-Expires") != "60" {
		t.Errorf("got %s, want a signature over 60 seconds", link)
	}
}

// sweepsUploads leaves uploads in parts behind, as a process does that dies.
func sweepsUploads(t *testing.T, server *buckettest.S3) {
	t.Helper()
	name, bucketURL := server.NewBucket(t)
	bucket := buckettest.Open(t, bucketURL)
	blobs, err := blob.OpenBucket(t.Context(), bucketURL)
	if err != nil {
		t.Fatal(err)
	}
	defer blobs.Close()
	var client *s3.Client
	if !blobs.As(&client) {
		t.Fatal("no S3 client")
	}
	for _, key := range []string{"outputs/t/1-0", "others/x", "sources/t/1", "uploads/t/1/0-x"} {
		if _, err := client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &name, Key: &key}); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (keys []string) {
		page, err := client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &name})
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range page.Uploads {
			keys = append(keys, aws.ToString(u.Key))
		}
		return keys
	}
	for _, tc := range []struct {
		before time.Time
		want   []string
	}{
		{time.Now().Add(-time.Hour), []string{"others/x", "outputs/t/1-0", "sources/t/1", "uploads/t/1/0-x"}},
		{time.Now().Add(time.Hour), []string{"others/x"}},
	} {
		if err := bucket.Sweep(t.Context(), tc.before); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, left()); diff != "" {
			t.Errorf("uploads that are left (-want +got):\n%s", diff)
		}
	}
}
