package buckettest

import (
	"fmt"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/refract-video/refract/internal/media"
	_ "github.com/refract-video/refract/internal/media/cloud" // Opens them.
)

// S3 is an S3 server that runs until the test ends. It is a light one in memory, in the process of the test; with the build
// tag s3 it is a real one, versitygw, in a process of its own. Its methods may be called concurrently.
type S3 struct {
	// ChecksSignatures reports whether the server refuses signed URLs that were changed or have expired.
	ChecksSignatures bool

	endpoint     string
	createBucket func(name string) error
	buckets      atomic.Int32
}

// Who the tests are to the server.
const (
	accessKey = "refract"
	secretKey = "refract-test-secret" //nolint:gosec // It opens nothing but the servers of tests.
)

// setCredentials sets the credentials of all S3 servers for the whole process. gocloud reads them from the environment and
// from files only. Unlike t.Setenv, which restores the variables, this lets tests run in parallel: all of them use the
// same values, and nothing but S3 buckets reads them.
var setCredentials = sync.OnceValue(func() error {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey,
		"AWS_SESSION_TOKEN": "", // A developer's own would be sent along.
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
})

// StartS3 starts a server.
func StartS3(t testing.TB) *S3 {
	t.Helper()
	if err := setCredentials(); err != nil {
		t.Fatal(err)
	}
	return startS3(t)
}

// Kind returns the kind of bucket that the server has.
func (s *S3) Kind() Kind {
	return Kind{Open: s.Open, Signs: true, ChecksSignatures: s.ChecksSignatures}
}

// NewBucket creates an empty bucket and returns its name and its URL.
func (s *S3) NewBucket(t testing.TB) (name, bucketURL string) {
	t.Helper()
	name = fmt.Sprintf("bucket-%d", s.buckets.Add(1))
	if err := s.createBucket(name); err != nil {
		t.Fatal(err)
	}
	q := url.Values{"endpoint": {s.endpoint}, "region": {"us-east-1"}, "use_path_style": {"true"}}
	return name, "s3://" + name + "?" + q.Encode()
}

// Open opens a bucket that holds nothing, and closes it when the test ends.
func (s *S3) Open(t *testing.T) *media.Bucket {
	t.Helper()
	_, bucketURL := s.NewBucket(t)
	return Open(t, bucketURL)
}
