package source_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// silence is a body that brings nothing and does not end before the test does.
func silence(t *testing.T) io.Reader {
	t.Helper()
	return readerFunc(func([]byte) (int, error) { <-t.Context().Done(); return 0, io.EOF })
}

// Sixteen parts are written at a time, and callers who fall silent in the middle of one must not keep them.
func TestReceive_EndsCallsThatFallSilent(t *testing.T) {
	t.Parallel()
	s := setup(t)
	u := s.replica()
	u.Stall, u.AtOnce = 200*time.Millisecond, 20
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			h := source.Header{Upload: newUpload(), SizeBytes: 2_000}
			_, err := u.Receive(t.Context(), "ads", h, io.MultiReader(strings.NewReader("hello"), silence(t)))
			if stalled, ok := errors.AsType[*source.StalledError](err); !ok || stalled.Received != 5 {
				t.Errorf("a silent call ended with %v, want StalledError at 5 bytes", err)
			}
		})
	}
	file := random(2_000)
	if p := receive(t, u, newUpload(), file, 0); !bytes.Equal(s.stored(t, p.Source), file) {
		t.Error("stored another file than was sent")
	}
	wg.Wait()
	if _, err := u.Receive(t.Context(), "ads", source.Header{Upload: newUpload()}, silence(t)); !isStalled(err) {
		t.Errorf("a call without a byte: %v, want StalledError", err)
	}
	if err := u.Await(t.Context(), nil); !isStalled(err) {
		t.Errorf("a call that says nothing: %v, want StalledError", err)
	}
}

func isStalled(err error) bool { _, ok := errors.AsType[*source.StalledError](err); return ok }

func TestReceive_BoundsTheCallsOfATenant(t *testing.T) {
	t.Parallel()
	s := setup(t)
	u := s.replica()
	u.AtOnce = 2
	var wg sync.WaitGroup
	var ends []func() error
	for range 2 {
		id := newUpload()
		r, w := io.Pipe()
		ends = append(ends, w.Close)
		wg.Go(func() {
			if p, err := u.Receive(t.Context(), "films", source.Header{Upload: id}, r); err != nil || p.Received != 1 {
				t.Errorf("a call within the bound: %+v, %v", p, err)
			}
		})
		if _, err := w.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	third := source.Header{Upload: newUpload(), SizeBytes: 3}
	refused := func() error {
		_, err := u.Receive(t.Context(), "films", third, strings.NewReader("abc"))
		return err
	}
	// The bytes of the two are on their way from the pipes to the calls.
	for busy := false; !busy && t.Context().Err() == nil; {
		err := refused()
		be, ok := errors.AsType[*source.BusyError](err)
		switch busy = ok; {
		case busy && be.Limit != 2:
			t.Errorf("the bound is told as %d", be.Limit)
		case err != nil && !busy:
			t.Fatalf("the third call: %v, want BusyError", err)
		}
		third.Upload = newUpload()
	}
	if p, err := u.Receive(t.Context(), "films", source.Header{Upload: third.Upload}, nothing()); err != nil || p.Received != 0 {
		t.Errorf("a question beside them: %+v, %v", p, err)
	}
	if p, err := u.Receive(t.Context(), "ads", third, strings.NewReader("abc")); err != nil || p.Source == nil {
		t.Errorf("another tenant: %+v, %v", p, err)
	}
	for _, end := range ends {
		_ = end()
	}
	wg.Wait()
	if err := refused(); err != nil {
		t.Errorf("after the others have ended: %v", err)
	}
}

// slowStore holds up whoever finishes an upload.
type slowStore struct {
	source.Store
	finishes chan struct{} // Receives when a finish begins.
	release  chan struct{}
}

func (s *slowStore) FinishUpload(ctx context.Context, id task.UploadID, n task.Source) (task.Source, bool, error) {
	s.finishes <- struct{}{}
	<-s.release
	return s.Store.FinishUpload(ctx, id, n)
}

func TestReceive_AskingAgainBeginsNoSecondFinish(t *testing.T) {
	t.Parallel()
	s := setup(t)
	u, file, id := s.replica(), random(2_000), newUpload()
	slow := &slowStore{Store: u.Store, finishes: make(chan struct{}, 10), release: make(chan struct{})}
	u.Store = slow
	var wg sync.WaitGroup
	ask := func(body io.Reader) {
		wg.Go(func() {
			p, err := u.Receive(t.Context(), "films", source.Header{Upload: id, SizeBytes: 2_000}, body)
			if err != nil || p.Source == nil || p.Duplicate {
				t.Errorf("%+v, %v, want the source", p, err)
			}
		})
	}
	ask(bytes.NewReader(file))
	<-slow.finishes
	for range 3 {
		ask(nothing())
	}
	impatient, cancel := context.WithCancel(t.Context())
	gone := readerFunc(func([]byte) (int, error) { cancel(); return 0, io.EOF })
	if _, err := u.Receive(impatient, "films", source.Header{Upload: id, SizeBytes: 2_000}, gone); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who goes away: %v, want that the call was canceled", err)
	}
	if files := s.files(t, "sources"); len(files) != 1 {
		t.Errorf("the bucket holds %d files of one source", len(files))
	}
	close(slow.release)
	wg.Wait()
	if n := len(slow.finishes); n != 0 {
		t.Errorf("the upload was finished %d times more", n)
	}
}
