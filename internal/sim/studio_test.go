package sim_test

import (
	"net/http"
	"net/http/httptest"
	"os/exec"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/simtest"
)

func TestSource_IsFetchedAndCopiedWithoutFFmpeg(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) {
		c.Source, c.Transform, c.FFmpeg = sim.SourceFetch, sim.TransformAuto, "/nowhere/ffmpeg"
	})
	clip := sim.SampleClip()
	rec := w.Finished(w.Modify(simtest.Source(t, clip)), 1)
	for _, u := range []string{rec.Response.ResultURLs[0], rec.Response.OriginURLs[0]} {
		if got := w.Get(u); got.Raw != string(clip) {
			t.Errorf("%s: got %d bytes, want the %d of the source", u, len(got.Raw), len(clip))
		}
	}
}

func TestSource_FailsTheGenerationWhenItCannotBeFetched(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) {
		c.Source, c.MaxFile, c.WorkLimit = sim.SourceFetch, 1000, 200*time.Millisecond
	})
	stuck := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stuck }))
	t.Cleanup(slow.Close)
	t.Cleanup(func() { close(stuck) })
	for name, url := range map[string]string{
		"missing": w.Sim.URL() + "/files/none.mp4", "too large": simtest.Source(t, sim.TinyClip()), "not http": "ftp://example.com/a.mp4", "too slow": slow.URL,
	} {
		rec := w.Finished(w.Modify(url), 3)
		if *rec.ErrorCode != 422 || rec.Response != nil {
			t.Errorf("%s: got error code %d, response %v", name, *rec.ErrorCode, rec.Response)
		}
	}
}

func TestTransform_ChangesTheVideoVisibly(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("ffmpeg is not in PATH; TestSource_IsFetchedAndCopiedWithoutFFmpeg covers that case")
	}
	w := simtest.Setup(t, func(c *simtest.Config) { c.Source, c.Transform = sim.SourceFetch, sim.TransformAuto })
	clip := sim.TinyClip()
	rec := w.Finished(w.Modify(simtest.Source(t, clip)), 1)
	if got := w.Get(rec.Response.ResultURLs[0]).Raw; got == string(clip) || len(got) < 1000 || got[4:8] != "ftyp" {
		t.Errorf("result has %d bytes: want another MP4 than the source", len(got))
	}
	if rec := w.Finished(w.Modify(simtest.Source(t, []byte("this is no video"))), 3); *rec.ErrorCode != 501 {
		t.Errorf("no video: got error code %d, want 501", *rec.ErrorCode)
	}
}
