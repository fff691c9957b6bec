package media_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/sim"
)

// trackParts are the parts of a track, in thousandths of a second.
type trackParts struct {
	id, flags     uint32
	handler       string
	codec         string // Of its sample entry.
	inEntry       []byte // Boxes in the sample entry.
	header        uint32 // The duration in the track header.
	media         uint32 // The duration of the media.
	shown         [2]uint32
	matrix        []uint32
	edits         []byte // The box of edit lists.
	tables        []byte // Boxes after the sample description.
	frames        uint32
	references    []byte
	width, height uint32
}

func videoTrack(change ...func(*trackParts)) trackParts {
	p := trackParts{id: 1, flags: 3, handler: "vide", codec: "avc1", media: 16_000, shown: [2]uint32{640 << 16, 360 << 16}, frames: 400, width: 640, height: 360}
	for _, f := range change {
		f(&p)
	}
	return p
}

func soundTrack(change ...func(*trackParts)) trackParts {
	p := trackParts{id: 2, flags: 3, handler: "soun", codec: "mp4a", media: 4000, frames: 100}
	for _, f := range change {
		f(&p)
	}
	return p
}

var noTurn = []uint32{1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30}

func (p trackParts) box() []byte {
	matrix := p.matrix
	if matrix == nil {
		matrix = noTurn
	}
	entry := slices.Concat(make([]byte, 24), words(p.width<<16|p.height), make([]byte, 50), p.inEntry)
	return box("trak",
		box("tkhd", words(p.flags, 0, 0, p.id, 0, p.header, 0, 0, 0, 0), words(matrix...), words(p.shown[0], p.shown[1])),
		p.references, p.edits,
		box("mdia",
			box("mdhd", words(0, 0, 0, 1000, p.media, 0)),
			box("hdlr", words(0, 0), []byte(p.handler), words(0, 0, 0, 0)),
			box("minf", box("stbl", box("stsd", words(0, 1), box(p.codec, entry)), box("stsz", words(0, 1, p.frames)), p.tables))))
}

// movieFile returns a file of tracks, whose movie says that it takes a minute.
func movieFile(brand string, tracks ...trackParts) []byte {
	parts := [][]byte{box("mvhd", words(0, 0, 0, 600, 36_000, 1<<16, 1<<24, 0, 0), words(noTurn...), make([]byte, 28))}
	for _, t := range tracks {
		parts = append(parts, t.box())
	}
	return slices.Concat(box("ftyp", []byte(brand), words(0)), box("moov", parts...), box("mdat", make([]byte, 1000)))
}

// edits returns an edit list of version 0: each with a duration in 600ths of a second, a time in the media and a rate.
func edits(entries ...[3]uint32) []byte {
	list := words(0, uint32(len(entries)))
	for _, e := range entries {
		list = append(list, words(e[0], e[1], e[2])...)
	}
	return box("edts", box("elst", list))
}

const (
	normal  = 1 << 16    // The rate.
	nothing = 0xffffffff // The time of an empty edit.
)

