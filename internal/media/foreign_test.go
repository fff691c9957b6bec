package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/task"
)

// boxOf returns a box of MP4.
func boxOf(kind string, payload []byte) []byte {
	return slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(8+len(payload))), []byte(kind), payload)
}

// riff returns a chunk of AVI.
func riff(kind string, parts ...[]byte) []byte {
	payload := bytes.Join(parts, nil)
	b := append(binary.LittleEndian.AppendUint32([]byte(kind), uint32(len(payload))), payload...)
	return append(b, make([]byte, len(b)%2)...)
}

func littleWords(numbers ...uint32) []byte {
	var b []byte
	for _, n := range numbers {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return b
}

// aviStream returns the header of a stream: 75 frames, 25 a second.
func aviStream(kind string) []byte {
	return riff("LIST", []byte("strl"),
		riff("strh", []byte(kind+"H264"), littleWords(0, 0, 0, 1, 25, 0, 75, 0, 0, 0, 0, 0)),
		riff("strf", littleWords(40, 640, ^uint32(359), 0, 0, 0, 0, 0, 0, 0))) // Upside down.
}

func aviOf(streams ...[]byte) []byte {
	header := slices.Concat([]byte("hdrl"), riff("avih", make([]byte, 56)), bytes.Join(streams, nil))
	return riff("RIFF", []byte("AVI "), riff("LIST", header), riff("LIST", []byte("movi"), make([]byte, 100)))
}

// element returns an element of Matroska, with its size in as many bytes.
func element(id uint32, sizeBytes int, parts ...[]byte) []byte {
	payload := bytes.Join(parts, nil)
	b := bytes.TrimLeft(binary.BigEndian.AppendUint32(nil, id), "\x00")
	size := binary.BigEndian.AppendUint64(nil, uint64(len(payload))|1<<(7*sizeBytes))
	return slices.Concat(b, size[8-sizeBytes:], payload)
}

// unsized returns an element that does not say its size.
func unsized(id uint32, parts ...[]byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, id)
	return slices.Concat(b, []byte("\x01\xff\xff\xff\xff\xff\xff\xff"), bytes.Join(parts, nil))
}

func matroskaTrack(kind byte) []byte {
	return element(trackEntry, 1, element(trackType, 1, []byte{kind}), element(trackCodec, 1, []byte("V_VP9")), element(trackVideo, 2,
		element(pixelWidth, 1, []byte{2, 128}), element(pixelHeight, 1, []byte{1, 104}), element(displayWidth, 1, []byte{3, 86})))
}

func matroskaHead() []byte { return element(ebmlHeader, 1, element(0x4282, 1, []byte("webm"))) }

// matroskaInfo says that the file takes 2.5 s.
func matroskaInfo() []byte {
	return element(segmentInfo, 4, element(timestampScale, 1, []byte{0x0f, 0x42, 0x40}),
		element(segmentDuration, 1, binary.BigEndian.AppendUint64(nil, math.Float64bits(2500))))
}

func matroskaTracks(kinds ...byte) []byte {
	var tracks []byte
	for _, kind := range kinds {
		tracks = append(tracks, matroskaTrack(kind)...)
	}
	return slices.Concat(matroskaHead(), element(segment, 8, matroskaInfo(), element(segmentTracks, 2, tracks), element(segmentCluster, 4, make([]byte, 100))))
}

func TestInspectClip_LooksIntoOtherContainers(t *testing.T) {
	t.Parallel()
	webm := task.Clip{ContentType: "video/x-matroska", Duration: 2500 * time.Millisecond, Width: 640, Height: 360}
	wide := webm
	wide.Width = 854
	tall := element(trackEntry, 1, element(trackType, 1, []byte{1}), element(trackVideo, 1,
		element(pixelWidth, 1, []byte{2, 128}), element(pixelHeight, 1, []byte{1, 104}), element(displayWidth, 1, []byte{3, 86}), element(displayHeight, 1, []byte{1, 104})))
	live := webm
	live.Duration = 0
	for name, tt := range map[string]struct {
		file []byte
		want task.Clip
		flaw string
	}{
		"AVI":                        {aviOf(aviStream("auds"), aviStream("vids")), task.Clip{ContentType: "video/x-msvideo", Duration: 3 * time.Second, Width: 640, Height: 360}, ""},
		"AVI with sound alone":       {aviOf(aviStream("auds")), task.Clip{ContentType: "video/x-msvideo"}, "no video stream"},
		"AVI without streams":        {aviOf(), task.Clip{ContentType: "video/x-msvideo"}, "no video stream"},
		"AVI cut short":              {aviOf(aviStream("vids"))[:100], task.Clip{ContentType: "video/x-msvideo"}, "no video stream"},
		"WebM":                       {matroskaTracks(2, 1), webm, ""},
		"WebM with wide pixels":      {slices.Concat(matroskaHead(), element(segment, 8, matroskaInfo(), element(segmentTracks, 2, tall))), wide, ""},
		"WebM of a browser":          {slices.Concat(matroskaHead(), unsized(segment, element(segmentTracks, 2, matroskaTrack(1)), unsized(segmentCluster, make([]byte, 100)))), live, ""},
		"WebM with sound alone":      {matroskaTracks(2), task.Clip{ContentType: "video/x-matroska"}, "no video track"},
		"Matroska with text alone":   {matroskaTracks(17), task.Clip{ContentType: "video/x-matroska"}, "no video track"},
		"Matroska without tracks":    {slices.Concat(matroskaHead(), element(segment, 8, matroskaInfo())), task.Clip{ContentType: "video/x-matroska"}, "names no tracks"},
		"Matroska that is no more":   {[]byte("\x1a\x45\xdf\xa3\x01\x00\x00\x00"), task.Clip{ContentType: "video/x-matroska"}, "can't be read"},
		"Matroska with broken parts": {slices.Concat(matroskaHead(), element(segment, 8, []byte{0, 0, 0, 0})), task.Clip{ContentType: "video/x-matroska"}, "can't be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.want.SizeBytes = int64(len(tt.file))
			got, err := InspectClip(bytes.NewReader(tt.file), int64(len(tt.file)))
			flaw := got.Flaw
			got.Flaw = ""
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil || !strings.Contains(flaw, tt.flaw) || (flaw == "") != (tt.flaw == "") {
				t.Errorf("flaw %q, %v; clip (-want +got):\n%s", flaw, err, diff)
			}
		})
	}
}

