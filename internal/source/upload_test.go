package source_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/source"
)

var errCut = errors.New("the connection broke")

func TestReceive_GoesOnWhereItWasCutAtAnotherReplica(t *testing.T) {
	t.Parallel()
	s := setup(t)
	file, id := random(5_500), newUpload()
	at := 0
	for _, cut := range []int{1, 700, 2_500, 4_000, 5_499} {
		h := source.Header{Upload: id, Offset: int64(at), SizeBytes: int64(len(file))}
		body := io.MultiReader(bytes.NewReader(file[at:cut]), iotest.ErrReader(errCut))
		if _, err := s.replica().Receive(t.Context(), "films", h, body); !errors.Is(err, errCut) {
			t.Fatalf("cut at %d: got %v, want %v", cut, err, errCut)
		}
		p, err := s.replica().Receive(t.Context(), "films", source.Header{Upload: id}, nothing())
		if err != nil || p.Received != int64(cut) || p.Source != nil {
			t.Fatalf("after a cut at %d: %+v, %v", cut, p, err)
		}
		at = cut
	}
	p := receive(t, s.replica(), id, file, at)
	if !bytes.Equal(s.stored(t, p.Source), file) || !bytes.Equal(p.Source.SHA256, sum(file)) || p.Duplicate {
		t.Errorf("stored another file than was sent: %+v", p)
	}
	if left := s.files(t, "uploads"); len(left) > 0 {
		t.Errorf("parts are left: %q", left)
	}
	again := receive(t, s.replica(), id, file, len(file)) // The answer was lost.
	if again.Source == nil || again.Source.ID != p.Source.ID || again.Duplicate {
		t.Errorf("asked again: %+v, want the same source", again)
	}
}

// A caller that goes away ends the context of its call with the body.
func TestReceive_KeepsWhatArrivedWhenTheCallerGoesAway(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	id := newUpload()
	gone := readerFunc(func([]byte) (int, error) { cancel(); return 0, context.Canceled })
	_, err := s.replica().Receive(ctx, "films", source.Header{Upload: id, SizeBytes: 2_000}, io.MultiReader(strings.NewReader("hello"), gone))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the call was canceled", err)
	}
	if p, err := s.replica().Receive(t.Context(), "films", source.Header{Upload: id}, nothing()); err != nil || p.Received != 5 {
		t.Errorf("received %d bytes, %v, want 5", p.Received, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestReceive_EqualBytesOfATenantAreOneSource(t *testing.T) {
	t.Parallel()
	s := setup(t)
	file := random(3_000)
	first := receive(t, s.replica(), newUpload(), file, 0)
	second := receive(t, s.replica(), newUpload(), file, 0)
	if second.Source.ID != first.Source.ID || !second.Duplicate {
		t.Errorf("the same bytes again: %+v, want source %s", second, first.Source.ID)
	}
	h := source.Header{Upload: newUpload(), SizeBytes: int64(len(file)), SHA256: sum(file)}
	unsent := readerFunc(func([]byte) (int, error) { t.Error("the bytes were asked for"); return 0, io.EOF })
	third, err := s.replica().Receive(t.Context(), "films", h, unsent)
	if err != nil || third.Source == nil || third.Source.ID != first.Source.ID || !third.Duplicate || third.Received != h.SizeBytes {
		t.Errorf("announced by its SHA-256: %+v, %v, want source %s", third, err, first.Source.ID)
	}
	if files := s.files(t, ""); len(files) != 1 {
		t.Errorf("the bucket holds %q, want one file", files)
	}
	h.Upload = newUpload()
	other, err := s.replica().Receive(t.Context(), "ads", h, nothing())
	if err != nil || other.Source != nil || other.Received != 0 {
		t.Errorf("another tenant announces the bytes: %+v, %v, want nothing", other, err)
	}
	if _, err := s.store.TenantSource(t.Context(), "ads", first.Source.ID); !errors.Is(err, source.ErrNotFound) {
		t.Errorf("another tenant's source: %v, want ErrNotFound", err)
	}
}

func TestReceive_LearnsTheSizeInTheEnd(t *testing.T) {
	t.Parallel()
	s := setup(t)
	file, id := random(2_300), newUpload()
	p, err := s.replica().Receive(t.Context(), "films", source.Header{Upload: id}, bytes.NewReader(file))
	if err != nil || p.Source != nil || p.Received != 2_300 {
		t.Fatalf("without a size: %+v, %v", p, err)
	}
	p, err = s.replica().Receive(t.Context(), "films", source.Header{Upload: id, SizeBytes: 2_300, Offset: 2_300}, nothing())
	if err != nil || !bytes.Equal(s.stored(t, p.Source), file) {
		t.Errorf("with its size: %+v, %v", p, err)
	}
}

func TestReceive_ReadsWhatTheFileSaysOfItself(t *testing.T) {
	t.Parallel()
	s := setup(t)
	clip := sim.TinyClip()
	u := s.replica()
	u.MaxBytes = int64(len(clip))
	p := receive(t, u, newUpload(), clip, 0)
	if c := p.Source.Clip; c.ContentType != "video/mp4" || c.Width != 160 || c.Height != 90 || c.Duration.Seconds() != 1 || c.Flaw != "" {
		t.Errorf("clip is %+v", c)
	}
	if key := p.Source.Key; !strings.HasSuffix(key, ".mp4") {
		t.Errorf("key %s does not say what it is", key)
	}
	cut := receive(t, u, newUpload(), clip[:len(clip)-100], 0)
	if cut.Source.Flaw == "" {
		t.Errorf("a file that is cut short has no flaw: %+v", cut.Source.Clip)
	}
}

func TestReceive_RefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	s := setup(t)
	file := random(3_000)
	for name, tc := range map[string]struct {
		first, second source.Header
		sends         int // How much the second call sends.
		want          func(error) bool
		left          int64 // What the upload has afterwards.
	}{
		"another offset":      {source.Header{SizeBytes: 3_000}, source.Header{Offset: 999}, 100, isConflict, 1_500},
		"from the beginning":  {source.Header{SizeBytes: 3_000}, source.Header{}, 100, isConflict, 1_500},
		"another size":        {source.Header{SizeBytes: 3_000}, source.Header{Offset: 1_500, SizeBytes: 2_000}, 100, isConflict, 1_500},
		"another SHA-256":     {source.Header{SHA256: sum(file)}, source.Header{Offset: 1_500, SHA256: sum(file[1:])}, 100, isConflict, 1_500},
		"more than announced": {source.Header{SizeBytes: 2_000}, source.Header{Offset: 1_500}, 501, isDamaged, 0},
		"other bytes":         {source.Header{SizeBytes: 2_000, SHA256: sum(file)}, source.Header{Offset: 1_500}, 500, isDamaged, 0},
		"announced too large": {source.Header{}, source.Header{Offset: 1_500, SizeBytes: maxBytes + 1}, 100, isTooLarge, 1_500},
		"found too large":     {source.Header{}, source.Header{Offset: 1_500}, maxBytes, isTooLarge, maxBytes},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id := newUpload()
			tc.first.Upload, tc.second.Upload = id, id
			if p, err := s.replica().Receive(t.Context(), "films", tc.first, bytes.NewReader(file[:1_500])); err != nil || p.Received != 1_500 {
				t.Fatalf("first call: %+v, %v", p, err)
			}
			_, err := s.replica().Receive(t.Context(), "films", tc.second, bytes.NewReader(random(tc.sends)))
			if !tc.want(err) {
				t.Errorf("second call: %v", err)
			}
			if now, err := s.store.Upload(t.Context(), "films", id); err != nil || now.Received != tc.left {
				t.Errorf("afterwards the upload is %+v, %v, want %d bytes", now, err, tc.left)
			}
		})
	}
}

