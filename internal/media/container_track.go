package media

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"

	"github.com/abema/go-mp4"
)

// track is what a track says about itself.
type track struct {
	id            uint32
	handler       string // "vide" for moving pictures.
	codec         string
	width, height int
	timescale     uint32
	duration      uint64 // In the time scale.
	samples       uint32
}

// track reads a box of a track. The boxes on the way down to the sample table only hold others.
func (in *inspector) track(t *track, b *mp4.BoxInfo) error {
	switch b.Type.String() {
	case "mdia", "minf", "stbl":
		return in.children(b, func(b *mp4.BoxInfo) error { return in.track(t, b) })
	case "tkhd":
		var box mp4.Tkhd
		err := in.unmarshal(b, &box)
		t.id = box.TrackID
		return err
	case "mdhd":
		var box mp4.Mdhd
		err := in.unmarshal(b, &box)
		t.timescale, t.duration = box.Timescale, box.GetDuration()
		if box.GetVersion() == 0 && t.duration == math.MaxUint32 || t.duration == math.MaxUint64 {
			t.duration = 0 // All ones mean that it is not known.
		}
		return err
	case "hdlr":
		if t.handler != "" {
			return nil // QuickTime has another one in minf, for the data.
		}
		var box mp4.Hdlr
		err := in.unmarshal(b, &box)
		t.handler = string(box.HandlerType[:])
		return err
	case "stsd":
		return in.sampleEntry(t, b)
	case "stsz", "stz2":
		head, err := in.head(b, 12) // Version and flags, the size of all frames or of the fields, how many there are.
		if err == nil {
			t.samples = binary.BigEndian.Uint32(head[8:])
		}
		return err
	}
	return nil
}

// sampleEntry reads the first sample entry: the codec and the size of the picture.
func (in *inspector) sampleEntry(t *track, b *mp4.BoxInfo) error {
	if t.codec != "" || t.handler != "" && t.handler != "vide" {
		return nil // Sound and text have entries of other shapes.
	}
	const head = 8                          // Version and flags, and how many entries there are.
	begin := int64(b.Offset + b.HeaderSize) //nolint:gosec // Inside the file, see boxes.
	return in.boxes(begin+head, begin+payloadSize(b), func(b *mp4.BoxInfo) error {
		const fixed = 78 // What all entries of video tracks begin with (ISO/IEC 14496-12, 12.1.3).
		if t.codec != "" || payloadSize(b) < fixed {
			return nil
		}
		p, err := in.head(b, fixed)
		if err != nil {
			return err
		}
		entry := mp4.VisualSampleEntry{SampleEntry: mp4.SampleEntry{AnyTypeBox: mp4.AnyTypeBox{Type: mp4.BoxTypeAvc1()}}}
		if _, err := mp4.Unmarshal(bytes.NewReader(p), fixed, &entry, mp4.Context{}); err != nil {
			return notVideo("its sample entry can't be read: %v", err)
		}
		t.codec, t.width, t.height = codecName(b.Type.String()), int(entry.Width), int(entry.Height)
		return nil
	})
}

// codecName returns what a codec is usually called.
func codecName(sampleEntry string) string {
	switch sampleEntry {
	case "avc1", "avc3":
		return "h264"
	case "hvc1", "hev1":
		return "hevc"
	case "av01":
		return "av1"
	case "vp08":
		return "vp8"
	case "vp09":
		return "vp9"
	case "mp4v":
		return "mpeg4"
	case "apco", "apcs", "apcn", "apch", "ap4h", "ap4x":
		return "prores"
	default:
		return sampleEntry // mp4.BoxType escapes what can't be printed.
	}
}

// defaults reads what fragments fall back on.
func (in *inspector) defaults(b *mp4.BoxInfo) error {
	if b.Type.String() != "trex" || len(in.steps) > maxTracks {
		return nil
	}
	var box mp4.Trex
	err := in.unmarshal(b, &box)
	if in.steps == nil {
		in.steps = map[uint32]uint32{}
	}
	in.steps[box.TrackID] = box.DefaultSampleDuration
	return err
}

