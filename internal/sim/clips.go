package sim

import (
	"bytes"
	_ "embed" // For the two clips.
	"encoding/binary"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Both clips were made with ffmpeg's lavfi sources and are H.264, yuv420p, faststart.
var (
	//go:embed clips/sample.mp4
	sampleClip []byte // 640x360, 24 fps, 4 s: a sunset over moving hills.
	//go:embed clips/tiny.mp4
	tinyClip []byte // 160x90, 12 fps, 1 s: a test pattern.
)

// SampleClip returns a good-looking four-second video for demonstrations. The caller owns the copy.
func SampleClip() []byte { return slices.Clone(sampleClip) }

// TinyClip returns a valid video of a few kilobytes, the input that [SourceEmbedded] pretends to have read.
func TinyClip() []byte { return slices.Clone(tinyClip) }

// serveClip serves a clip as a source that any client can fetch. [Server.Downloads] does not have it.
func serveClip(clip []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "video/mp4")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(clip))
	}
}

// ResultClip returns the bytes of result n (counted from 0) of a task under [SourceEmbedded] and [TransformNone]. They
// are a valid video, and differ between any two results, so that a test can tell when one task got the file of another.
func ResultClip(taskID string, n int) []byte {
	return tagged(fmt.Sprintf("task=%s result=%d", taskID, n))
}

// ForgedClip returns the bytes behind the link of a callback with forged result URLs.
func ForgedClip(taskID string) []byte { return tagged("forged task=" + taskID) }

// tagged returns the tiny clip followed by a "free" box, which players skip, holding the text.
func tagged(text string) []byte {
	out := make([]byte, 0, len(tinyClip)+8+len(text))
	out = append(out, tinyClip...)
	out = binary.BigEndian.AppendUint32(out, uint32(8+len(text))) //nolint:gosec // A short text of our own.
	out = append(out, "free"...)
	return append(out, text...)
}
