package buckettest_test

import (
	"net/url"
	"path/filepath"
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
	t.Run("sweeps uploads that nobody completes", func(t *testing.T) { sweepsUploads(t, server) })
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
