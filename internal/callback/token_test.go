package callback_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/task"
)

var (
	oldKey = bytes.Repeat([]byte("o"), 32)
	newKey = bytes.Repeat([]byte("n"), 32)
)

// newTokens returns tokens under keys.
func newTokens(t testing.TB, keys ...[]byte) *callback.Tokens {
	t.Helper()
	tokens, err := callback.NewTokens(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// makeToken returns the token of an attempt at provider kie.
func makeToken(t testing.TB, tokens *callback.Tokens, id task.AttemptID) string {
	t.Helper()
	token, err := tokens.Make("kie", id)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func newID() task.AttemptID { return task.AttemptID(uuid.Must(uuid.NewV7()).String()) }

// TestTokens_FormatStays holds a token that an earlier release made.
func TestTokens_FormatStays(t *testing.T) {
	t.Parallel()
	const id, token = "0190b0a8-5a0b-7c1e-8f00-000000000001", "AZCwqFoLfB6PAAAAAAAAAd0v_zkV4_xZUsSqjw543WQ"
	tokens := newTokens(t, bytes.Repeat([]byte("k"), 32))
	if got, err := tokens.Verify("kie", token); err != nil || got != id {
		t.Errorf("Verify(%q) = %q, %v, want %s", token, got, err, id)
	}
	if got := makeToken(t, tokens, id); got != token {
		t.Errorf("Make = %q, want %q", got, token)
	}
}

func TestVerify_ReturnsTheAttemptOfAToken(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t, newKey)
	for range 100 {
		id := newID()
		token := makeToken(t, tokens, id)
		if len(token) != 43 {
			t.Errorf("token %q has %d characters, want 43", token, len(token))
		}
		if got, err := tokens.Verify("kie", token); got != id || err != nil {
			t.Errorf("Verify = %s, %v, want %s", got, err, id)
		}
	}
}

func TestVerify_RefusesEveryForgedBit(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t, newKey)
	raw, err := base64.RawURLEncoding.DecodeString(makeToken(t, tokens, newID()))
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(raw) * 8 {
		forged := bytes.Clone(raw)
		forged[bit/8] ^= 1 << (bit % 8)
		if id, err := tokens.Verify("kie", base64.RawURLEncoding.EncodeToString(forged)); !errors.Is(err, callback.ErrToken) || id != "" {
			t.Errorf("Verify with bit %d flipped = %q, %v, want ErrToken", bit, id, err)
		}
	}
}

func TestVerify_RefusesWhatIsNoToken(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t, newKey)
	good := makeToken(t, tokens, newID())
	other := makeToken(t, newTokens(t, oldKey), newID())
	// The last character carries four bits; the two below them must be zero, or one token would have four spellings.
	alphabet := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	respelt := good[:42] + string(alphabet[bytes.IndexByte([]byte(alphabet), good[42])|1])
	tests := map[string]struct{ provider, token string }{
		"empty":              {"kie", ""},
		"short":              {"kie", good[:42]},
		"long":               {"kie", good + "A"},
		"padded":             {"kie", good + "="},
		"another alphabet":   {"kie", good[:42] + "+"},
		"another spelling":   {"kie", respelt},
		"line break":         {"kie", good[:21] + "\n" + good[22:]},
		"a stranger's key":   {"kie", other},
		"another provider":   {"luma", good},
		"no provider":        {"", good},
		"only the attempt":   {"kie", good[:22]},
		"not ASCII":          {"kie", good[:40] + "é" + "A"},
		"the mac of another": {"kie", good[:22] + makeToken(t, tokens, newID())[22:]},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if id, err := tokens.Verify(test.provider, test.token); !errors.Is(err, callback.ErrToken) || id != "" {
				t.Errorf("Verify(%q, %q) = %q, %v, want ErrToken", test.provider, test.token, id, err)
			}
		})
	}
}

func TestVerify_AcceptsTokensOfAKeyThatIsBeingReplaced(t *testing.T) {
	t.Parallel()
	id := newID()
	old := makeToken(t, newTokens(t, oldKey), id)
	rotating := newTokens(t, newKey, oldKey)
	if got, err := rotating.Verify("kie", old); got != id || err != nil {
		t.Errorf("Verify of an old token = %s, %v, want %s", got, err, id)
	}
	if made := makeToken(t, rotating, id); made != makeToken(t, newTokens(t, newKey), id) {
		t.Error("tokens are not made with the first key")
	}
	if _, err := newTokens(t, newKey).Verify("kie", old); !errors.Is(err, callback.ErrToken) {
		t.Errorf("Verify after the old key is gone = %v, want ErrToken", err)
	}
}

func TestNewTokens_NeedsLongKeys(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string][][]byte{
		"none": nil, "short": {newKey[:31]}, "second short": {newKey, nil},
	} {
		if _, err := callback.NewTokens(keys...); err == nil {
			t.Errorf("NewTokens with keys %s = nil, want an error", name)
		}
	}
}

func TestMake_RefusesWhatIsNoAttempt(t *testing.T) {
	t.Parallel()
	if token, err := newTokens(t, newKey).Make("kie", "no id"); err == nil {
		t.Errorf("Make = %q, want an error", token)
	}
}
