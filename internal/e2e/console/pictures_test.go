//go:build browser

package console_test

import (
	"bytes"
	"flag"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
)

// picturesVariable names a folder for pictures of all pages.
const picturesVariable = "REFRACT_SCREENSHOTS"

var update = flag.Bool("update", false, "write the picture of the README anew")

// TestBrowser_Pictures takes pictures of all pages in both themes and on narrow and wide windows, for readers of a change.
func TestBrowser_Pictures(t *testing.T) {
	t.Parallel()
	folder := os.Getenv(picturesVariable)
	if folder == "" {
		t.Skipf("%s names no folder for the pictures", picturesVariable)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	p := populate(t)
	for _, v := range []visitor{operator, acme, other, stranger} {
		b := p.browse(t, v, ordinary)
		for _, at := range p.places {
			if at.visitor != v {
				continue
			}
			for _, l := range looks {
				b.setLook(t, l)
				b.open(t, at.path)
				name := fmt.Sprintf("%s-%v.png", at.name, l)
				if err := os.WriteFile(filepath.Join(folder, name), b.picture(t, 0), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

const (
	readmePicture = "../../../docs/console.png"
	maxPicture    = 120_000 // In bytes.
)

// TestBrowser_PictureOfTheREADME keeps the picture of the README small. With -update it takes a new one, of a task with its comparison.
func TestBrowser_PictureOfTheREADME(t *testing.T) {
	t.Parallel()
	if *update {
		takeReadmePicture(t)
	}
	content, err := os.ReadFile(readmePicture)
	if err != nil {
		t.Fatal(err)
	}
	config, err := png.DecodeConfig(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if config.Width < 1000 || len(content) > maxPicture {
		t.Errorf("the picture is %d × %d pixels in %d bytes, want at least 1000 pixels wide in at most %d bytes", config.Width, config.Height, len(content), maxPicture)
	}
}

// takeReadmePicture takes the picture of a task that changed the colours of a clip, which needs ffmpeg.
func takeReadmePicture(t *testing.T) {
	t.Helper()
	s := start(t, func(_ *server.Config, sc *simConfig) { sc.Transform = sim.TransformAuto })
	// The page compares with an uploaded source alone, since it loads nothing from other sites.
	b := s.browse(t, acme, ordinary).open(t, "/submit?model="+model).fill(t, "textbox", "Prompt…", "A neon city at dusk, in the rain")
	b.attach(t, "input[type=file]", clipFile(t)).want(t, "uploaded").click(t, "button", "Submit the task")
	b.find(t, "heading", "Output 0")
	b.compare(t)
	b.until(t, "both videos to load", func() bool {
		return peek[bool](b, `[...document.querySelectorAll("video")].length === 2 && [...document.querySelectorAll("video")].every((v) => v.readyState >= 1)`)
	})
	if err := os.WriteFile(readmePicture, b.picture(t, 0.75), 0o644); err != nil {
		t.Fatal(err)
	}
}
