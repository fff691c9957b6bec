package media

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
)

// DefaultMaxBytes is the size of the largest file that a Saver saves unless told otherwise: 2 GiB.
const DefaultMaxBytes = 2 << 30

// The errors of Save that the same save would meet again, beside ErrBlocked and ErrLinkDead.
var (
	// ErrNotVideo means that the link led to something else than a video, most often a web page.
	ErrNotVideo = errors.New("not a video")
	// ErrTooLarge means that the file is larger than the Saver's MaxBytes.
	ErrTooLarge = errors.New("the file is too large")
)

// Saved describes a file as it lies in the bucket.
type Saved struct {
	SizeBytes   int64
	SHA256      [sha256.Size]byte
	ContentType string // From the file's own first bytes: "video/mp4" or "video/quicktime".
}

// Saver copies the files behind result links into a bucket. It may be used concurrently.
type Saver struct {
	Client   *http.Client // From NewClient.
	Bucket   *Bucket
	MaxBytes int64 // Zero means DefaultMaxBytes.
}

// Save fetches link and stores what it finds under key, which it overwrites. Two saves to one key at a
// time are both whole, and the later one stays.
//
// After an error the key is as it was. ErrLinkDead asks for a fresh link; ErrNotVideo, ErrTooLarge and
// ErrBlocked would come again; after any other error the same save may be tried again.
// Errors name the link's scheme and host alone.
func (s *Saver) Save(ctx context.Context, link, key string) (Saved, error) {
	saved, err := s.save(ctx, link, key)
	if err != nil {
		return Saved{}, fmt.Errorf("save %s from %s: %w", key, origin(link), err)
	}
	return saved, nil
}

func (s *Saver) save(ctx context.Context, link, key string) (Saved, error) {
	limit := s.MaxBytes
	if limit <= 0 {
		limit = DefaultMaxBytes
	}
	resp, err := fetch(ctx, s.Client, link)
	if err != nil {
		return Saved{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.ContentLength > limit {
		return Saved{}, fmt.Errorf("%w: %d bytes, and %d are allowed", ErrTooLarge, resp.ContentLength, limit)
	}
	return s.store(ctx, key, &meter{r: resp.Body, limit: limit, hash: sha256.New()})
}

// store moves a file from its meter to the bucket. The bucket is not touched before the first bytes
// were judged.
func (s *Saver) store(ctx context.Context, key string, m *meter) (Saved, error) {
	r := bufio.NewReader(m)
	head, err := r.Peek(sniffBytes)
	if err != nil && !errors.Is(err, io.EOF) { // A body that is too short to be a video ends with plain io.EOF.
		return Saved{}, fmt.Errorf("read body: %w", err)
	}
	contentType, ok := sniff(head)
	if !ok {
		return Saved{}, ErrNotVideo
	}
	if err := s.Bucket.Put(ctx, key, contentType, r); err != nil {
		return Saved{}, err
	}
	return Saved{SizeBytes: m.size, SHA256: m.sum(), ContentType: contentType}, nil
}

// meter counts and hashes a body as it passes, and ends it beyond the limit. It need not compare the
// count with Content-Length: net/http ends a body that is shorter with io.ErrUnexpectedEOF.
type meter struct {
	r     io.Reader
	limit int64
	size  int64
	hash  hash.Hash
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.size += int64(n)
	m.hash.Write(p[:n])
	if m.size > m.limit {
		return n, fmt.Errorf("%w: more than the %d bytes allowed", ErrTooLarge, m.limit)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = withoutQuotes(err)
	}
	return n, err
}

// sum returns the hash of what has passed.
func (m *meter) sum() (sum [sha256.Size]byte) {
	m.hash.Sum(sum[:0])
	return sum
}
