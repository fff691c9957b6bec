package task

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// timeAndVersion is the length of the first half of a UUID as text: the time and the version.
const timeAndVersion = 18

// NewAttemptID returns the id of an attempt of a task by its number: a UUID of version 7 with the time of the task, so that the ids of
// attempts made at the same time lie side by side in an index.
//
// NOTE: it depends on nothing else. A database that was restored from a backup gives an attempt that it has forgotten the same id
// again, so that the callback of the forgotten one finds it.
func NewAttemptID(id ID, number int) AttemptID {
	sum := sha256.Sum256(fmt.Appendf(nil, "attempt %d of %s", number, id))
	sum[0] = sum[0]&0x3f | 0x80 // The variant of RFC 9562.
	text := hex.EncodeToString(sum[:8])
	half := string(id)
	if len(half) > timeAndVersion {
		half = half[:timeAndVersion]
	}
	return AttemptID(half + "-" + text[:4] + "-" + text[4:])
}
