package media

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// holds reports whether there is a track of a kind.
func (m *movie) holds(handler string) bool {
	return m != nil && slices.ContainsFunc(m.tracks, func(t *track) bool { return t.handler == handler })
}

// byID returns a track, or nil.
func (m *movie) byID(id uint32) *track {
	for _, t := range m.tracks {
		if t.id == id {
			return t
		}
	}
	return nil
}

// video returns the track that a player shows, or nil without one: the first with frames, rather one that is enabled.
// Covers and the pictures of chapters are no video.
func (m *movie) video() *track {
	var best *track
	rank := -1
	for _, t := range m.tracks {
		if t.handler != "vide" || m.chapters[t.id] || t.still() {
			continue
		}
		r := 0
		if t.frames > 0 {
			r += 2
		}
		if t.enabled {
			r++
		}
		if r > rank {
			best, rank = t, r
		}
	}
	return best
}

// still reports whether a track is a single picture, such as a cover.
func (t *track) still() bool {
	switch t.codec {
	case "mjpeg", "png", "jpeg2000", "tiff", "gif ":
		return t.frames == 1
	default:
		return false
	}
}

// played returns the tracks that a player plays with v. Where none is enabled, all count as if they were (ISO/IEC
// 14496-12, 8.3.1).
func (m *movie) played(v *track) []*track {
	var all, enabled []*track
	for _, t := range m.tracks {
		if t != v && (t.handler != "vide" && t.handler != "soun" || m.chapters[t.id] || t.still()) {
			continue
		}
		all = append(all, t)
		if t.enabled || t == v {
			enabled = append(enabled, t)
		}
	}
	if !slices.ContainsFunc(all, func(t *track) bool { return t.enabled }) {
		return all
	}
	return enabled
}

// dataEnd returns where the last frame of pictures or sound ends in the file, as far as the movie says.
func (m *movie) dataEnd() int64 {
	end := int64(0)
	for _, t := range m.tracks {
		if t.handler == "vide" || t.handler == "soun" {
			end = max(end, t.dataEnd)
		}
	}
	return end
}

// duration is how long a player plays: as long as the longest track that it plays. Of a fragmented file that was not read to
// its end, it is what the file says of all fragments.
func (in *inspector) duration(v *track, complete bool) (time.Duration, error) {
	if v.timescale == 0 {
		return 0, notVideo("its video track has no time scale")
	}
	m, seconds := in.movie, 0.0
	if complete || !m.fragmented {
		for _, t := range m.played(v) {
			seconds = max(seconds, m.plays(t))
		}
	}
	if seconds == 0 && m.timescale > 0 {
		seconds = float64(m.fragments) / float64(m.timescale)
	}
	if seconds == 0 {
		seconds = in.indexed.to - in.indexed.from
	}
	if seconds == 0 && m.timescale > 0 && !m.fragmented {
		seconds = float64(cmp.Or(v.duration, m.duration)) / float64(m.timescale)
	}
	if seconds > maxVideoDuration.Seconds() {
		return 0, notVideo("its duration of %.0f s is not credible", seconds)
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond), nil
}

// plays is how many seconds a player plays of a track: its media, or what the edit list picks of it.
func (m *movie) plays(t *track) float64 {
	if t.timescale == 0 {
		return 0
	}
	media := float64(t.end-min(t.begin, t.end)) / float64(t.timescale)
	if len(t.edits) == 0 || m.timescale == 0 {
		return media
	}
	seconds := float64(t.moreEdits) / float64(m.timescale)
	for i, e := range t.edits {
		// A list that was written before the fragments covers the media that was there then.
		open := e.duration == 0 || i == len(t.edits)-1 && t.end > t.inMovie && m.ticks(e, t) <= float64(t.inMovie)
		seconds += m.playsEdit(t, e, open)
	}
	return seconds
}

// ticks is where an edit ends in the media, in the track's time scale.
func (m *movie) ticks(e edit, t *track) float64 {
	return float64(e.at) - float64(t.delay) + float64(e.duration)/float64(m.timescale)*float64(t.timescale)
}

// playsEdit is how many seconds an edit takes. One that is open goes on to the end of the media, and none goes further.
func (m *movie) playsEdit(t *track, e edit, open bool) float64 {
	length := float64(e.duration) / float64(m.timescale)
	if e.at < 0 || e.rate == 0 && e.duration > 0 || t.end == 0 {
		return length // Nothing is shown, or one frame, or it is not known how much media there is.
	}
	// Edits count in the time of display, which frames that are stored in another order put off.
	left := float64(t.end) - max(float64(e.at)-float64(t.delay), float64(t.begin))
	left = max(left, 0) / float64(t.timescale)
	if speed := math.Abs(float64(e.rate)) / 65536; speed > 0 {
		left /= speed
	}
	if open {
		return left
	}
	return min(length, left)
}

// maxSide bounds the width and the height that are believed to be shown.
const maxSide = 1 << 20

// shownSize returns the width and the height of the picture that a player shows of a track.
func (m *movie) shownSize(t *track) (width, height int) {
	if t.width == 0 || t.height == 0 {
		return 0, 0
	}
	w, h := float64(t.width), float64(t.height)
	switch {
	case t.pixelWidth != t.pixelHeight && t.pixelWidth > 0 && t.pixelHeight > 0:
		w *= float64(t.pixelWidth) / float64(t.pixelHeight)
	case !t.cut && t.shownWidth >= 1<<16 && t.shownHeight >= 1<<16:
		w, h = float64(t.shownWidth)/(1<<16), float64(t.shownHeight)/(1<<16)
	}
	w, h = placed(w, h, t.matrix)
	w, h = placed(w, h, m.matrix)
	width, height = int(math.Round(w)), int(math.Round(h))
	if width < 1 || height < 1 || width > maxSide || height > maxSide {
		return t.width, t.height
	}
	return width, height
}

// placed returns the size of a picture that a matrix turns, mirrors or scales. A matrix of zeros, which would leave nothing,
// is one that no program wrote.
func placed(w, h float64, matrix [9]int32) (float64, float64) {
	part := func(i int) float64 { return math.Abs(float64(matrix[i])) / (1 << 16) }
	width, height := part(0)*w+part(3)*h, part(1)*w+part(4)*h
	if width < 1 || height < 1 {
		return w, h
	}
	return width, height
}
