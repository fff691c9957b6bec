package server

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/media"
)

// TestSignedURI_ForgedCostsNoQuery opens forged links where there is no database to ask.
func TestSignedURI_ForgedCostsNoQuery(t *testing.T) {
	t.Parallel()
	links, err := media.NewLinks(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	expired, err := links.Make("0190b0a8-5a0b-7c1e-8f00-000000000001", 0, now.Add(-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	f := &files{addresses: addresses{outputs: links}}
	for _, token := range []string{"", "x", strings.Repeat("A", len(expired)), expired} {
		if _, err := f.OpenLink(t.Context(), token); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q gave %v, want fs.ErrNotExist", token, err)
		}
	}
}