func TestInspect_DurationIsWhatAPlayerPlays(t *testing.T) {
	t.Parallel()
	cut := edits([3]uint32{2400, 10_000, normal})
	edited := func(list []byte) trackParts { return videoTrack(func(p *trackParts) { p.edits = list }) }
	long := box("edts", box("elst", words(1<<24, 2, 0, 600, nothing, nothing, normal, 0, 2400, 0, 10_000, normal)))
	many := slices.Repeat([][3]uint32{{6, 1000, normal}}, 1500)
	for name, tt := range map[string]struct {
		tracks []trackParts
		want   time.Duration
	}{
		"no edits":                            {[]trackParts{videoTrack()}, 16 * time.Second},
		"cut without encoding":                {[]trackParts{edited(cut)}, 4 * time.Second},
		"cut, with sound":                     {[]trackParts{edited(cut), soundTrack()}, 4 * time.Second},
		"cut to the end":                      {[]trackParts{edited(edits([3]uint32{0, 10_000, normal}))}, 6 * time.Second},
		"cut, longer than the media":          {[]trackParts{edited(edits([3]uint32{60_000, 10_000, normal}))}, 6 * time.Second},
		"cut, beyond the media":               {[]trackParts{edited(edits([3]uint32{2400, 20_000, normal}, [3]uint32{600, 0, normal}))}, time.Second},
		"several cuts":                        {[]trackParts{edited(edits([3]uint32{600, 1000, normal}, [3]uint32{1200, 9000, normal}))}, 3 * time.Second},
		"a late begin":                        {[]trackParts{edited(edits([3]uint32{600, nothing, normal}, [3]uint32{2400, 10_000, normal}))}, 5 * time.Second},
		"a late begin, 64 bits":               {[]trackParts{edited(long)}, 5 * time.Second},
		"a frame that stands":                 {[]trackParts{edited(edits([3]uint32{1200, 15_990, 0}, [3]uint32{600, 0, normal}))}, 3 * time.Second},
		"twice as fast, to the end":           {[]trackParts{edited(edits([3]uint32{0, 0, 2 * normal}))}, 8 * time.Second},
		"edits without number":                {[]trackParts{edited(edits(many...))}, 15 * time.Second},
		"a list that claims more than it has": {[]trackParts{edited(box("edts", box("elst", words(0, 1<<31, 2400, 10_000, normal))))}, 4 * time.Second},
		"an empty list":                       {[]trackParts{edited(edits())}, 16 * time.Second},
		"sound that is longer":                {[]trackParts{edited(cut), soundTrack(func(p *trackParts) { p.media = 5500 })}, 5500 * time.Millisecond},
		"sound that is longer, and cut":       {[]trackParts{edited(cut), soundTrack(func(p *trackParts) { p.media, p.edits = 60_000, cut })}, 4 * time.Second},
		"sound that is switched off":          {[]trackParts{edited(cut), soundTrack(func(p *trackParts) { p.flags, p.media = 0, 60_000 })}, 4 * time.Second},
		"text and a cover that are longer": {[]trackParts{
			edited(cut), videoTrack(func(p *trackParts) { p.id, p.codec, p.frames, p.media = 3, "png ", 1, 90_000 }),
			soundTrack(func(p *trackParts) { p.handler, p.media = "text", 90_000 }),
		}, 4 * time.Second},
		"a picture that is switched off": {[]trackParts{
			videoTrack(func(p *trackParts) { p.flags = 0 }), videoTrack(func(p *trackParts) { p.id, p.edits = 2, cut }),
		}, 4 * time.Second},
		"nothing switched on":             {[]trackParts{videoTrack(func(p *trackParts) { p.flags = 0 })}, 16 * time.Second},
		"media that does not say":         {[]trackParts{videoTrack(func(p *trackParts) { p.media, p.edits = nothing, cut })}, 4 * time.Second},
		"a movie whose header alone says": {[]trackParts{videoTrack(func(p *trackParts) { p.media = nothing })}, time.Minute},
		"a track whose header alone says": {[]trackParts{videoTrack(func(p *trackParts) { p.media, p.header = nothing, 3000 })}, 5 * time.Second},
		"frames in another order": {[]trackParts{videoTrack(func(p *trackParts) {
			p.tables, p.edits = box("ctts", words(0, 1, 400, 80)), edits([3]uint32{9600, 80, normal})
		})}, 16 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := movieFile("isom", tt.tracks...)
			got, err := media.Inspect(bytes.NewReader(file), int64(len(file)))
			if err != nil || got.Duration != tt.want {
				t.Errorf("plays %v, %v, want %v", got.Duration, err, tt.want)
			}
		})
	}
}

