package media_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/media"
)

const linkedTask = "0190b0a8-5a0b-7c1e-8f00-000000000001"

func newLinks(t testing.TB, fill byte) *media.Links {
	t.Helper()
	links, err := media.NewLinks(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return links
}

func TestLinks_OpenWhatTheyWereMadeForUntilTheyExpire(t *testing.T) {
	t.Parallel()
	links, now := newLinks(t, 1), time.Unix(1_700_000_000, 0)
	token, err := links.Make(linkedTask, 3, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if id, index, err := links.Verify(token, now.Add(time.Hour-time.Second)); err != nil || id != linkedTask || index != 3 {
		t.Errorf("verified as %s, %d, %v", id, index, err)
	}
	if _, _, err := links.Verify(token, now.Add(time.Hour)); !errors.Is(err, media.ErrLink) {
		t.Errorf("after an hour: got %v, want ErrLink", err)
	}
	if _, _, err := newLinks(t, 2).Verify(token, now); !errors.Is(err, media.ErrLink) {
		t.Errorf("under another key: got %v, want ErrLink", err)
	}
}

// TestLinks_FormatStays holds a token that an earlier release made.
func TestLinks_FormatStays(t *testing.T) {
	t.Parallel()
	const token = "AZCwqFoLfB6PAAAAAAAAAQAAAAMAAAAAa0nSAPxcxWd5LdjP-dSY1BrjgMc"
	links, expire := newLinks(t, 'k'), time.Unix(1_800_000_000, 0)
	if id, index, err := links.Verify(token, expire.Add(-time.Second)); err != nil || id != linkedTask || index != 3 {
		t.Errorf("Verify(%q) = %s, %d, %v", token, id, index, err)
	}
	if got, err := links.Make(linkedTask, 3, expire); err != nil || got != token {
		t.Errorf("Make = %q, %v, want %q", got, err, token)
	}
}

func TestLinks_RefuseEveryChange(t *testing.T) {
	t.Parallel()
	links, now := newLinks(t, 1), time.Unix(1_700_000_000, 0)
	token, err := links.Make(linkedTask, 0, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		changed := bytes.Clone(raw)
		changed[i] ^= 1
		if _, _, err := links.Verify(base64.RawURLEncoding.EncodeToString(changed), now); !errors.Is(err, media.ErrLink) {
			t.Errorf("byte %d changed: got %v, want ErrLink", i, err)
		}
	}
	for _, other := range []string{"", "x", token[:len(token)-1], token + "A", token + "=", "../" + token, strings.Repeat("\n", len(token))} {
		if _, _, err := links.Verify(other, now); !errors.Is(err, media.ErrLink) {
			t.Errorf("%q: got %v, want ErrLink", other, err)
		}
	}
}

func TestLinks_NeedAKeyAndATask(t *testing.T) {
	t.Parallel()
	if _, err := media.NewLinks(make([]byte, 31)); err == nil {
		t.Error("a short key was accepted")
	}
	if _, err := newLinks(t, 1).Make("no id", 0, time.Now()); err == nil {
		t.Error("a link to no task was made")
	}
}

func FuzzLinks_Verify(f *testing.F) {
	links, now := newLinks(f, 1), time.Unix(1_700_000_000, 0)
	token, err := links.Make(linkedTask, 0, now.Add(-time.Second))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		if id, index, err := links.Verify(token, now); err == nil {
			t.Errorf("a stranger's token opens output %d of %s", index, id)
		}
	})
}
