package media

import (
	"encoding/binary"
	"errors"
	"io"
	"time"
)

// aviFile is what an AVI file says of itself.
type aviFile struct {
	chunks
	streams  int
	hasVideo bool
	codec    string
	seconds  float64
	width    uint32
	height   uint32
}

// inspectAVI reads what an AVI file says of its streams (Microsoft, "AVI RIFF File Reference").
func inspectAVI(r io.ReaderAt, size int64) (Container, error) {
	a := &aviFile{chunks: chunks{r: &blockReader{r: r, size: size}, left: maxBoxes, next: nextRIFF}}
	const begin = 12 // After "RIFF", a size and "AVI ".
	err := a.each(begin, size, a.topLevel)
	switch {
	case a.hasVideo:
		c := Container{ContentType: avi, Codec: a.codec, Width: int(min(a.width, maxSide)), Height: int(min(a.height, maxSide))}
		if a.seconds < maxVideoDuration.Seconds() {
			c.Duration = time.Duration(a.seconds * float64(time.Second)).Round(time.Millisecond)
		}
		return c, nil
	case a.streams > 0 || err == nil || errors.Is(err, errDone):
		return Container{}, notVideo("it has no video stream")
	default:
		return Container{}, err
	}
}

func (a *aviFile) topLevel(c chunk) error {
	list, err := a.list(c)
	if err != nil || list != "hdrl" {
		return err
	}
	if err := a.each(c.begin+4, c.end, a.header); err != nil {
		return err
	}
	return errDone
}

// header reads a chunk of the header: those of the streams are what counts.
func (a *aviFile) header(c chunk) error {
	const streamHeader, streamFormat = 0x73747268, 0x73747266 // "strh", "strf"
	list, err := a.list(c)
	if err != nil || list != "strl" {
		return err
	}
	a.streams++
	video := false
	return a.each(c.begin+4, c.end, func(c chunk) error {
		switch {
		case c.id == streamHeader && c.end-c.begin >= 36 && !a.hasVideo:
			p, err := a.bytes(c.begin, 36)
			if err != nil || string(p[:4]) != "vids" {
				return err
			}
			video, a.hasVideo, a.codec = true, true, string(p[4:8])
			scale, rate, length := binary.LittleEndian.Uint32(p[20:]), binary.LittleEndian.Uint32(p[24:]), binary.LittleEndian.Uint32(p[32:])
			if rate > 0 {
				a.seconds = float64(length) * float64(scale) / float64(rate)
			}
		case c.id == streamFormat && video && c.end-c.begin >= 12:
			p, err := a.bytes(c.begin, 12)
			if err != nil {
				return err
			}
			height := int32(binary.LittleEndian.Uint32(p[8:]))                                  //nolint:gosec // Signed in the file: pictures may be upside down.
			a.width, a.height = binary.LittleEndian.Uint32(p[4:]), uint32(max(height, -height)) //nolint:gosec // As above.
		}
		return nil
	})
}

// list returns the type of a list, and "" for another chunk.
func (a *aviFile) list(c chunk) (string, error) {
	const list = 0x4c495354 // "LIST"
	if c.id != list || c.end-c.begin < 4 {
		return "", nil
	}
	p, err := a.bytes(c.begin, 4)
	return string(p), err
}

// nextRIFF reads the head of a chunk. Chunks begin at even offsets.
func nextRIFF(c *chunks, at, end int64) (chunk, int64, error) {
	if end-at < 8 {
		return chunk{}, end, nil
	}
	p, err := c.bytes(at, 8)
	if err != nil {
		return chunk{}, 0, err
	}
	found := chunk{binary.BigEndian.Uint32(p), at + 8, min(at+8+int64(binary.LittleEndian.Uint32(p[4:])), end)}
	return found, found.end + (found.end-found.begin)%2, nil
}
