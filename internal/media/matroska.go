package media

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/bits"
	"time"
)

// The elements of Matroska that are read (RFC 9559).
const (
	ebmlHeader        = 0x1a45dfa3
	segment           = 0x18538067
	segmentInfo       = 0x1549a966
	timestampScale    = 0x2ad7b1
	segmentDuration   = 0x4489
	segmentTracks     = 0x1654ae6b
	segmentCluster    = 0x1f43b675
	trackEntry        = 0xae
	trackType         = 0x83
	trackCodec        = 0x86
	trackVideo        = 0xe0
	pixelWidth        = 0xb0
	pixelHeight       = 0xba
	displayWidth      = 0x54b0
	displayHeight     = 0x54ba
	displayUnit       = 0x54b2
	videoTrack        = 1
	maxMatroskaString = 64
)

// matroskaFile is what a Matroska or WebM file says of itself.
type matroskaFile struct {
	chunks
	scale      uint64  // Nanoseconds of a tick.
	ticks      float64 // The duration.
	hasTracks  bool
	hasVideo   bool
	codec      string
	dimensions map[uint32]uint64 // Of the first video track.
}

// inspectMatroska reads what a Matroska or WebM file says of its tracks.
func inspectMatroska(r io.ReaderAt, size int64) (Container, error) {
	m := &matroskaFile{scale: 1_000_000, dimensions: map[uint32]uint64{}}
	m.chunks = chunks{r: &blockReader{r: r, size: size}, left: maxBoxes, next: nextElement}
	err := m.each(0, size, m.topLevel)
	switch {
	case m.hasVideo:
		return m.container(), nil // What is broken or far away after that does not matter.
	case m.hasTracks:
		return Container{}, notVideo("it has no video track")
	case errors.Is(err, errDone) || err == nil:
		return Container{}, notVideo("it names no tracks")
	default:
		return Container{}, err
	}
}

func (m *matroskaFile) container() Container {
	c := Container{ContentType: matroska, Codec: m.codec}
	if seconds := m.ticks * float64(m.scale) / float64(time.Second); seconds > 0 && seconds < maxVideoDuration.Seconds() {
		c.Duration = time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
	}
	width, height := m.dimensions[pixelWidth], m.dimensions[pixelHeight]
	const pixels = 0
	if m.dimensions[displayUnit] == pixels && m.dimensions[displayWidth] > 0 && m.dimensions[displayHeight] > 0 {
		width, height = m.dimensions[displayWidth], m.dimensions[displayHeight]
	}
	c.Width, c.Height = int(min(width, maxSide)), int(min(height, maxSide))
	return c
}

func (m *matroskaFile) topLevel(e chunk) error {
	if e.id != segment {
		return nil
	}
	if err := m.each(e.begin, e.end, m.inSegment); err != nil {
		return err
	}
	return errDone
}

func (m *matroskaFile) inSegment(e chunk) error {
	switch e.id {
	case segmentInfo:
		return m.each(e.begin, e.end, m.inInfo)
	case segmentTracks:
		m.hasTracks = true
		return m.each(e.begin, e.end, func(e chunk) error {
			if e.id != trackEntry {
				return nil
			}
			return m.inTracks(e)
		})
	case segmentCluster:
		if m.hasTracks {
			return errDone
		}
	}
	return nil
}

func (m *matroskaFile) inInfo(e chunk) error {
	switch e.id {
	case timestampScale:
		n, err := m.number(e)
		if n > 0 {
			m.scale = n
		}
		return err
	case segmentDuration:
		p, err := m.bytes(e.begin, min(e.end-e.begin, 8))
		switch {
		case err != nil:
			return err
		case len(p) == 4:
			m.ticks = float64(math.Float32frombits(binary.BigEndian.Uint32(p)))
		case len(p) == 8:
			m.ticks = math.Float64frombits(binary.BigEndian.Uint64(p))
		}
	}
	return nil
}

// inTracks reads a track, and keeps what it says where it is the first video track.
func (m *matroskaFile) inTracks(entry chunk) error {
	kind, codec, dimensions := uint64(0), "", map[uint32]uint64{}
	err := m.each(entry.begin, entry.end, func(e chunk) (err error) {
		switch e.id {
		case trackType:
			kind, err = m.number(e)
		case trackCodec:
			var p []byte
			p, err = m.bytes(e.begin, min(e.end-e.begin, maxMatroskaString))
			codec = string(p)
		case trackVideo:
			err = m.each(e.begin, e.end, func(e chunk) error {
				switch e.id {
				case pixelWidth, pixelHeight, displayWidth, displayHeight, displayUnit:
					n, err := m.number(e)
					dimensions[e.id] = n
					return err
				}
				return nil
			})
		}
		return err
	})
	if kind == videoTrack && !m.hasVideo {
		m.hasVideo, m.codec, m.dimensions = true, codec, dimensions
	}
	return err
}

// number reads an unsigned integer.
func (m *matroskaFile) number(e chunk) (uint64, error) {
	p, err := m.bytes(e.begin, min(e.end-e.begin, 8))
	n := uint64(0)
	for _, b := range p {
		n = n<<8 | uint64(b)
	}
	return n, err
}

// nextElement reads the head of an element: its id and its size, each of which begins with as many zero bits as bytes follow
// (RFC 8794). A size of all ones is not known; such an element goes on to the end.
func nextElement(c *chunks, at, end int64) (chunk, int64, error) {
	p, err := c.bytes(at, min(12, end-at))
	if err != nil && len(p) < 2 {
		return chunk{}, 0, err
	}
	idLength := bits.LeadingZeros8(p[0]) + 1
	if idLength > 4 || len(p) < idLength+1 {
		return chunk{}, 0, notVideo("the element at byte %d can't be read", at)
	}
	id := uint32(0)
	for _, b := range p[:idLength] {
		id = id<<8 | uint32(b)
	}
	p = p[idLength:]
	sizeLength := bits.LeadingZeros8(p[0]) + 1
	if sizeLength > 8 || len(p) < sizeLength {
		return chunk{}, 0, notVideo("the element at byte %d can't be read", at)
	}
	size, all := uint64(p[0])&(1<<(8-sizeLength)-1), uint64(1)<<(7*sizeLength)-1
	for _, b := range p[1:sizeLength] {
		size = size<<8 | uint64(b)
	}
	begin := at + int64(idLength+sizeLength)
	if size == all || size > uint64(end-begin) { //nolint:gosec // begin is before end, by the bytes that were read.
		return chunk{id, begin, end}, end, nil
	}
	return chunk{id, begin, begin + int64(size)}, begin + int64(size), nil //nolint:gosec // It fits.
}
