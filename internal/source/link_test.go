package source

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/task"
)

func newLinks(t *testing.T, keys ...string) *Links {
	t.Helper()
	var raw [][]byte
	for _, k := range keys {
		raw = append(raw, bytes.Repeat([]byte(k), 32))
	}
	l, err := NewLinks(raw...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLinks_NameASourceUntilTheyExpire(t *testing.T) {
	t.Parallel()
	const id = task.SourceID("0190b0a8-5a0b-7c1e-8f00-000000000001")
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	token, err := newLinks(t, "a").Make(id, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []*Links{newLinks(t, "a"), newLinks(t, "b", "a")} {
		if got, err := l.Verify(token, now.Add(59*time.Minute)); err != nil || got != id {
			t.Errorf("before it expires: %q, %v, want %s", got, err, id)
		}
		if _, err := l.Verify(token, now.Add(time.Hour)); err == nil {
			t.Error("it works after it has expired")
		}
	}
	if _, err := newLinks(t, "b").Verify(token, now); err == nil {
		t.Error("it works under another key")
	}
}

// TestLinks_FormatStays holds a token that an earlier release made.
func TestLinks_FormatStays(t *testing.T) {
	t.Parallel()
	const id, token = "0190b0a8-5a0b-7c1e-8f00-000000000001", "AZCwqFoLfB6PAAAAAAAAAQAAAABrSdIAJIuW-VPiTeHin0TFYZRktQ"
	links, expiry := newLinks(t, "k"), time.Unix(1_800_000_000, 0)
	if got, err := links.Verify(token, expiry.Add(-time.Second)); err != nil || got != id {
		t.Errorf("Verify(%q) = %q, %v, want %s", token, got, err, id)
	}
	if got, err := links.Make(id, expiry); err != nil || got != token {
		t.Errorf("Make = %q, %v, want %q", got, err, token)
	}
}

func TestLinks_RefuseEveryOtherToken(t *testing.T) {
	t.Parallel()
	l, now := newLinks(t, "a"), time.Now()
	token, err := l.Make("0190b0a8-5a0b-7c1e-8f00-000000000001", now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw { // Source, expiry and HMAC alike.
		raw[i] ^= 1
		if _, err := l.Verify(base64.RawURLEncoding.EncodeToString(raw), now); err == nil {
			t.Errorf("a token with another byte %d works", i)
		}
		raw[i] ^= 1
	}
	for _, other := range []string{"", "x", token + "A", token[1:], token[:len(token)-1] + "!", strings.Repeat("\n", len(token))} {
		if _, err := l.Verify(other, now); err == nil {
			t.Errorf("%q works", other)
		}
	}
}

func TestNewLinks_RefusesWeakKeys(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string][][]byte{"none": nil, "short": {make([]byte, 31)}, "empty": {make([]byte, 32), {}}} {
		if _, err := NewLinks(keys...); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
