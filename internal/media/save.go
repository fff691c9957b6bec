package media

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/refract-video/refract/internal/loop"
)

// DefaultMaxBytes is the size of the largest file that a Saver saves by default: 2 GiB.
const DefaultMaxBytes = 2 << 30

// The errors of Save that the same save would meet again, as ErrBlocked and ErrLinkDead are.
var (
	// ErrNotVideo means that the link led to something else than a whole video, most often a web page.
	ErrNotVideo = errors.New("not a video")
	// ErrTooLarge means that the file is larger than the Saver's MaxBytes.
	ErrTooLarge = errors.New("the file is too large")
)

// ErrNotStored means that the bucket did not take the file. The rest of its text names the bucket, and is
// for a log.
var ErrNotStored = errors.New("the result could not be stored")

// Saved describes a file in the bucket.
type Saved struct {
	SizeBytes int64
	SHA256    [sha256.Size]byte
	Container // What the file itself says.
}

// SaveError says what kept a file from being saved.
type SaveError struct {
	Key    string
	Origin string // The scheme and host of the link.
	Err    error
}

// Error names key, scheme and host, and the cause.
func (e *SaveError) Error() string { return fmt.Sprintf("save %s from %s: %v", e.Key, e.Origin, e.Err) }

// Unwrap returns the cause.
func (e *SaveError) Unwrap() error { return e.Err }

// Saver copies the files behind result links into a bucket. It may be used concurrently.
type Saver struct {
	Client   *http.Client // From NewClient.
	Bucket   *Bucket
	MaxBytes int64 // Zero means DefaultMaxBytes.
	// Pause is the first pause between two connections; it grows up to a hundredfold. Zero means 100 ms.
	Pause time.Duration
}

// Save fetches link and stores what it finds under key, which it overwrites. Two saves to one key at a
// time are both whole, and the later one stays. A connection that breaks costs what was not yet received, where the server
// can go on in the middle of the same file, and else another start; a save gives up after ten connections in a row that
// delivered nothing, or five starts. The caller bounds its time with ctx.
//
// After an error the key is as it was. ErrLinkDead asks for a fresh link; ErrNotVideo, ErrTooLarge and
// ErrBlocked would come again; after any other error the same save may be tried again.
// The error is a *SaveError, which names the link's scheme and host alone.
func (s *Saver) Save(ctx context.Context, link, key string) (Saved, error) {
	pauses := s.pauses()
	for starts := 1; ; starts++ {
		saved, err := s.save(ctx, link, key)
		if errors.Is(err, errRestart) && starts < maxStarts && loop.Sleep(ctx, pauses.NextBackOff()) == nil {
			continue
		}
		if errors.Is(err, errRestart) {
			err = fmt.Errorf("started %d times: %w", starts, err)
		}
		if err != nil {
			return Saved{}, &SaveError{Key: key, Origin: origin(link), Err: err}
		}
		return saved, nil
	}
}

// save copies a file from its link to the bucket, in one start. It checks the first bytes before it uses the bucket, and all of
// them before the bucket shows the file.
func (s *Saver) save(ctx context.Context, link, key string) (Saved, error) {
	d, err := s.begin(ctx, link)
	if err != nil {
		return Saved{}, err
	}
	defer d.close()
	r := bufio.NewReader(d)
	head, err := r.Peek(sniffBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return Saved{}, err
	}
	contentType, ok := sniff(head)
	if !ok {
		return Saved{}, notVideo("it does not begin like an MP4 or QuickTime file")
	}
	if err := s.Bucket.Put(ctx, key, contentType, r); err != nil {
		return Saved{}, cmp.Or(d.failed, fmt.Errorf("%w: %w", ErrNotStored, err)) // The bucket reports a failed write also when the read failed.
	}
	return Saved{SizeBytes: d.offset, SHA256: d.hash.sum(), Container: d.container}, nil
}
