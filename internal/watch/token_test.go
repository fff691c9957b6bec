package watch_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/watch"
)

func newTokens(t testing.TB, fill byte) watch.Tokens {
	t.Helper()
	tokens, err := watch.NewTokens(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// TestTokens_FormatStays holds a token that an earlier release made.
func TestTokens_FormatStays(t *testing.T) {
	t.Parallel()
	const token = "AQAAAAAAAAAHqro2ja7rTw8"
	tokens := newTokens(t, 'k')
	if p, err := tokens.Parse("films", token); err != nil || p != 7 {
		t.Errorf("Parse(%q) = %d, %v, want 7", token, p, err)
	}
	if got := tokens.Make("films", 7); got != token {
		t.Errorf("Make = %q, want %q", got, token)
	}
}

func TestTokens_ComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t, 'k')
	rapid.Check(t, func(t *rapid.T) {
		p := task.Position(rapid.Int64Min(0).Draw(t, "position"))
		tenant := rapid.String().Draw(t, "tenant")
		got, err := tokens.Parse(tenant, tokens.Make(tenant, p))
		if err != nil || got != p {
			t.Errorf("position %d came back as %d, %v", p, got, err)
		}
	})
}

func TestTokens_RefuseWhatTheyDidNotMakeForTheTenant(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t, 'k')
	good := tokens.Make("films", 7)
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	bad := map[string]string{
		"nothing": "", "a word": "newest", "too short": good[:22], "too long": good + "A", "padded": good + "=",
		"with a line break": good[:9] + "\r" + good[9:], "a line break for a letter": good[:9] + "\n" + good[10:],
		"of another tenant": tokens.Make("ads", 7),
		"of another key":    newTokens(t, 'o').Make("films", 7),
	}
	for i := range raw {
		forged := append([]byte(nil), raw...)
		forged[i] ^= 1
		bad["a bit of byte "+string(rune('a'+i))] = base64.RawURLEncoding.EncodeToString(forged)
	}
	for name, token := range bad {
		if p, err := tokens.Parse("films", token); !errors.Is(err, watch.ErrToken) {
			t.Errorf("%s: %q was read as %d, %v", name, token, p, err)
		}
	}
	if p, err := tokens.Parse("films", good); err != nil || p != 7 {
		t.Errorf("the good one was read as %d, %v", p, err)
	}
}

// FuzzTokens parses arbitrary tokens. Parse must accept exactly the tokens that Make returns.
func FuzzTokens(f *testing.F) {
	tokens := newTokens(f, 'k')
	f.Add("films", tokens.Make("films", 7))
	f.Add("ads", tokens.Make("films", 7))
	f.Add("", "")
	f.Add("films", "AQAAAAAAAAAHAAAAAAAAAAA")
	f.Add("films", "AQ==")
	f.Add("films", tokens.Make("films", 7)+"\n")
	f.Fuzz(func(t *testing.T, tenant, token string) {
		p, err := tokens.Parse(tenant, token)
		switch {
		case err != nil && !errors.Is(err, watch.ErrToken):
			t.Errorf("error %v, want ErrToken", err)
		case err == nil && (p < 0 || tokens.Make(tenant, p) != token):
			t.Errorf("%q was read as %d, which is %q", token, p, tokens.Make(tenant, p))
		}
	})
}
