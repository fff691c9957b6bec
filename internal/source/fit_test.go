package source

import (
	"errors"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/task"
)

func TestFit_SaysWhatAnOfferingDoesNotTake(t *testing.T) {
	t.Parallel()
	offering := func(s catalog.Source) *catalog.Offering {
		return &catalog.Offering{Model: "acme/edit", Provider: "kie", Source: s}
	}
	some := offering(catalog.Source{MaxBytes: 500_000_000, MaxDuration: 10 * time.Second, Types: []string{"video/mp4", "video/x-msvideo"}})
	anything := offering(catalog.Source{})
	shaped := offering(catalog.Source{MinDuration: 2 * time.Second, MinSide: 320, MaxSide: 2160, MaxPixels: 2_000_000, MinRatio: 0.5, MaxRatio: 2})
	good := task.Clip{SizeBytes: 500_000_000, ContentType: "video/mp4", Duration: 10 * time.Second, Width: 1280, Height: 720}
	sized := func(width, height int) task.Clip {
		c := good
		c.Width, c.Height = width, height
		return c
	}
	clip := func(change func(*task.Clip)) task.Clip {
		c := good
		change(&c)
		return c
	}
	for name, tc := range map[string]struct {
		o      *catalog.Offering
		clip   task.Clip
		reason task.Reason
		final  bool
		says   string
	}{
		"at the limits":      {some, good, "", false, ""},
		"a frame too long":   {some, clip(func(c *task.Clip) { c.Duration += 41 * time.Millisecond }), "", false, ""},
		"unknown duration":   {some, clip(func(c *task.Clip) { c.Duration, c.ContentType = 0, "video/x-msvideo" }), "", false, ""},
		"unknown size":       {some, clip(func(c *task.Clip) { c.SizeBytes = 0 }), "", false, ""},
		"undocumented types": {anything, clip(func(c *task.Clip) { c.ContentType = "video/x-matroska" }), "", false, ""},
		"too long": {
			some, clip(func(c *task.Clip) { c.Duration = 14200 * time.Millisecond }), task.InputTooLong, false,
			"the source has 14.2 s; provider kie takes at most 10 s (acme/edit)",
		},
		"too large": {
			some, clip(func(c *task.Clip) { c.SizeBytes = 612_345_678 }), task.InputTooLarge, false,
			"the source has 612.346 MB; provider kie takes at most 500 MB (acme/edit)",
		},
		"a byte too large": {
			some, clip(func(c *task.Clip) { c.SizeBytes++ }), task.InputTooLarge, false,
			"the source has 500.001 MB; provider kie takes at most 500 MB (acme/edit)",
		},
		"another type": {
			some, clip(func(c *task.Clip) { c.ContentType = "video/x-matroska" }), task.InputUnsupported, false,
			"the source is video/x-matroska; provider kie takes video/mp4, video/x-msvideo (acme/edit)",
		},
		"at the limits of its shape": {shaped, sized(2000, 1000), "", false, ""},
		"of unknown shape":           {shaped, sized(0, 0), "", false, ""},
		"too short": {
			shaped, clip(func(c *task.Clip) { c.Duration = time.Second }), task.InputUnsupported, false,
			"the source has 1 s; provider kie takes at least 2 s (acme/edit)",
		},
		"too small": {
			shaped, sized(400, 300), task.InputUnsupported, false,
			"the source has 400 × 300 pixels; provider kie takes at least 320 on the shorter side (acme/edit)",
		},
		"too wide": {
			shaped, sized(2161, 900), task.InputUnsupported, false,
			"the source has 2161 × 900 pixels; provider kie takes at most 2160 on the longer side (acme/edit)",
		},
		"too many pixels": {
			shaped, sized(2000, 1100), task.InputUnsupported, false,
			"the source has 2000 × 1100 pixels; provider kie takes at most 2000000 in all (acme/edit)",
		},
		"too flat": {
			shaped, sized(1000, 400), task.InputUnsupported, false,
			"the source has 1000 × 400 pixels; provider kie takes ratios of width to height from 0.5 to 2 (acme/edit)",
		},
		"too tall": {
			shaped, sized(400, 1000), task.InputUnsupported, false,
			"the source has 400 × 1000 pixels; provider kie takes ratios of width to height from 0.5 to 2 (acme/edit)",
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
			some, clip(func(c *task.Clip) { c.Flaw = "it has no video track" }), task.InputUnsupported, true,
			"the source can't be used: it has no video track",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := judge(tc.o, tc.clip)
			unfit, refused := errors.AsType[*UnfitError](err)
			if refused != (tc.reason != "") || refused && (unfit.Reason != tc.reason || unfit.Everywhere != tc.final || unfit.Message != tc.says) {
				t.Errorf("got %+v, want %s, everywhere %t: %s", err, tc.reason, tc.final, tc.says)
			}
		})
	}
}
