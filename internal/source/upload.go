package source

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"time"

	"github.com/refract-video/refract/internal/fair"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/task"
)

const (
	// defaultPartBytes is the size of a part: what a process that dies makes the caller send again.
	defaultPartBytes = 8 << 20
	// maxParts bounds the rows of an upload that keeps being cut.
	maxParts = 2000
	// grace is how long what arrived may take to be kept after the caller has gone.
	grace = 30 * time.Second
	// finishTimeout bounds the making of a source of its parts, which the caller need not wait for.
	finishTimeout = 15 * time.Minute
	// partsAtOnce is how many parts a process writes at a time: each holds tens of megabytes where the bucket is a cloud's.
	partsAtOnce = 16
	// partsWaiting is how many callers wait until they may have a part written.
	partsWaiting = 256
	// partTime is how long a part may gather: a caller who sends a few bytes now and then keeps no part from others.
	partTime = time.Minute
)

// Header is what the caller of an upload says before the bytes.
type Header struct {
	Upload    task.UploadID
	Offset    int64  // Where in the file the bytes begin.
	SizeBytes int64  // The size of the whole file; 0 while it is not known.
	SHA256    []byte // The SHA-256 of the whole file; empty while it is not known.
}

// Progress is how an upload stands at the end of a call.
type Progress struct {
	Received  int64
	Source    *task.Source // Nil while the upload is not whole.
	Duplicate bool         // Whether the source was there before.
}

// Uploads receives uploads. It may be used concurrently, and by several replicas at a time.
type Uploads struct {
	Store     Store
	Bucket    *media.Bucket
	MaxBytes  int64         // The size of the largest file.
	PartBytes int64         // Zero means 8 MiB.
	Stall     time.Duration // How long a caller may send nothing; zero means 30 seconds.
	AtOnce    int           // How many calls of a tenant may send bytes or finish an upload at a time; zero means 8.

	calls calls
}

// writes are the files that this process writes. A tenant's share is not more than defaultAtOnce.
var writes = fair.New(partsAtOnce, partsWaiting)

// write waits for a place to write a file of a tenant, which leave gives back.
func write(ctx context.Context, tenant string) (leave func(), err error) {
	leave, err = writes.Acquire(ctx, fair.Claim{Tenant: tenant, Due: time.Now()})
	if errors.Is(err, fair.ErrFull) {
		err = &BusyError{Limit: partsAtOnce}
	}
	return leave, err
}

// Receive takes the next bytes of an upload from body, which ends where the caller has no more for now. What
// arrived before body failed, fell silent or was cut by a drain is kept. A body without bytes asks how the upload stands.
// The errors are ConflictError, TooLargeError, QuotaError, StalledError, BusyError, ErrDamaged, ErrDraining, or else body's, the
// bucket's or the store's.
//
// After an error a read of body may still be under way, which the caller ends with its call.
func (u *Uploads) Receive(ctx context.Context, tenant string, h Header, body io.Reader) (Progress, error) {
	up, p, err := u.begin(ctx, tenant, h)
	if err != nil || p.Source != nil {
		return p, err
	}
	steady, done := u.steady(ctx, body)
	defer done()
	r := bufio.NewReader(steady)
	entered := false
	if _, err := r.Peek(1); err == nil {
		if h.Offset != up.Received {
			return Progress{}, conflict(up, "the upload has %d bytes: go on from there, not from %d", up.Received, h.Offset)
		}
		leave, err := u.enter(tenant)
		if err != nil {
			return Progress{}, err
		}
		defer leave()
		entered = true
	}
	if err := u.receive(ctx, tenant, h.Upload, &up, r); err != nil {
		if errors.Is(err, errSilent) {
			err = &StalledError{Received: up.Received, After: u.stall()}
		}
		return Progress{}, fmt.Errorf("upload %s: %w", h.Upload, err)
	}
	if up.SizeBytes == 0 || up.Received < up.SizeBytes {
		return Progress{Received: up.Received}, nil
	}
	p, err = u.finishOnce(ctx, tenant, h.Upload, up, entered)
	if err != nil {
		return Progress{}, fmt.Errorf("finish upload %s: %w", h.Upload, err)
	}
	return p, nil
}

// begin reads how the upload stands and joins it with what the header announces. It returns the source where
// there is one.
func (u *Uploads) begin(ctx context.Context, tenant string, h Header) (Upload, Progress, error) {
	up, err := u.Store.Upload(ctx, tenant, h.Upload)
	if err != nil {
		return up, Progress{}, fmt.Errorf("read upload %s: %w", h.Upload, err)
	}
	if h.SizeBytes > u.MaxBytes {
		return up, Progress{}, &TooLargeError{Limit: u.MaxBytes}
	}
	switch {
	case h.SizeBytes == 0 || h.SizeBytes == up.SizeBytes:
	case up.SizeBytes == 0:
		up.SizeBytes, up.Begun = h.SizeBytes, false
	default:
		return up, Progress{}, conflict(up, "the upload was begun with a size of %d bytes", up.SizeBytes)
	}
	switch {
	case len(h.SHA256) == 0 || bytes.Equal(h.SHA256, up.SHA256):
	case len(up.SHA256) == 0:
		up.SHA256 = h.SHA256
	default:
		return up, Progress{}, conflict(up, "the upload was begun with another SHA-256")
	}
	p, err := u.known(ctx, tenant, up)
	if errors.Is(err, ErrNotFound) {
		if up.Source == "" {
			return up, Progress{}, nil
		}
		// The source that it became is no longer kept: it begins anew.
		err = u.drop(ctx, tenant, h.Upload)
		up.Source, up.Received, up.Parts, up.Begun = "", 0, 0, false
	}
	return up, p, err
}

