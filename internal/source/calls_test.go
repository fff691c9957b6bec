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
			for { // On a slow machine a call may stall before its first bytes are read.
				h := source.Header{Upload: newUpload(), SizeBytes: 2_000}
				_, err := u.Receive(t.Context(), "ads", h, io.MultiReader(strings.NewReader("hello"), silence(t)))
				stalled, ok := errors.AsType[*source.StalledError](err)
				if !ok || stalled.Received != 0 && stalled.Received != 5 {
					t.Errorf("a silent call ended with %v, want StalledError at 5 bytes", err)
				}
				if !ok || stalled.Received != 0 {
					return
				}
			}
		})
	}
	file := random(2_000)
	if p := receive(t, s.replica(), newUpload(), file, 0); !bytes.Equal(s.stored(t, p.Source), file) { // Of the same process.
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

// slowStore holds calls up.
type slowStore struct {
	source.Store
	parts    chan struct{} // Receives when a part is about to be added.
	finishes chan struct{} // Receives when an upload is about to be finished.
	release  chan struct{} // Lets them all go on when it is closed.
}

func slowly(u *source.Uploads) *slowStore {
	s := &slowStore{Store: u.Store, parts: make(chan struct{}, 10), finishes: make(chan struct{}, 10), release: make(chan struct{})}
	u.Store = s
	return s
}

func (s *slowStore) AddPart(ctx context.Context, tenant string, id task.UploadID, u source.Upload, p source.Part) (bool, error) {
	if tenant == "films" {
		s.parts <- struct{}{}
		<-s.release
	}
	return s.Store.AddPart(ctx, tenant, id, u, p)
}

func (s *slowStore) FinishUpload(ctx context.Context, id task.UploadID, n task.Source) (task.Source, bool, error) {
	if n.Tenant == "ads" {
		s.finishes <- struct{}{}
		<-s.release
	}
	return s.Store.FinishUpload(ctx, id, n)
}

func TestReceive_BoundsTheCallsOfATenant(t *testing.T) {
	t.Parallel()
	s := setup(t)
	u := s.replica()
	u.AtOnce = 2
	slow := slowly(u)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if p, err := u.Receive(t.Context(), "films", source.Header{Upload: newUpload()}, strings.NewReader("x")); err != nil || p.Received != 1 {
				t.Errorf("a call within the bound: %+v, %v", p, err)
			}
		})
		<-slow.parts
	}
	h := source.Header{Upload: newUpload()}
	_, err := u.Receive(t.Context(), "films", h, strings.NewReader("abc"))
	if be, ok := errors.AsType[*source.BusyError](err); !ok || be.Limit != 2 {
		t.Errorf("the third call: %v, want BusyError", err)
	}
	if p, err := u.Receive(t.Context(), "films", h, nothing()); err != nil || p.Received != 0 {
		t.Errorf("a question at the same time: %+v, %v", p, err)
	}
	if p, err := u.Receive(t.Context(), "books", h, strings.NewReader("abc")); err != nil || p.Received != 3 {
		t.Errorf("another tenant: %+v, %v", p, err)
	}
	close(slow.release)
	wg.Wait()
	if p, err := u.Receive(t.Context(), "films", h, strings.NewReader("abc")); err != nil || p.Received != 3 {
		t.Errorf("after the others have ended: %+v, %v", p, err)
	}
}

func TestReceive_AskingAgainBeginsNoSecondFinish(t *testing.T) {
	t.Parallel()
	s := setup(t)
	u, file, id := s.replica(), random(2_000), newUpload()
	slow := slowly(u)
	var wg sync.WaitGroup
	ask := func(body io.Reader) {
		wg.Go(func() {
			p, err := u.Receive(t.Context(), "ads", source.Header{Upload: id, SizeBytes: 2_000}, body)
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
	if _, err := u.Receive(impatient, "ads", source.Header{Upload: id, SizeBytes: 2_000}, gone); !errors.Is(err, context.Canceled) {
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

// A call without bytes may be the one that announces the size.
func TestReceive_BoundsTheFinishesOfATenant(t *testing.T) {
	t.Parallel()
	s := setup(t)
	u := s.replica()
	u.AtOnce = 1
	slow := slowly(u)
	headers := make([]source.Header, 2)
	for i := range headers {
		headers[i] = source.Header{Upload: newUpload()}
		if _, err := u.Receive(t.Context(), "ads", headers[i], bytes.NewReader(random(500))); err != nil {
			t.Fatal(err)
		}
		headers[i].SizeBytes = 500
	}
	var wg sync.WaitGroup
	finish := func() {
		if p, err := u.Receive(t.Context(), "ads", headers[0], nothing()); err != nil || p.Source == nil {
			t.Errorf("within the bound: %+v, %v, want the source", p, err)
		}
	}
	wg.Go(finish)
	<-slow.finishes
	wg.Go(finish) // It waits for the first, and takes no place.
	_, err := u.Receive(t.Context(), "ads", headers[1], nothing())
	if _, busy := errors.AsType[*source.BusyError](err); !busy {
		t.Errorf("the second upload: %v, want BusyError", err)
	}
	close(slow.release)
	wg.Wait()
	if p, err := u.Receive(t.Context(), "ads", headers[1], nothing()); err != nil || p.Source == nil {
		t.Errorf("after the first has ended: %+v, %v, want the source", p, err)
	}
}
