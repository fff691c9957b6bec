package media

import (
	"errors"
	"io"
	"os"
)

// writeBackBytes is how much is written before the next sync.
const writeBackBytes = 32 << 20

// writeBack passes on what is written to a file, and syncs the file meanwhile: one sync at the end of a large file would take
// as long as its download.
type writeBack struct {
	r       io.Reader
	file    *os.File
	written int64      // Since the last sync began.
	syncing chan error // Gets the result of the sync that is running; nil without one.
	failed  error      // The kernel reports an error of the disk once, so it is kept.
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

// settled reports whether no sync of the file is running.
func (b *writeBack) settled() bool {
	select {
	case err := <-b.syncing:
		b.failed = errors.Join(b.failed, err)
		b.syncing = nil
	default:
	}
	return b.syncing == nil
}

// end waits until no sync of the file is running, and returns the errors of all of them.
func (b *writeBack) end() error {
	if b.syncing != nil {
		b.failed = errors.Join(b.failed, <-b.syncing)
		b.syncing = nil
	}
	return b.failed
}