// known returns the source that the upload became, or that has the announced bytes, or ErrNotFound.
func (u *Uploads) known(ctx context.Context, tenant string, up Upload) (Progress, error) {
	var s task.Source
	var err error
	switch {
	case up.Source != "":
		s, err = u.Store.TenantSource(ctx, tenant, up.Source)
	case len(up.SHA256) > 0:
		s, err = u.Store.SourceByHash(ctx, tenant, up.SHA256)
	default:
		err = ErrNotFound
	}
	if err != nil {
		return Progress{}, fmt.Errorf("look for the source: %w", err)
	}
	return Progress{Received: s.SizeBytes, Source: &s, Duplicate: up.Source == "" || up.Duplicate}, nil
}

func conflict(up Upload, format string, args ...any) *ConflictError {
	return &ConflictError{Received: up.Received, Message: fmt.Sprintf(format, args...)}
}

// receive appends part after part until the reader ends.
func (u *Uploads) receive(ctx context.Context, tenant string, id task.UploadID, up *Upload, r *bufio.Reader) error {
	for {
		if _, err := r.Peek(1); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		limit := u.MaxBytes
		if up.SizeBytes > 0 {
			limit = up.SizeBytes
		}
		switch {
		case up.Received >= limit && up.SizeBytes == 0:
			return &TooLargeError{Limit: u.MaxBytes}
		case up.Received >= limit:
			return errors.Join(ErrDamaged, u.drop(ctx, tenant, id))
		case up.Parts >= maxParts:
			return conflict(*up, "the upload came in more than %d pieces: begin another one", maxParts)
		}
		if err := u.part(ctx, tenant, id, up, &piece{r: r, left: min(u.partBytes(), limit-up.Received), until: time.Now().Add(partTime)}); err != nil {
			return err
		}
	}
}

func (u *Uploads) partBytes() int64 {
	if u.PartBytes == 0 {
		return defaultPartBytes
	}
	return u.PartBytes
}

// part stores one part and appends it to the upload, also when the caller goes away in the middle of it.
func (u *Uploads) part(ctx context.Context, tenant string, id task.UploadID, up *Upload, r *piece) error {
	ctx, done := lingering(ctx) // Before the wait for a place: what has arrived may be all that the caller could send.
	defer done()
	leave, err := write(ctx, tenant)
	if err != nil {
		return err
	}
	defer leave()
	if !up.Begun {
		if err := u.Store.BeginUpload(ctx, tenant, id, *up); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		up.Begun = true
	}
	key := media.UploadPrefix + path.Join(folder(tenant), string(id), strconv.FormatInt(up.Received, 10)+"-"+rand.Text()[:8])
	if err := u.Bucket.Put(ctx, key, "application/octet-stream", r); err != nil {
		return err
	}
	added, err := u.Store.AddPart(ctx, tenant, id, *up, Part{Start: up.Received, SizeBytes: r.size, Key: key})
	if _, full := errors.AsType[*QuotaError](err); full {
		return errors.Join(err, u.Bucket.Delete(ctx, key))
	}
	if err != nil {
		return fmt.Errorf("append a part: %w", err) // The part may have its row all the same.
	}
	if !added {
		now, err := u.Store.Upload(ctx, tenant, id)
		return errors.Join(conflict(now, "another call goes on with the upload, which has %d bytes", now.Received),
			err, u.Bucket.Delete(ctx, key))
	}
	up.Received += r.size
	up.Parts++
	return r.err
}

// piece reads a part of a body. An error of the body ends it like its end does, and is kept for later.
type piece struct {
	r     io.Reader
	left  int64
	until time.Time // When it ends with what it has.
	size  int64
	err   error // Why the body broke off; nil at its end.
}

func (p *piece) Read(b []byte) (int, error) {
	if p.left == 0 || p.size > 0 && time.Now().After(p.until) {
		return 0, io.EOF
	}
	n, err := p.r.Read(b[:min(int64(len(b)), p.left)])
	p.left -= int64(n)
	p.size += int64(n)
	if err != nil {
		p.left = 0
		if !errors.Is(err, io.EOF) {
			p.err = err
		}
		err = io.EOF
	}
	return n, err
}

// lingering returns a context that goes on for a while after ctx has ended.
func lingering(ctx context.Context) (context.Context, context.CancelFunc) {
	long, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-long.Done():
		case <-time.After(grace):
			cancel()
		}
	})
	return long, func() { stop(); cancel() }
}

// folder is where the files of a tenant are. The names of tenants may hold anything.
func folder(tenant string) string {
	h := sha256.Sum256([]byte(tenant))
	return hex.EncodeToString(h[:16])
}
