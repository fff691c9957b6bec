package source

import (
	"errors"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

func TestFit_SaysWhatAProviderDoesNotTake(t *testing.T) {
	t.Parallel()
	caps := provider.Capabilities{
		MaxSourceBytes: 500_000_000, MaxSourceDuration: 10 * time.Second, SourceTypes: []string{"video/mp4", "video/x-msvideo"},
	}
	anything := caps
	anything.SourceTypes = nil
	good := task.Clip{SizeBytes: 500_000_000, ContentType: "video/mp4", Duration: 10 * time.Second, Width: 1, Height: 1}
	clip := func(change func(*task.Clip)) task.Clip {
		c := good
		change(&c)
		return c
	}
	for name, tc := range map[string]struct {
		caps   provider.Capabilities
		clip   task.Clip
		reason task.Reason
		final  bool
		says   string
	}{
		"at the limits":      {caps, good, "", false, ""},
		"a frame too long":   {caps, clip(func(c *task.Clip) { c.Duration += 41 * time.Millisecond }), "", false, ""},
		"unknown duration":   {caps, clip(func(c *task.Clip) { c.Duration, c.ContentType = 0, "video/x-msvideo" }), "", false, ""},
		"unknown size":       {caps, clip(func(c *task.Clip) { c.SizeBytes = 0 }), "", false, ""},
		"undocumented types": {anything, clip(func(c *task.Clip) { c.ContentType = "video/x-matroska" }), "", false, ""},
		"too long": {
			caps, clip(func(c *task.Clip) { c.Duration = 14200 * time.Millisecond }), task.InputTooLong, false,
			"the source has 14.2 s; provider kie takes at most 10 s",
		},
		"too large": {
			caps, clip(func(c *task.Clip) { c.SizeBytes = 612_345_678 }), task.InputTooLarge, false,
			"the source has 612.346 MB; provider kie takes at most 500 MB",
		},
		"a byte too large": {
			caps, clip(func(c *task.Clip) { c.SizeBytes++ }), task.InputTooLarge, false,
			"the source has 500.001 MB; provider kie takes at most 500 MB",
		},
		"another type": {
			caps, clip(func(c *task.Clip) { c.ContentType = "video/x-matroska" }), task.InputUnsupported, false,
			"the source is video/x-matroska; provider kie takes video/mp4, video/x-msvideo",
		},
		"of no known kind": {
			anything, clip(func(c *task.Clip) { c.ContentType = "application/octet-stream" }), task.InputUnsupported, true,
			"the source is no video but application/octet-stream",
		},
		"no video": {
			anything, clip(func(c *task.Clip) { c.ContentType = "text/html" }), task.InputUnsupported, true,
			"the source is no video but text/html",
		},
		"damaged": {
			caps, clip(func(c *task.Clip) { c.Flaw = "it has no video track" }), task.InputUnsupported, true,
			"the source can't be used: it has no video track",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := fit("kie", tc.caps, tc.clip)
			unfit, refused := errors.AsType[*UnfitError](err)
			if refused != (tc.reason != "") || refused && (unfit.Reason != tc.reason || unfit.Everywhere != tc.final || unfit.Message != tc.says) {
				t.Errorf("got %+v, want %s, everywhere %t: %s", err, tc.reason, tc.final, tc.says)
			}
		})
	}
}
