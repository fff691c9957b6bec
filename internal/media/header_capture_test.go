package media

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/sim"
)

// captured runs a file through a capture in pieces of random sizes.
func captured(file []byte, random *rand.Rand) *mp4HeaderCapture {
	s := &mp4HeaderCapture{}
	for rest := file; len(rest) > 0; {
		n := min(len(rest), 1+random.IntN(1+random.IntN(5000)))
		_, _ = s.Write(rest[:n])
		rest = rest[n:]
	}
	return s
}

// sameVerdict compares what Inspect says of a file with what it says of its capture.
func sameVerdict(t *testing.T, file []byte, random *rand.Rand) *mp4HeaderCapture {
	t.Helper()
	s := captured(file, random)
	want, wantErr := Inspect(bytes.NewReader(file), int64(len(file)))
	got, err := Inspect(s, int64(len(file)))
	if (err == nil) != (wantErr == nil) || got != want {
		t.Errorf("the capture shows %+v, %v; the file %+v, %v", got, err, want, wantErr)
	}
	return s
}

func TestHeaderCapture_ShowsInspectWhatTheFileDoes(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	clip := sim.SampleClip()
	long := bytes.Clone(clip) // A media data box whose size takes 64 bits.
	if i := bytes.Index(long, []byte("mdat")); i > 0 {
		size := binary.BigEndian.Uint32(long[i-4:])
		header := binary.BigEndian.AppendUint64([]byte("\x00\x00\x00\x01mdat"), uint64(size)+8)
		long = append(append(bytes.Clone(long[:i-4]), header...), long[i+4:]...)
	}
	for name, file := range map[string][]byte{
		"clip": clip, "64 bits": long, "cut": clip[:len(clip)/2], "tail": append(bytes.Clone(clip), "tail"...), "empty": nil, "page": []byte("<!DOCTYPE html>"),
	} {
		for range 20 {
			s := sameVerdict(t, file, random)
			if name == "clip" && s.size > len(clip)/4 {
				t.Errorf("the capture keeps %d bytes of %d", s.size, len(clip))
			}
		}
	}
	if c, err := Inspect(bytes.NewReader(long), int64(len(long))); err != nil {
		t.Errorf("the file with 64 bits is not whole: %v", err)
	} else if diff := cmp.Diff("h264", c.Codec); diff != "" {
		t.Error(diff)
	}
}

// TestHeaderCapture_KeepsItsBound writes headers without end into a capture.
func TestHeaderCapture_KeepsItsBound(t *testing.T) {
	t.Parallel()
	huge := append([]byte("\x00\x00\x00\x08free"), "\x7f\xff\xff\xffmoov"...)
	s := &mp4HeaderCapture{}
	_, _ = s.Write(huge)
	for range 64 {
		_, _ = s.Write(make([]byte, 1<<20))
	}
	kept := 0
	for _, e := range s.kept {
		kept += cap(e.data)
	}
	if kept > 3*maxCaptured {
		t.Errorf("the capture keeps %d bytes", kept)
	}
	many := &mp4HeaderCapture{}
	for range 100_000 {
		_, _ = many.Write([]byte("\x00\x00\x00\x10free12345678"))
	}
	if len(many.kept) > maxBoxes+1 {
		t.Errorf("the capture keeps %d pieces", len(many.kept))
	}
}

func FuzzHeaderCapture(f *testing.F) {
	clip := sim.TinyClip()
	f.Add(clip, uint64(1))
	f.Add(clip[:len(clip)-1], uint64(2))
	f.Fuzz(func(t *testing.T, file []byte, seed uint64) {
		sameVerdict(t, file, rand.New(rand.NewPCG(seed, 0)))
	})
}
