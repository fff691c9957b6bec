package media

import (
	"encoding/binary"
	"math"

	"github.com/abema/go-mp4"
)

// Limits on the stored metadata of a movie.
const (
	maxTracks   = 64
	maxEdits    = 1000
	maxChapters = 64
)

// movie has the metadata of the tracks of a file.
type movie struct {
	timescale  uint32 // Of edits and of the durations below.
	duration   uint64
	fragments  uint64 // The duration with all fragments, if the file has it.
	fragmented bool
	matrix     [9]int32
	tracks     []*track
	chapters   map[uint32]bool   // The tracks with titles or pictures of chapters.
	steps      map[uint32]uint32 // The default duration of a frame by track, for fragments without one.
}

// track has the metadata of a track.
type track struct {
	id            uint32
	enabled       bool
	handler       string // "vide" for moving pictures.
	codec         string
	width, height int // The coded size, after cropping.
	cut           bool
	pixelWidth    uint32 // pixelWidth : pixelHeight is the aspect ratio of a pixel.
	pixelHeight   uint32
	shownWidth    uint32 // From the track header, in 65536ths of a pixel.
	shownHeight   uint32
	matrix        [9]int32
	timescale     uint32
	begin, end    uint64 // The range of the media, in the time scale of the track.
	delay         int32  // The time between decoding and presentation of the first frame.
	inMovie       uint64 // The end of the media outside of fragments.
	duration      uint64 // From the track header, in the movie's time scale.
	edits         []edit
	moreEdits     uint64 // The total duration of edits beyond the stored ones.
	frames        uint64
	perChunk      uint32 // Frames in the last chunk.
	lastChunk     int64  // Its bytes, or 0 if unknown.
	dataEnd       int64
}

// edit is a part of a track that a player plays.
type edit struct {
	duration uint64 // In the movie's time scale; 0 means to the end.
	at       int64  // The position in the media, in the track's time scale; negative means that nothing is shown.
	rate     int32  // In 65536ths. 0 means that one frame is shown for the duration.
}

// movieBox reads a box of the movie.
func (in *inspector) movieBox(b *mp4.BoxInfo) error {
	m := in.movie
	switch b.Type.String() {
	case "mvhd":
		var box mp4.Mvhd
		err := in.unmarshal(b, &box)
		m.timescale, m.duration, m.matrix = box.Timescale, known(box.GetVersion(), box.GetDuration()), box.Matrix
		return err
	case "trak":
		t := &track{perChunk: 1}
		if err := in.children(b, func(b *mp4.BoxInfo) error { return in.track(t, b) }); err != nil {
			return err
		}
		if len(m.tracks) < maxTracks {
			m.tracks = append(m.tracks, t)
		}
	case "mvex":
		m.fragmented = true
		return in.children(b, in.defaults)
	}
	return nil
}

// known returns a duration. It returns 0 if all bits are ones, which means unknown.
func known(version uint8, duration uint64) uint64 {
	if version == 0 && duration == math.MaxUint32 || duration == math.MaxUint64 {
		return 0
	}
	return duration
}

// track reads a box of a track. The boxes above the sample table contain only other boxes.
func (in *inspector) track(t *track, b *mp4.BoxInfo) error {
	switch b.Type.String() {
	case "edts", "mdia", "minf", "stbl":
		return in.children(b, func(b *mp4.BoxInfo) error { return in.track(t, b) })
	case "tref":
		return in.children(b, in.reference)
	case "tkhd":
		const enabled = 1
		var box mp4.Tkhd
		err := in.unmarshal(b, &box)
		t.id, t.enabled, t.duration = box.TrackID, box.CheckFlag(enabled), known(box.GetVersion(), box.GetDuration())
		t.shownWidth, t.shownHeight, t.matrix = box.Width, box.Height, box.Matrix
		return err
	case "elst":
		return in.editList(t, b)
	case "mdhd":
		var box mp4.Mdhd
		err := in.unmarshal(b, &box)
		t.timescale, t.end = box.Timescale, known(box.GetVersion(), box.GetDuration())
		t.inMovie = t.end
		return err
	case "hdlr":
		if t.handler != "" {
			return nil // QuickTime has another one in minf, for the data.
		}
		var box mp4.Hdlr
		err := in.unmarshal(b, &box)
		t.handler = string(box.HandlerType[:])
		return err
	default:
		return in.sampleTable(t, b)
	}
}

// reference records the tracks that belong to chapters.
func (in *inspector) reference(b *mp4.BoxInfo) error {
	if b.Type.String() != "chap" {
		return nil
	}
	ids, err := in.head(b, min(payloadSize(b)/4, maxChapters)*4)
	for ; len(ids) >= 4 && len(in.movie.chapters) < maxChapters; ids = ids[4:] {
		in.movie.chapters[binary.BigEndian.Uint32(ids)] = true
	}
	return err
}

// editList reads the edits of a track. It reads the entries without the library, which allocates as many entries as the box
// claims, even if the box has no bytes for them.
func (in *inspector) editList(t *track, b *mp4.BoxInfo) error {
	head, err := in.head(b, 8)
	if err != nil {
		return err
	}
	long := head[0] == 1 // Version 1 has times of 64 bits.
	width := int64(12)
	if long {
		width = 20
	}
	entries := (min(payloadSize(b), maxBoxPayload) - 8) / width
	entries = min(entries, int64(binary.BigEndian.Uint32(head[4:])))
	p, err := in.head(b, 8+entries*width)
	if err != nil {
		return err
	}
	for p = p[8:]; len(p) > 0; p = p[width:] {
		e := edit{
			duration: known(0, uint64(binary.BigEndian.Uint32(p))), at: int64(int32(binary.BigEndian.Uint32(p[4:]))), //nolint:gosec // Signed in the file.
			rate: int32(binary.BigEndian.Uint32(p[8:])), //nolint:gosec // As above.
		}
		if long {
			e = edit{
				duration: known(1, binary.BigEndian.Uint64(p)), at: int64(binary.BigEndian.Uint64(p[8:])), //nolint:gosec // As above.
				rate: int32(binary.BigEndian.Uint32(p[16:])), //nolint:gosec // As above.
			}
		}
		if len(t.edits) < maxEdits {
			t.edits = append(t.edits, e)
		} else {
			t.moreEdits += e.duration
		}
	}
	return nil
}