func TestInspect_SizeIsWhatAPlayerShows(t *testing.T) {
	t.Parallel()
	minus := func(n uint32) uint32 { return -n }
	turned := func(a, b, c, d uint32) []uint32 { return []uint32{a, b, 0, c, d, 0, 0, 0, 1 << 30} }
	for name, tt := range map[string]struct {
		change func(*trackParts)
		want   [2]int
	}{
		"as coded":         {func(*trackParts) {}, [2]int{640, 360}},
		"turned right":     {func(p *trackParts) { p.matrix = turned(0, normal, minus(normal), 0) }, [2]int{360, 640}},
		"turned left":      {func(p *trackParts) { p.matrix = turned(0, minus(normal), normal, 0) }, [2]int{360, 640}},
		"upside down":      {func(p *trackParts) { p.matrix = turned(minus(normal), 0, 0, minus(normal)) }, [2]int{640, 360}},
		"mirrored":         {func(p *trackParts) { p.matrix = turned(minus(normal), 0, 0, normal) }, [2]int{640, 360}},
		"half as large":    {func(p *trackParts) { p.matrix = turned(normal/2, 0, 0, normal/2) }, [2]int{320, 180}},
		"no matrix":        {func(p *trackParts) { p.matrix = make([]uint32, 9) }, [2]int{640, 360}},
		"an absurd matrix": {func(p *trackParts) { p.matrix = turned(1<<31-1, 0, 0, 1<<31-1) }, [2]int{640, 360}},
		"wide pixels":      {func(p *trackParts) { p.inEntry = box("pasp", words(4, 3)) }, [2]int{853, 360}},
		"wide pixels, turned": {func(p *trackParts) {
			p.inEntry, p.matrix = box("pasp", words(4, 3)), turned(0, normal, minus(normal), 0)
		}, [2]int{360, 853}},
		"square pixels":      {func(p *trackParts) { p.inEntry = box("pasp", words(7, 7)) }, [2]int{640, 360}},
		"pixels of no size":  {func(p *trackParts) { p.inEntry = box("pasp", words(0, 3)) }, [2]int{640, 360}},
		"a header that says": {func(p *trackParts) { p.shown = [2]uint32{854 << 16, 480 << 16} }, [2]int{854, 480}},
		"a header of zeros":  {func(p *trackParts) { p.shown = [2]uint32{} }, [2]int{640, 360}},
		"a header in pixels": {func(p *trackParts) { p.shown = [2]uint32{640, 360} }, [2]int{640, 360}}, // Not in 65536ths of one.
		"cut off": {func(p *trackParts) {
			p.shown = [2]uint32{}
			p.inEntry = box("clap", words(640, 1, 352, 1, 0, 1, 0, 1))
		}, [2]int{640, 352}},
		"cut off by nothing": {func(p *trackParts) { p.inEntry = box("clap", words(640, 0, 352, 0, 0, 1, 0, 1)) }, [2]int{640, 360}},
		"a table of colors":  {func(p *trackParts) { p.inEntry = bytes.Repeat([]byte{0xff}, 50) }, [2]int{640, 360}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := movieFile("isom", videoTrack(tt.change))
			got, err := media.Inspect(bytes.NewReader(file), int64(len(file)))
			if err != nil || [2]int{got.Width, got.Height} != tt.want {
				t.Errorf("%d x %d, %v, want %v", got.Width, got.Height, err, tt.want)
			}
		})
	}
}

