//go:build !s3

package buckettest

import (
	"net/http/httptest"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// startS3 starts a server in memory. It accepts any signature, and answers "no such upload" when asked for the uploads in
// parts of a bucket that never had one, where S3 lists none.
func startS3(t testing.TB) *S3 {
	t.Helper()
	backend := s3mem.New()
	srv := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(srv.Close)
	return &S3{endpoint: srv.URL, createBucket: backend.CreateBucket}
}
