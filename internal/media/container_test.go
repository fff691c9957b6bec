package media_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/sim"
)

// box returns a box of a type that holds parts.
func box(kind string, parts ...[]byte) []byte {
	payload := bytes.Join(parts, nil)
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(payload)))
	return append(append(b, kind...), payload...)
}

// words returns 32-bit numbers as they are in a file.
func words(numbers ...uint32) []byte {
	var b []byte
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return b
}

// clipParts are the parts of a small file, which the tests spoil one at a time.
type clipParts struct {
	brand, handler, codec string
	fragmented            bool
	duration              uint32 // In thousandths of a second.
	samples               uint32
	size                  uint32 // Width and height, 16 bits each.
}

func goodClip() clipParts {
	return clipParts{brand: "isom", handler: "vide", codec: "avc1", duration: 1500, samples: 36, size: 640<<16 | 360}
}

func (p clipParts) trak() []byte {
	entry := slices.Concat(make([]byte, 24), words(p.size), make([]byte, 50))
	return box("trak",
		box("tkhd", words(0, 0, 0, 1, 0, p.duration), make([]byte, 60)),
		box("mdia",
			box("mdhd", words(0, 0, 0, 1000, p.duration, 0)),
			box("hdlr", words(0, 0), []byte(p.handler), words(0, 0, 0, 0)),
			box("minf", box("hdlr", words(0, 0), []byte("alis"), words(0, 0, 0, 0)), box("stbl",
				box("stsd", words(0, 1), box(p.codec, entry)),
				box("stsz", words(0, 100, p.samples)),
			))))
}

func (p clipParts) file() []byte {
	moov := box("moov", p.trak(), words(0)) // QuickTime ends lists with a zero.
	if !p.fragmented {
		return slices.Concat(box("ftyp", []byte(p.brand), words(0)), moov, box("mdat", make([]byte, 100)))
	}
	p.duration, p.samples = 0, 0
	moov = box("moov", p.trak(), box("mvex", box("trex", words(0, 1, 1, 40, 0, 0))))
	fragment := func(begin uint32, runs ...[]byte) []byte {
		inner := append([][]byte{box("tfhd", words(0, 1)), box("tfdt", words(0, begin))}, runs...)
		return slices.Concat(box("moof", box("mfhd", words(0, 1)), box("traf", inner...)), box("mdat", make([]byte, 100)))
	}
	return slices.Concat(box("ftyp", []byte(p.brand), words(0)), moov,
		fragment(0, box("trun", words(0, 25))), // A second of frames that last as long as trex says.
		fragment(1000, box("trun", words(0x301, 2, 0, 250, 1, 200, 1)), box("trun", words(0, 10))))
}

