package server

import (
	"math"
	"testing"
)

func TestConnections_LeaveFilesForTheRest(t *testing.T) {
	t.Parallel()
	for files, want := range map[uint64][2]int{
		0: {16, 16}, 1024: {256, 256}, 65536: {16384, 2048}, math.MaxUint64: {262144, 2048},
	} {
		if internal, public := connections(files); internal != want[0] || public != want[1] {
			t.Errorf("with %d files: %d and %d connections, want %v", files, internal, public, want)
		}
	}
}