// nearby is a file of which only the beginning is within reach.
type nearby []byte

func (n nearby) ReadAt(p []byte, at int64) (int, error) {
	got := copy(p, n[min(at, int64(len(n))):])
	if got < len(p) {
		return got, errFarAway
	}
	return got, nil
}

// TestInspectAt_JudgesWhatIsWithinReach has the tracks of a file, but not its end.
func TestInspectAt_JudgesWhatIsWithinReach(t *testing.T) {
	t.Parallel()
	moov := func(handler string, more ...[]byte) []byte {
		entry := slices.Concat(make([]byte, 24), []byte{2, 128, 1, 104}, make([]byte, 50))
		track := slices.Concat(boxOf("mdhd", append(make([]byte, 12), 0, 0, 0x03, 0xe8, 0, 0, 0, 0, 0, 0, 0, 0)), boxOf("hdlr", append(make([]byte, 8), handler+strings.Repeat("\x00", 16)...)),
			boxOf("minf", boxOf("stbl", boxOf("stsd", append([]byte{0, 0, 0, 0, 0, 0, 0, 1}, boxOf("avc1", entry)...)))))
		mvhd := append(make([]byte, 12), append([]byte{0, 0, 0x03, 0xe8}, make([]byte, 84)...)...)
		return boxOf("moov", slices.Concat(boxOf("mvhd", mvhd), boxOf("trak", boxOf("mdia", track)), bytes.Join(more, nil)))
	}
	mehd := boxOf("mvex", boxOf("mehd", []byte{0, 0, 0, 0, 0, 0, 0x0f, 0xa0}))
	sidx := boxOf("sidx", slices.Concat(make([]byte, 8), []byte{0, 0, 0x03, 0xe8, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1}, []byte{0, 0, 0, 9, 0, 0, 0x13, 0x88, 0, 0, 0, 0}))
	head := func(brand string) []byte { return boxOf("ftyp", []byte(brand+"\x00\x00\x00\x00")) }
	far := []byte("\x00\x0f\x00\x00mdat")
	for name, tt := range map[string]struct {
		file []byte
		want time.Duration
		flaw string
	}{
		"a video":                      {slices.Concat(head("isom"), moov("vide"), far), 0, ""},
		"sound":                        {slices.Concat(head("isom"), moov("soun"), far), 0, "only sound"},
		"fragments":                    {slices.Concat(head("isom"), moov("vide", mehd), far), 4 * time.Second, ""},
		"fragments with an index":      {slices.Concat(head("isom"), moov("vide", boxOf("mvex", nil)), sidx, far), 5 * time.Second, ""},
		"no tracks":                    {slices.Concat(head("isom"), far), 0, ""},
		"no tracks, and sound by name": {slices.Concat(head("M4A "), far), 0, "sound or photos"},
		"no tracks, and a photo":       {slices.Concat(head("heic"), far), 0, "sound or photos"},
		"WebM, sound":                  {matroskaTracks(2), 0, "no video track"},
		"WebM, video":                  {matroskaTracks(1), 2500 * time.Millisecond, ""},
	} {
		for _, size := range []int64{1_000_000, -1} {
			clip, err := inspectAt(nearby(tt.file), size)
			if err != nil || clip.Duration != tt.want || !strings.Contains(clip.Flaw, tt.flaw) || (clip.Flaw == "") != (tt.flaw == "") {
				t.Errorf("%s of %d bytes: %+v, %v, want %v, flaw %q", name, size, clip, err, tt.want, tt.flaw)
			}
		}
	}
}

// FuzzInspectClip looks for panics and hangs in files of every kind.
func FuzzInspectClip(f *testing.F) {
	f.Add(matroskaTracks(1, 2))
	f.Add(aviOf(aviStream("auds"), aviStream("vids")))
	f.Add(slices.Concat(matroskaHead(), unsized(segment, matroskaInfo())))
	f.Fuzz(func(t *testing.T, file []byte) {
		if clip, err := InspectClip(bytes.NewReader(file), int64(len(file))); err != nil || clip.Duration < 0 || clip.Width < 0 || clip.Height < 0 {
			t.Errorf("%+v, %v", clip, err)
		}
		if _, err := inspectAt(nearby(file), -1); err != nil && !errors.Is(err, errFarAway) {
			t.Error(err)
		}
	})
}
