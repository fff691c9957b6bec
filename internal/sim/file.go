package sim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
)

// File is the bytes of a file: one on disk, or an embedded clip, which is made when it is read so that a hundred
// thousand results need no memory.
type File struct {
	path string // A file on disk; empty for an embedded clip.

	// Which embedded clip: the plain one without a task id, else a result of the task, or its forgery.
	taskID string
	number int
	forged bool
}

// numbered returns the content as result n of a task.
func (c File) numbered(taskID string, n int) File {
	c.taskID, c.number = taskID, n
	return c
}

func (c File) embedded() []byte {
	switch {
	case c.forged:
		return ForgedClip(c.taskID)
	case c.taskID != "":
		return ResultClip(c.taskID, c.number)
	default:
		return tinyClip
	}
}

// Embedded reports whether the file is the embedded clip of [TinyClip], or a result made of it.
func (c File) Embedded() bool { return c.path == "" }

// open returns the bytes for reading; the caller closes them.
func (c File) open() (io.ReadSeekCloser, error) {
	if c.path == "" {
		return memoryFile{bytes.NewReader(c.embedded())}, nil
	}
	f, err := os.Open(c.path)
	if err != nil {
		return nil, fmt.Errorf("open stored file: %w", err)
	}
	return f, nil
}

// file returns a path that a program can read.
func (c File) file(dir string) (string, error) {
	if c.path != "" {
		return c.path, nil
	}
	return save(dir, bytes.NewReader(tinyClip), int64(len(tinyClip)))
}

// Sniff returns the size and the media type of the bytes.
func (c File) Sniff() (size int64, mediaType string, err error) {
	f, err := c.open()
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err != nil && n == 0 && !errors.Is(err, io.EOF) {
		return 0, "", fmt.Errorf("read stored file: %w", err)
	}
	size, err = f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, "", fmt.Errorf("measure stored file: %w", err)
	}
	return size, http.DetectContentType(head[:n]), nil
}

// Remove deletes the bytes, where they are on disk.
func (c File) Remove() {
	if c.path != "" {
		_ = os.Remove(c.path) // What is left goes with the folder of the simulator.
	}
}

type memoryFile struct{ *bytes.Reader }

func (memoryFile) Close() error { return nil }
