package source_test

import (
	"bytes"
	"crypto/sha256"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/postgres/uploads"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

const (
	partBytes = 1000
	maxBytes  = 10_000
)

// service is what replicas share: a database and a bucket.
type service struct {
	pool   *pgxpool.Pool
	store  *uploads.Store
	bucket *media.Bucket
	folder string
}

// models returns the built-in catalog, or nil if it is invalid.
var models = sync.OnceValue(func() *catalog.Catalog {
	c, _ := catalog.Load()
	return c
})

func setup(t *testing.T) service {
	t.Helper()
	s := service{pool: postgrestest.Pool(t), folder: filepath.Join(t.TempDir(), "bucket")}
	s.store = uploads.New(s.pool)
	var err error
	if s.bucket, err = media.OpenBucket(t.Context(), "file://"+s.folder); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.bucket.Close() })
	return s
}

// replica returns the uploads of a process.
func (s service) replica() *source.Uploads {
	return &source.Uploads{Store: s.store, Bucket: s.bucket, MaxBytes: maxBytes, PartBytes: partBytes}
}

func (s service) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := s.pool.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// files lists the files in the bucket below a prefix.
func (s service) files(t *testing.T, prefix string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(filepath.Join(s.folder, prefix), func(path string, e fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err == nil && !e.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// stored returns the bytes of a source.
func (s service) stored(t *testing.T, of *task.Source) []byte {
	t.Helper()
	if of == nil {
		t.Fatal("there is no source")
	}
	data, err := os.ReadFile(filepath.Join(s.folder, filepath.FromSlash(of.Key)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// random returns bytes that no other call returns.
func random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

func newUpload() task.UploadID { return task.UploadID(uuid.NewString()) }

func sum(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}

// receive sends bytes from an offset on to the end, as a call that goes well.
func receive(t *testing.T, u *source.Uploads, id task.UploadID, file []byte, from int) source.Progress {
	t.Helper()
	h := source.Header{Upload: id, Offset: int64(from), SizeBytes: int64(len(file))}
	p, err := u.Receive(t.Context(), "films", h, bytes.NewReader(file[from:]))
	if err != nil {
		t.Fatalf("receive from %d: %v", from, err)
	}
	return p
}

// nothing is a body without bytes.
func nothing() *strings.Reader { return strings.NewReader("") }
