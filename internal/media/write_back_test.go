package media

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestWriteBack_ReturnsWhatTheDiskRefusedMeanwhile(t *testing.T) {
	t.Parallel()
	file, err := os.Create(filepath.Join(t.TempDir(), "result"))
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil { // What is synced from now on fails.
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		size int64
		want error
	}{
		"never asked": {writeBackBytes - 1, nil},
		"asked once":  {writeBackBytes + 1<<20, fs.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			back := &writeBack{r: io.LimitReader(endless{}, tc.size), file: file}
			n, err := io.Copy(io.Discard, back)
			if n != tc.size || err != nil {
				t.Fatalf("copied %d bytes, %v", n, err)
			}
			if err := back.end(); !errors.Is(err, tc.want) {
				t.Errorf("ended with %v, want %v", err, tc.want)
			}
		})
	}
}

// endless reads zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
