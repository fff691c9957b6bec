package media

import (
	"errors"
	"io"
)

// blockSize is how much a blockReader reads at a time.
const blockSize = 32 << 10

// blockReader turns many small reads into few larger ones, since r may be far away. It remembers one block, and what went
// wrong with r.
type blockReader struct {
	r     io.ReaderAt
	size  int64
	at    int64
	block []byte
	err   error
}

// ReadAt implements io.ReaderAt.
func (b *blockReader) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		at := off + int64(done)
		if at < b.at || at >= b.at+int64(len(b.block)) {
			if err := b.load(at); err != nil {
				return done, err
			}
		}
		done += copy(p[done:], b.block[at-b.at:])
	}
	return done, nil
}

func (b *blockReader) load(at int64) error {
	if b.err != nil {
		return b.err
	}
	wanted := at
	at -= at % blockSize
	n := min(blockSize, b.size-at)
	if n <= 0 {
		return io.EOF
	}
	if b.block == nil {
		b.block = make([]byte, 0, blockSize)
	}
	block := b.block[:n]
	b.at, b.block = at, block[:0]
	got, err := b.r.ReadAt(block, at)
	if int64(got) < n {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // It promised size bytes.
		}
		if !errors.Is(err, errFarAway) || wanted >= at+int64(got) { // Of a file that is far away, some of a block may be near.
			b.err = err
			return err
		}
	}
	b.block = block[:got]
	return nil
}
