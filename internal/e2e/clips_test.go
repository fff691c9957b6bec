package e2e_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/refract-video/refract/internal/sim"
)

// paddedClip writes a valid video of a given size. The padding is sparse, so it takes no space on disk.
func paddedClip(t testing.TB, size int64) string {
	t.Helper()
	clip := sim.TinyClip()
	pad := binary.BigEndian.AppendUint32(nil, uint32(size-int64(len(clip))))
	path := filepath.Join(t.TempDir(), "clip.mp4")
	if err := os.WriteFile(path, append(append(clip, pad...), "free"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

// slowClip returns a video that lasts a number of times as long, since its time units are larger.
func slowClip(t testing.TB, times uint32) []byte {
	t.Helper()
	clip := sim.TinyClip()
	for _, box := range []string{"mvhd", "mdhd"} {
		at := bytes.Index(clip, []byte(box))
		if at < 0 || clip[at+4] != 0 {
			t.Fatalf("the clip has no %s of version 0", box)
		}
		scale := clip[at+16:]
		binary.BigEndian.PutUint32(scale, binary.BigEndian.Uint32(scale)/times)
	}
	return clip
}

func writeFile(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clip.mp4")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
