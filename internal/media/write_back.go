package media

import (
	"errors"
	"io"
	"os"
)

// writeBackBytes is how much is written before the disk is asked to take it.
const writeBackBytes = 32 << 20

// writeBack hands on what is written to a file, and has the disk take it meanwhile: all at once at the end a large file would
// wait for the disk as long as for its download.
type writeBack struct {
	r       io.Reader
	file    *os.File
	written int64      // Since the disk was asked last.
	syncing chan error // Holds the result of the last time that it was asked; nil at first.
	failed  error      // An error of the disk is told once only, so it is kept.
}

// Read implements io.Reader.
func (b *writeBack) Read(p []byte) (int, error) {
	if b.written >= writeBackBytes && b.settled() {
		b.written, b.syncing = 0, make(chan error, 1)
		go func(result chan<- error) { result <- b.file.Sync() }(b.syncing)
	}
	n, err := b.r.Read(p)
	b.written += int64(n)
	return n, err
}

// settled tells whether the disk is not busy with the file.
func (b *writeBack) settled() bool {
	select {
	case err := <-b.syncing:
		b.failed = errors.Join(b.failed, err)
		b.syncing = nil
	default:
	}
	return b.syncing == nil
}

// end waits until the disk is not busy with the file, and returns what it failed with.
func (b *writeBack) end() error {
	if b.syncing != nil {
		b.failed = errors.Join(b.failed, <-b.syncing)
		b.syncing = nil
	}
	return b.failed
}
