//go:build !s3

package buckettest

import (
	"net/http/httptest"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// startS3 starts a server in memory. It accepts any signature. If a bucket never had a multipart upload, it answers a
// list of these uploads with "no such upload", while S3 returns an empty list.
func startS3(t testing.TB) *S3 {
	t.Helper()
	backend := s3mem.New()
	srv := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(srv.Close)
	return &S3{endpoint: srv.URL, createBucket: backend.CreateBucket}
}
