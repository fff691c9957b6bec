package media

import (
	"encoding/binary"
	"math"

	"github.com/abema/go-mp4"
)

// span is a time from one second to another.
type span struct{ from, to float64 }

// defaults reads what fragments fall back on.
func (in *inspector) defaults(b *mp4.BoxInfo) error {
	switch b.Type.String() {
	case "mehd":
		var box mp4.Mehd
		err := in.unmarshal(b, &box)
		in.movie.fragments = known(box.GetVersion(), box.GetFragmentDuration())
		return err
	case "trex":
		if len(in.movie.steps) > maxTracks {
			return nil
		}
		var box mp4.Trex
		err := in.unmarshal(b, &box)
		in.movie.steps[box.TrackID] = box.DefaultSampleDuration
		return err
	}
	return nil
}

// segmentIndex notes what time an index of segments covers.
func (in *inspector) segmentIndex(b *mp4.BoxInfo) error {
	var box mp4.Sidx
	if err := in.unmarshal(b, &box); err != nil || box.Timescale == 0 {
		return err
	}
	ticks := uint64(0)
	for _, segment := range box.References {
		ticks += uint64(segment.SubsegmentDuration)
	}
	from := float64(box.GetEarliestPresentationTime()) / float64(box.Timescale)
	if in.indexed.to == 0 {
		in.indexed.from = from
	}
	in.indexed.to = max(in.indexed.to, from+float64(ticks)/float64(box.Timescale))
	return nil
}

// fragment reads a box of a fragment.
func (in *inspector) fragment(b *mp4.BoxInfo) error {
	if b.Type.String() != "traf" || in.movie == nil {
		return nil
	}
	var run fragmentRun
	if err := in.children(b, func(b *mp4.BoxInfo) error { return in.run(&run, b) }); err != nil {
		return err
	}
	t := in.movie.byID(run.track)
	if t == nil || run.frames == 0 {
		return nil
	}
	begin := t.end
	if run.timed {
		begin = run.begin
	}
	if t.frames == 0 {
		t.begin, t.delay = begin, run.delay
	}
	t.frames += run.frames
	t.begin, t.end = min(t.begin, begin), max(t.end, begin+run.ticks)
	return nil
}

// fragmentRun is what a fragment says about one track, in the track's time scale.
type fragmentRun struct {
	track  uint32
	step   uint32 // The duration of a frame that does not say.
	begin  uint64
	timed  bool // Whether it says where it begins; else it does where the one before ends.
	ticks  uint64
	frames uint64
	delay  int32 // Of the first frame.
}

func (in *inspector) run(run *fragmentRun, b *mp4.BoxInfo) error {
	switch b.Type.String() {
	case "tfhd":
		var box mp4.Tfhd
		err := in.unmarshal(b, &box)
		run.track, run.step = box.TrackID, in.movie.steps[box.TrackID]
		if box.CheckFlag(mp4.TfhdDefaultSampleDurationPresent) {
			run.step = box.DefaultSampleDuration
		}
		return err
	case "tfdt":
		var box mp4.Tfdt
		err := in.unmarshal(b, &box)
		run.begin, run.timed = min(box.GetBaseMediaDecodeTime(), math.MaxInt64), true
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
	const durations, delays = 0x100, 0x800
	skip, width := fields(flags, 0x1, 0x4)+8, fields(flags, durations, 0x200, 0x400, delays)
	if flags&delays != 0 && run.frames == 0 && count > 0 {
		first, err := in.head(b, skip+width)
		if err != nil {
			return err
		}
		run.delay = int32(binary.BigEndian.Uint32(first[skip+width-4:])) //nolint:gosec // Signed in the file, if not always.
	}
	run.frames += uint64(count)
	if flags&durations == 0 {
		run.ticks += uint64(count) * uint64(run.step)
		return nil
	}
	if payloadSize(b) < skip+int64(count)*width {
		return notVideo("a track run is shorter than it says")
	}
	p, err := in.head(b, skip+int64(count)*width)
	if err != nil {
		return err
	}
	for p = p[skip:]; len(p) > 0; p = p[width:] {
		run.ticks += uint64(binary.BigEndian.Uint32(p))
	}
	return nil
}

// fields returns how many bytes those fields take that the flags name.
func fields(flags uint32, names ...uint32) int64 {
	width := int64(0)
	for _, name := range names {
		if flags&name != 0 {
			width += 4
		}
	}
	return width
}