func TestInspect_ReadsWhatTheContainerSays(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		file []byte
		want media.Container
	}{
		{"real clip", sim.TinyClip(), media.Container{ContentType: "video/mp4", Codec: "h264", Duration: time.Second, Width: 160, Height: 90}},
		{"real clip, longer", sim.SampleClip(), media.Container{ContentType: "video/mp4", Codec: "h264", Duration: 4 * time.Second, Width: 640, Height: 360}},
		{"boxes that players skip", sim.ResultClip("x", 0), media.Container{ContentType: "video/mp4", Codec: "h264", Duration: time.Second, Width: 160, Height: 90}},
		{"QuickTime", clipParts{"qt  ", "vide", "apch", false, 1500, 36, 640<<16 | 360}.file(), media.Container{ContentType: "video/quicktime", Codec: "prores", Duration: 1500 * time.Millisecond, Width: 640, Height: 360}},
		{"fragmented", clipParts{"iso6", "vide", "hvc1", true, 0, 0, 640<<16 | 360}.file(), media.Container{ContentType: "video/mp4", Codec: "hevc", Duration: 1850 * time.Millisecond, Width: 640, Height: 360}},
		{"unknown codec", clipParts{"isom", "vide", "xyz1", false, 1500, 36, 640<<16 | 360}.file(), media.Container{ContentType: "video/mp4", Codec: "xyz1", Duration: 1500 * time.Millisecond, Width: 640, Height: 360}},
		{"unknown duration", clipParts{"isom", "vide", "av01", false, 1<<32 - 1, 36, 640<<16 | 360}.file(), media.Container{ContentType: "video/mp4", Codec: "av1", Width: 640, Height: 360}},
		{"media data to the end of the file", func() []byte {
			file := goodClip().file()
			copy(file[len(file)-108:], words(0))
			return file
		}(), media.Container{ContentType: "video/mp4", Codec: "h264", Duration: 1500 * time.Millisecond, Width: 640, Height: 360}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := media.Inspect(bytes.NewReader(tt.file), int64(len(tt.file)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("container (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInspect_RefusesWhatIsNoWholeVideo(t *testing.T) {
	t.Parallel()
	clip := sim.TinyClip()
	spoilt := func(spoil func(*clipParts)) []byte {
		p := goodClip()
		spoil(&p)
		return p.file()
	}
	deep := box("mdia")
	for range 1000 {
		deep = box("mdia", deep)
	}
	head := box("ftyp", []byte("isom"), words(0))
	for _, tt := range []struct {
		name, want string
		file       []byte
	}{
		{"empty", "does not begin", nil},
		{"web page", "does not begin", []byte("<!DOCTYPE html><title>Just a moment</title>")},
		{"cut by a byte", "are left", clip[:len(clip)-1]},
		{"cut in half", "are left", clip[:len(clip)/2]},
		{"cut after the first box", "no video track", clip[:binary.BigEndian.Uint32(clip)]},
		{"sound alone", "no video track", spoilt(func(p *clipParts) { p.handler, p.codec = "soun", "mp4a" })},
		{"no frames", "no frames", spoilt(func(p *clipParts) { p.samples = 0 })},
		{"no media data", "no frames", goodClip().file()[:len(goodClip().file())-108]},
		{"no picture", "no size", spoilt(func(p *clipParts) { p.size = 0 })},
		{"duration of years", "not credible", clipWithTimescale(1)},
		{"no time scale", "no time scale", clipWithTimescale(0)},
		{"box of no size", "are left", slices.Concat(head, words(2), []byte("moov"), make([]byte, 100))},
		{"box beyond every file", "are left", slices.Concat(head, words(1), []byte("moov"), words(1<<31-1, 1<<31))},
		{"box that wraps around", "are left", slices.Concat(head, words(1), []byte("moov"), words(1<<32-1, 1<<32-8))},
		{"boxes without end", "more than 10000 boxes", slices.Concat(head, bytes.Repeat(box("free"), 20_000))},
		{"boxes in boxes", "nested too deep", slices.Concat(head, box("moov", box("trak", deep)))},
		{"run that claims a billion frames", "shorter than it says", slices.Concat(
			clipParts{"iso6", "vide", "avc1", true, 0, 0, 1<<16 | 1}.file(),
			box("moof", box("traf", box("tfhd", words(0, 1)), box("trun", words(0x100, 1<<30)))))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := media.Inspect(bytes.NewReader(tt.file), int64(len(tt.file)))
			if !errors.Is(err, media.ErrNotVideo) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want ErrNotVideo that says %q", err, tt.want)
			}
			if c != (media.Container{}) {
				t.Errorf("got %+v with an error", c)
			}
		})
	}
}

// clipWithTimescale returns a clip of 4,294,967,294 ticks.
func clipWithTimescale(scale uint32) []byte {
	p := goodClip()
	p.duration = 1<<32 - 2
	file := p.file()
	i := bytes.Index(file, []byte("mdhd"))
	copy(file[i+16:], words(scale))
	return file
}

func TestInspect_DistinguishesAFaultOfTheReaderFromOneOfTheFile(t *testing.T) {
	t.Parallel()
	clip := sim.TinyClip()
	broken := errors.New("the disk broke")
	for name, r := range map[string]io.ReaderAt{
		"broken": readerAtFunc(func([]byte, int64) (int, error) { return 0, broken }),
		"short":  bytes.NewReader(clip[:100]),
	} {
		_, err := media.Inspect(r, int64(len(clip)))
		if err == nil || errors.Is(err, media.ErrNotVideo) {
			t.Errorf("%s: got %v, want an error that is not the file's", name, err)
		}
	}
}

type readerAtFunc func(p []byte, off int64) (int, error)

func (f readerAtFunc) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

// TestInspect_ReadsFewAndLargeBlocks inspects a file of 4 GiB behind a slow connection, so to speak.
func TestInspect_ReadsFewAndLargeBlocks(t *testing.T) {
	t.Parallel()
	clip := sim.TinyClip()
	const size = 4 << 30
	pad := slices.Concat(words(1), []byte("free"), words(0, 0))
	binary.BigEndian.PutUint64(pad[8:], uint64(size-len(clip)))
	head := slices.Concat(clip, pad)
	reads := 0
	r := readerAtFunc(func(p []byte, off int64) (int, error) {
		reads++
		clear(p)
		if off < int64(len(head)) {
			copy(p, head[off:])
		}
		return len(p), nil
	})
	if _, err := media.Inspect(r, size); err != nil {
		t.Fatal(err)
	}
	if reads > 3 {
		t.Errorf("%d reads, want at most 3", reads)
	}
}

// FuzzInspect looks for panics, hangs and memory in what strangers may send.
func FuzzInspect(f *testing.F) {
	clip := sim.TinyClip()
	f.Add(clip)
	f.Add(clip[:len(clip)/2])
	f.Add(goodClip().file())
	f.Add(clipParts{"qt  ", "vide", "apch", true, 0, 0, 1<<16 | 1}.file())
	f.Add([]byte("<!DOCTYPE html>"))
	f.Fuzz(func(t *testing.T, file []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c, err := media.Inspect(bytes.NewReader(file), int64(len(file)))
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
			t.Errorf("inspecting %d bytes took %d bytes of memory", len(file), grown)
		}
		switch {
		case err != nil && !errors.Is(err, media.ErrNotVideo):
			t.Errorf("got %v, want ErrNotVideo", err)
		case err == nil && (c.ContentType == "" || c.Codec == "" || c.Width <= 0 || c.Height <= 0 || c.Duration < 0):
			t.Errorf("accepted as %+v", c)
		}
	})
}
