package lifecycle

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/google/uuid"
)

// ids makes UUIDs of version 7: they sort by time, and tasks are admitted and listed in their order. All replicas use the time of the
// database, so that no tenant's tasks go first because a replica's clock is slow. Its methods may be called concurrently.
type ids struct {
	now func() time.Time

	mu   sync.Mutex
	last int64
}

// next returns an id that sorts after all before it.
func (i *ids) next() string {
	id := uuid.New() // Random bits. The time replaces the first half.
	stamp := i.stamp()
	binary.BigEndian.PutUint64(id[:8], uint64(stamp>>12)<<16|7<<12|uint64(stamp&0xfff)) //nolint:gosec // Times since 1970 are positive.
	return id.String()
}

// stamp returns the time since 1970 in 4096ths of a millisecond, which grows with every call.
func (i *ids) stamp() int64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	stamp := now.UnixMilli()<<12 | int64(now.Nanosecond()%1e6)<<12/1e6
	i.last = max(stamp, i.last+1)
	return i.last
}