// TestInspect_WantsAVideoTrackWhateverTheBrand gives sound, photos and text the brands of videos, and a video those of others.
func TestInspect_WantsAVideoTrackWhateverTheBrand(t *testing.T) {
	t.Parallel()
	descriptor := func(objectType byte) []byte {
		return box("esds", words(0), []byte{3, 0x80, 0x80, 0x80, 21, 0, 1, 0, 4, 13, objectType, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	}
	cover := func(codec string, inEntry []byte) trackParts {
		return videoTrack(func(p *trackParts) { p.id, p.codec, p.inEntry, p.frames = 3, codec, inEntry, 1 })
	}
	chapters := videoTrack(func(p *trackParts) { p.id, p.codec, p.frames = 3, "jpeg", 12 })
	withChapters := soundTrack(func(p *trackParts) { p.references = box("tref", box("chap", words(3))) })
	pictures := videoTrack(func(p *trackParts) { p.handler = "pict" })
	text := soundTrack(func(p *trackParts) { p.handler = "sbtl" })
	still := slices.Concat(box("meta", words(0)), box("mdat", make([]byte, 100)))
	brands := []string{"isom", "mp42", "qt  ", "M4A ", "M4B ", "M4V ", "3gp4", "heic", "heix", "hevc", "mif1", "msf1", "avif", "avis", "dash", "\x00\x00\x00\x00"}
	for _, brand := range brands {
		for name, tt := range map[string]struct {
			file []byte
			want string // Empty for a video.
		}{
			"video":                 {movieFile(brand, videoTrack()), ""},
			"video with a cover":    {movieFile(brand, cover("png ", nil), videoTrack(), soundTrack()), ""},
			"video with chapters":   {movieFile(brand, withChapters, chapters, videoTrack()), ""},
			"pictures of a camera":  {movieFile(brand, videoTrack(func(p *trackParts) { p.codec = "jpeg" })), ""},
			"sound":                 {movieFile(brand, soundTrack()), "only sound"},
			"sound with JPEG":       {movieFile(brand, soundTrack(), cover("mp4v", descriptor(0x6c))), "only still pictures"},
			"sound with PNG":        {movieFile(brand, soundTrack(), cover("mp4v", descriptor(0x6d))), "only still pictures"},
			"sound with old JPEG":   {movieFile(brand, soundTrack(), cover("jpeg", nil)), "only still pictures"},
			"sound with chapters":   {movieFile(brand, withChapters, chapters), "only still pictures"},
			"text":                  {movieFile(brand, text), "only text"},
			"sequence of photos":    {movieFile(brand, pictures), "it is a photo"},
			"photo":                 {slices.Concat(box("ftyp", []byte(brand), words(0)), still), "it is a photo"},
			"nothing":               {movieFile(brand), "no video track"},
			"one frame of MPEG-4":   {movieFile(brand, cover("mp4v", descriptor(0x20))), ""},
			"descriptors cut short": {movieFile(brand, cover("mp4v", box("esds", words(0), []byte{3, 0x80}))), ""},
		} {
			c, err := media.Inspect(bytes.NewReader(tt.file), int64(len(tt.file)))
			switch {
			case tt.want == "" && (err != nil || c.Width != 640):
				t.Errorf("%q, %s: %+v, %v, want a video", brand, name, c, err)
			case tt.want != "" && (!errors.Is(err, media.ErrNotVideo) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("%q, %s: %v, want that there is %q", brand, name, err, tt.want)
			}
		}
	}
}

// tails are what follows videos that play.
func tails() map[string][]byte {
	return map[string][]byte{
		"a tag":              append([]byte("TAGTitle"), make([]byte, 120)...),
		"a long tag":         append([]byte("ID3\x04\x00\x00\x00\x00\x0f\x76TIT2"), make([]byte, 2000)...),
		"what a phone adds":  []byte("\x00\x00\x01\x0a\x0e\x00\x00\x00Image_UTC_Data1681234567890SEFH\x6b\x00\x00\x00\x01\x00\x00\x00SEFT"),
		"zeros":              make([]byte, 4096),
		"some zeros":         make([]byte, 5),
		"ones":               bytes.Repeat([]byte{0xff}, 999),
		"a web page":         []byte("<!DOCTYPE html><title>bye</title>"),
		"a letter":           []byte("x"),
		"a box of its own":   append([]byte("\x00\x00\x00\x20insp"), make([]byte, 500)...),
		"the size of no box": []byte("\x00\x00\x00\x01camr\xff\xff\xff\xff\xff\xff\xff\xff"),
	}
}

func TestInspect_IgnoresWhatFollowsAWholeFile(t *testing.T) {
	t.Parallel()
	for name, tail := range tails() {
		for kind, clip := range map[string][]byte{
			"clip": sim.TinyClip(), "built": movieFile("isom", videoTrack(), soundTrack()), "fragmented": clipParts{"iso6", "vide", "hvc1", true, 0, 0, 640<<16 | 360}.file(),
		} {
			want, err := media.Inspect(bytes.NewReader(clip), int64(len(clip)))
			if err != nil {
				t.Fatal(err)
			}
			file := slices.Concat(clip, tail)
			got, err := media.Inspect(bytes.NewReader(file), int64(len(file)))
			if err != nil || got != want {
				t.Errorf("%s with %s: %+v, %v, want %+v", kind, name, got, err, want)
			}
		}
	}
}

// TestInspect_FindsWhatIsCut cuts files before their end, with and without a tail.
func TestInspect_FindsWhatIsCut(t *testing.T) {
	t.Parallel()
	clip := sim.TinyClip()
	at := func(offset uint32, inChunk ...uint32) []byte {
		return movieFile("isom", videoTrack(func(p *trackParts) {
			p.tables = slices.Concat(box("stsc", words(0, 1, 1, uint32(len(inChunk)), 1)), box("stsz", words(0, 0, uint32(len(inChunk))), words(inChunk...)),
				box("stco", words(0, 3, 100, offset, 100)))
		}))
	}
	size := uint32(len(at(0, 1)))
	openEnd := bytes.Clone(clip) // The media data reaches to the end of the file, wherever that is.
	copy(openEnd[bytes.Index(openEnd, []byte("mdat"))-4:], words(0))
	for name, tt := range map[string]struct {
		file []byte
		want string
	}{
		"by a byte":                   {clip[:len(clip)-1], "are left"},
		"and something added":         {append(bytes.Clone(clip[:len(clip)-500]), "TAG"...), "are left"},
		"with an open end, by a byte": {openEnd[:len(openEnd)-1], "cut short"},
		"a chunk beyond the end":      {at(size+1, 1), "cut short"},
		"a chunk at the end":          {at(size, 1), "cut short"},
		"in a fragment": {func() []byte {
			file := clipParts{"iso6", "vide", "hvc1", true, 0, 0, 1<<16 | 1}.file()
			return file[:len(file)-120]
		}(), "are left"},
		"chunks that are none": {movieFile("isom", videoTrack(func(p *trackParts) { p.tables = box("stco", words(0, 1<<30, 1)) })), "shorter than it says"},
	} {
		if _, err := media.Inspect(bytes.NewReader(tt.file), int64(len(tt.file))); !errors.Is(err, media.ErrNotVideo) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	for name, file := range map[string][]byte{"a chunk that ends with the file": at(size-1, 1), "an open end": openEnd} {
		if _, err := media.Inspect(bytes.NewReader(file), int64(len(file))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestInspect_FragmentsPlayFromTheFirst has fragments as recorders and cutters write them.
func TestInspect_FragmentsPlayFromTheFirst(t *testing.T) {
	t.Parallel()
	fragment := func(track, begin, frames uint32, delay ...uint32) []byte {
		run := words(0, frames)
		if len(delay) > 0 {
			run = words(0x800, frames)
			for range frames {
				run = append(run, words(delay[0])...)
			}
		}
		return slices.Concat(box("moof", box("mfhd", words(0, 1)), box("traf", box("tfhd", words(0, track)), box("tfdt", words(0, begin)), box("trun", run))),
			box("mdat", make([]byte, 100)))
	}
	file := func(edited []byte, whole uint32, fragments ...[]byte) []byte {
		none := func(p *trackParts) { p.media, p.frames, p.edits = 0, 0, edited }
		moov := box("moov", box("mvhd", words(0, 0, 0, 600, 0, 1<<16, 1<<24, 0, 0), words(noTurn...), make([]byte, 28)),
			videoTrack(none).box(), soundTrack(none).box(),
			box("mvex", box("mehd", words(0, whole)), box("trex", words(0, 1, 1, 40, 0, 0)), box("trex", words(0, 2, 1, 20, 0, 0))))
		return slices.Concat(append([][]byte{box("ftyp", []byte("iso6"), words(0)), moov}, fragments...)...)
	}
	for name, tt := range map[string]struct {
		file []byte
		want time.Duration
	}{
		"from the beginning":           {file(nil, 0, fragment(1, 0, 25), fragment(1, 1000, 25)), 2 * time.Second},
		"from the middle":              {file(nil, 0, fragment(1, 600_000, 25), fragment(1, 601_000, 25)), 2 * time.Second},
		"sound that is longer":         {file(nil, 0, fragment(1, 0, 25), fragment(2, 0, 100)), 2 * time.Second},
		"a size that is wrong":         {file(nil, 36_000, fragment(1, 0, 25)), time.Second},
		"frames in another order":      {file(edits([3]uint32{0, 80, normal}), 0, fragment(1, 0, 25, 80)), time.Second},
		"a beginning that is cut":      {file(edits([3]uint32{0, 400, normal}), 0, fragment(1, 0, 25)), 600 * time.Millisecond},
		"an end that is cut":           {file(edits([3]uint32{300, 0, normal}), 0, fragment(1, 0, 25)), 500 * time.Millisecond},
		"of an unknown track":          {file(nil, 0, fragment(1, 0, 25), fragment(7, 0, 1000)), time.Second},
		"pictures that have no frames": {file(nil, 1800, fragment(2, 0, 25)), -1},
	} {
		got, err := media.Inspect(bytes.NewReader(tt.file), int64(len(tt.file)))
		if tt.want < 0 && errors.Is(err, media.ErrNotVideo) {
			continue
		}
		if err != nil || got.Duration != tt.want {
			t.Errorf("%s: plays %v, %v, want %v", name, got.Duration, err, tt.want)
		}
	}
}
