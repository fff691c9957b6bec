package media

import (
	"crypto/sha256"
	"sync"
)

// How far a hasher may be behind: hashAhead blocks of hashBlock bytes.
const (
	hashAhead = 4
	hashBlock = 64 << 10
)

// hasher computes a SHA-256 in a goroutine, while its caller fetches and writes: on fast connections hashing takes about as
// long as either of these. Its goroutine lives until sum is called.
type hasher struct {
	blocks chan []byte
	free   chan []byte
	sum    func() [sha256.Size]byte // Of all that was written. It may be called again.
}

func newHasher() *hasher {
	h := &hasher{blocks: make(chan []byte, hashAhead), free: make(chan []byte, hashAhead)}
	for range hashAhead {
		h.free <- make([]byte, hashBlock)
	}
	result := make(chan [sha256.Size]byte)
	go func() {
		hash := sha256.New()
		for block := range h.blocks {
			hash.Write(block)
			h.free <- block[:hashBlock]
		}
		result <- [sha256.Size]byte(hash.Sum(nil))
	}()
	h.sum = sync.OnceValue(func() [sha256.Size]byte {
		close(h.blocks)
		return <-result
	})
	return h
}

// write adds bytes. It keeps a copy of them.
func (h *hasher) write(p []byte) {
	for len(p) > 0 {
		block := <-h.free
		n := copy(block, p)
		h.blocks <- block[:n]
		p = p[n:]
	}
}