func isConflict(err error) bool { _, ok := errors.AsType[*source.ConflictError](err); return ok }
func isTooLarge(err error) bool { _, ok := errors.AsType[*source.TooLargeError](err); return ok }
func isDamaged(err error) bool  { return errors.Is(err, source.ErrDamaged) }

// Replicas that are given one upload at a time must not mix its bytes, whichever of them wins.
func TestReceive_AtManyReplicasAtOnceIsOneFile(t *testing.T) {
	t.Parallel()
	s := setup(t)
	file, id := random(8_000), newUpload()
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			at := int64(0)
			for range 50 {
				h := source.Header{Upload: id, Offset: at, SizeBytes: int64(len(file))}
				p, err := s.replica().Receive(t.Context(), "films", h, iotest.HalfReader(bytes.NewReader(file[at:])))
				if p.Source != nil {
					return
				}
				ce, ok := errors.AsType[*source.ConflictError](err)
				if err != nil && !ok {
					t.Errorf("receive: %v", err)
					return
				}
				if at = p.Received; ok {
					at = ce.Received
				}
			}
			t.Error("the upload does not get whole")
		})
	}
	wg.Wait()
	p := receive(t, s.replica(), id, file, len(file))
	if !bytes.Equal(s.stored(t, p.Source), file) {
		t.Error("stored another file than was sent")
	}
	if files := s.files(t, ""); len(files) != 1 {
		t.Errorf("the bucket holds %q, want one file", files)
	}
}

func TestReceive_BringsAnExpiredSourceBack(t *testing.T) {
	t.Parallel()
	s := setup(t)
	file, id := random(1_500), newUpload()
	first := receive(t, s.replica(), id, file, 0)
	expire := func() {
		if _, err := s.pool.Exec(t.Context(), "UPDATE source SET state = 'EXPIRED'"); err != nil {
			t.Fatal(err)
		}
		if err := s.bucket.Delete(t.Context(), first.Source.Key); err != nil {
			t.Fatal(err)
		}
	}
	expire()
	if _, err := s.store.TenantSource(t.Context(), "films", first.Source.ID); !errors.Is(err, source.ErrNotFound) {
		t.Errorf("an expired source: %v, want ErrNotFound", err)
	}
	second := receive(t, s.replica(), id, file, 0) // Under the same id, as a client that derives it would.
	if second.Source.ID != first.Source.ID || !bytes.Equal(s.stored(t, second.Source), file) {
		t.Errorf("uploaded again: %+v, want source %s", second.Source, first.Source.ID)
	}
}

func TestDrain_EndsUploadsWhereTheyAre(t *testing.T) {
	t.Parallel()
	s := setup(t)
	u, file, id := s.replica(), random(3_000), newUpload()
	silent := readerFunc(func([]byte) (int, error) {
		u.Drain()
		<-t.Context().Done()
		return 0, io.EOF
	})
	h := source.Header{Upload: id, SizeBytes: 3_000}
	if _, err := u.Receive(t.Context(), "films", h, io.MultiReader(bytes.NewReader(file[:1_700]), silent)); !errors.Is(err, source.ErrDraining) {
		t.Errorf("got %v, want ErrDraining", err)
	}
	p := receive(t, s.replica(), id, file, 1_700)
	if !bytes.Equal(s.stored(t, p.Source), file) {
		t.Error("the other replica stored another file")
	}
	if err := u.Await(t.Context(), nil); !errors.Is(err, source.ErrDraining) {
		t.Errorf("a call that has said nothing yet: %v, want ErrDraining", err)
	}
}
