package signedtoken_test

import (
	"bytes"
	"encoding/base64"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/signedtoken"
)

var (
	oldKey, newKey = bytes.Repeat([]byte("o"), 32), bytes.Repeat([]byte("n"), 32)
	body           = []byte("eight by")
)

// formats are one of each layout.
var formats = map[string]signedtoken.Format{
	"purpose":           {Purpose: "test", BodySize: 8, MACSize: signedtoken.MACSize},
	"purpose and scope": {Purpose: "test", Scoped: true, BodySize: 8, MACSize: signedtoken.MACSize},
	"body first":        {BodyFirst: true, BodySize: 8, MACSize: 8},
	"whole HMAC":        {Purpose: "test", BodySize: 8, MACSize: 32},
}

func newSigner(t testing.TB, f signedtoken.Format, keys ...[]byte) *signedtoken.Signer {
	t.Helper()
	s, err := signedtoken.New(f, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestVerify_ReturnsTheBody(t *testing.T) {
	t.Parallel()
	for name, f := range formats {
		s := newSigner(t, f, newKey)
		token := s.Sign("scope", body)
		if got, ok := s.Verify("scope", token); !ok || !bytes.Equal(got, body) {
			t.Errorf("%s: Verify = %q, %t", name, got, ok)
		}
		if want := base64.RawURLEncoding.EncodedLen(f.BodySize + f.MACSize); len(token) != want {
			t.Errorf("%s: token %q has %d characters, want %d", name, token, len(token), want)
		}
	}
}

func TestVerify_RefusesEveryForgedBit(t *testing.T) {
	t.Parallel()
	for name, f := range formats {
		s := newSigner(t, f, newKey)
		raw, err := base64.RawURLEncoding.DecodeString(s.Sign("scope", body))
		if err != nil {
			t.Fatal(err)
		}
		for bit := range len(raw) * 8 {
			raw[bit/8] ^= 1 << (bit % 8)
			if got, ok := s.Verify("scope", base64.RawURLEncoding.EncodeToString(raw)); ok || got != nil {
				t.Errorf("%s: Verify with bit %d flipped = %q, %t", name, bit, got, ok)
			}
			raw[bit/8] ^= 1 << (bit % 8)
		}
	}
}

// TestVerify_SeparatesPurposesAndScopes verifies tokens of other formats and scopes under the same key.
func TestVerify_SeparatesPurposesAndScopes(t *testing.T) {
	t.Parallel()
	f := formats["purpose and scope"]
	s := newSigner(t, f, newKey)
	otherPurpose, noScope := f, f
	otherPurpose.Purpose, noScope.Scoped = "another", false
	for name, token := range map[string]string{
		"another purpose":         newSigner(t, otherPurpose, newKey).Sign("scope", body),
		"no scope":                newSigner(t, noScope, newKey).Sign("scope", body),
		"another scope":           s.Sign("another", body),
		"an empty scope":          s.Sign("", body),
		"a purpose of the scope":  newSigner(t, signedtoken.Format{Purpose: "tests", Scoped: true, BodySize: 8, MACSize: 16}, newKey).Sign("cope", body),
		"another key":             newSigner(t, f, oldKey).Sign("scope", body),
		"nothing":                 "",
		"the body without a HMAC": base64.RawURLEncoding.EncodeToString(body),
	} {
		if got, ok := s.Verify("scope", token); ok {
			t.Errorf("%s: Verify(%q) = %q", name, token, got)
		}
	}
}

func TestVerify_AcceptsAKeyThatIsBeingReplaced(t *testing.T) {
	t.Parallel()
	for name, f := range formats {
		old, rotating := newSigner(t, f, oldKey), newSigner(t, f, newKey, oldKey)
		for which, signer := range map[string]*signedtoken.Signer{"old": old, "new": rotating} {
			if _, ok := rotating.Verify("scope", signer.Sign("scope", body)); !ok {
				t.Errorf("%s: a token of the %s key is refused", name, which)
			}
		}
		if rotating.Sign("scope", body) != newSigner(t, f, newKey).Sign("scope", body) {
			t.Errorf("%s: the first key does not sign", name)
		}
	}
}

func TestNew_RefusesWeakKeysAndFormats(t *testing.T) {
	t.Parallel()
	good := formats["purpose"]
	for name, tc := range map[string]struct {
		format signedtoken.Format
		keys   [][]byte
	}{
		"no key":                    {good, nil},
		"a short key":               {good, [][]byte{newKey[1:]}},
		"a short second key":        {good, [][]byte{newKey, oldKey[1:]}},
		"neither purpose nor place": {signedtoken.Format{BodySize: 8, MACSize: 16}, [][]byte{newKey}},
		"a purpose that is unused":  {signedtoken.Format{Purpose: "test", BodyFirst: true, BodySize: 8, MACSize: 16}, [][]byte{newKey}},
		"a zero byte":               {signedtoken.Format{Purpose: "te\x00st", BodySize: 8, MACSize: 16}, [][]byte{newKey}},
		"no body":                   {signedtoken.Format{Purpose: "test", MACSize: 16}, [][]byte{newKey}},
		"a short HMAC":              {signedtoken.Format{Purpose: "test", BodySize: 8, MACSize: 7}, [][]byte{newKey}},
		"a long HMAC":               {signedtoken.Format{Purpose: "test", BodySize: 8, MACSize: 33}, [][]byte{newKey}},
	} {
		if _, err := signedtoken.New(tc.format, tc.keys...); err == nil {
			t.Errorf("%s: New accepts it", name)
		}
	}
}

func TestExpired_FromItsSecondOn(t *testing.T) {
	t.Parallel()
	expiry := time.Unix(1_800_000_000, 0)
	signed := signedtoken.AppendExpiry([]byte("body"), expiry)
	if signedtoken.Expired(signed, expiry.Add(-time.Nanosecond)) || !signedtoken.Expired(signed, expiry) {
		t.Errorf("%q does not expire at %v", signed, expiry)
	}
}
