package media

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"time"
)

// probePrefix is what the keys of probes begin with. They lie where results do, so that they meet the same rights.
const probePrefix = OutputPrefix + "probe-"

// newProbeKey returns the key of one process's probes: its own, so that replicas don't meet, and always the same, so that a
// process never leaves more than one behind.
func newProbeKey() string { return probePrefix + crand.Text() }

// probeCleanup bounds the removal of what a failed probe stored.
const probeCleanup = 5 * time.Second

// Probe does with a file of a size what results need: it stores the file, reads it back, compares the bytes, and deletes it.
// The error is a *StorageError, unless ctx was canceled. It holds a few kilobytes of memory. It must not be called
// concurrently.
//
// A probe that could not delete its file leaves it to the next one. One whose process dies leaves it to Sweep.
func (b *Bucket) Probe(ctx context.Context, size int64) error {
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // It never fails: a system without randomness ends the process.
	err := b.putAndCompare(ctx, seed, size)
	if err != nil {
		// NOTE: a put that failed may have stored its file.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), probeCleanup)
		defer cancel()
	}
	if deleteErr := b.Delete(ctx, b.probeKey); err == nil {
		err = deleteErr
	}
	return err
}

func (b *Bucket) putAndCompare(ctx context.Context, seed [32]byte, size int64) error {
	content := func() io.Reader { return io.LimitReader(rand.NewChaCha8(seed), size) } // Of no pattern that a disk could pack.
	if err := b.Put(ctx, b.probeKey, "application/octet-stream", content()); err != nil {
		return err
	}
	file, err := b.Open(ctx, b.probeKey)
	if errors.Is(err, fs.ErrNotExist) {
		return b.failed(ctx, "open", b.probeKey, fmt.Errorf("%w: the file is not there", errDiffers))
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // It was only read.
	same := equal(file, content())
	if err := file.Err(); err != nil {
		return err
	}
	if !same {
		return b.failed(ctx, "read", b.probeKey, errDiffers)
	}
	return nil
}

// equal reports whether two readers have the same bytes up to their ends, or up to an error.
func equal(a, b io.Reader) bool {
	fromA, fromB := make([]byte, 32<<10), make([]byte, 32<<10)
	for {
		n, err := io.ReadFull(a, fromA)
		m, _ := io.ReadFull(b, fromB)
		if !bytes.Equal(fromA[:n], fromB[:m]) {
			return false
		}
		if err != nil {
			return true
		}
	}
}