// maxTracks bounds how many tracks are told apart.
const maxTracks = 64

// fragment reads a box of a fragment.
func (in *inspector) fragment(b *mp4.BoxInfo) error {
	if b.Type.String() != "traf" || in.video == nil {
		return nil
	}
	run := fragmentRun{end: in.ticks}
	if err := in.children(b, func(b *mp4.BoxInfo) error { return in.run(&run, b) }); err != nil {
		return err
	}
	if run.track == in.video.id && run.frames {
		in.ticks, in.parts = max(in.ticks, run.end), true
	}
	return nil
}

// fragmentRun is what a fragment says about one track.
type fragmentRun struct {
	track  uint32
	step   uint32 // The duration of a frame that does not say.
	end    uint64
	frames bool
}

func (in *inspector) run(run *fragmentRun, b *mp4.BoxInfo) error {
	switch b.Type.String() {
	case "tfhd":
		var box mp4.Tfhd
		err := in.unmarshal(b, &box)
		run.track, run.step = box.TrackID, in.steps[box.TrackID]
		if box.CheckFlag(mp4.TfhdDefaultSampleDurationPresent) {
			run.step = box.DefaultSampleDuration
		}
		return err
	case "tfdt":
		var box mp4.Tfdt
		err := in.unmarshal(b, &box)
		run.end = box.GetBaseMediaDecodeTime()
		return err
	case "trun":
		return in.frames(run, b)
	}
	return nil
}

// frames adds up the durations in a track run. It reads them itself: the library makes room for as many frames as the box
// claims, though they may take no bytes at all.
func (in *inspector) frames(run *fragmentRun, b *mp4.BoxInfo) error {
	head, err := in.head(b, 8)
	if err != nil {
		return err
	}
	flags, count := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
	run.frames = run.frames || count > 0
	const durations = 0x100
	if flags&durations == 0 {
		run.end += uint64(count) * uint64(run.step)
		return nil
	}
	skip := int64(8)
	for _, optional := range []uint32{0x1, 0x4} {
		if flags&optional != 0 {
			skip += 4
		}
	}
	width := int64(0)
	for _, field := range []uint32{durations, 0x200, 0x400, 0x800} {
		if flags&field != 0 {
			width += 4
		}
	}
	if payloadSize(b) < skip+int64(count)*width {
		return notVideo("a track run is shorter than it says")
	}
	p, err := in.head(b, skip+int64(count)*width)
	if err != nil {
		return err
	}
	for p = p[skip:]; len(p) > 0; p = p[width:] {
		run.end += uint64(binary.BigEndian.Uint32(p))
	}
	return nil
}

// unmarshal reads a small box whole.
func (in *inspector) unmarshal(b *mp4.BoxInfo, box mp4.IBox) error {
	p, err := in.head(b, payloadSize(b))
	if err != nil {
		return err
	}
	if _, err := mp4.Unmarshal(bytes.NewReader(p), uint64(len(p)), box, mp4.Context{}); err != nil {
		return notVideo("the box %q at byte %d can't be read: %v", b.Type, b.Offset, err)
	}
	return nil
}

// head reads the first n bytes of a box.
func (in *inspector) head(b *mp4.BoxInfo, n int64) ([]byte, error) {
	if n > payloadSize(b) || n > maxBoxPayload {
		return nil, notVideo("the box %q at byte %d has an unusable size of %d bytes", b.Type, b.Offset, b.Size)
	}
	p := make([]byte, n)
	_, err := in.r.ReadAt(p, int64(b.Offset+b.HeaderSize)) //nolint:gosec // Inside the file, see boxes.
	if err == io.EOF {
		err = nil // The box ends with the file.
	}
	return p, err
}
