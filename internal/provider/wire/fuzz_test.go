package wire

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/redact"
)

// FuzzRedact checks that whatever a provider says, what is shown of it is bounded, holds no secret, and holds no URL
// beyond its host.
func FuzzRedact(f *testing.F) {
	c := newClient(f, "http://localhost", nil)
	secrets := CallbackSecrets(callbackURL)
	f.Fuzz(func(t *testing.T, said string) {
		shown := c.Redact(said, secrets...)
		if len(shown) > provider.MaxMessage || !utf8.ValidString(shown) {
			t.Fatalf("Redact(%q) = %q, which is unbounded or broken", said, shown)
		}
		for _, secret := range append(secrets, testKey) {
			if strings.Contains(shown, secret) {
				t.Fatalf("Redact(%q) = %q, which holds %q", said, shown, secret)
			}
		}
		if left := shownOfURLs(shown); left != "" {
			t.Fatalf("Redact(%q) = %q, which shows %q of a URL", said, shown, left)
		}
	})
}

// shownOfURLs returns what stands after the host of the first URL in s that has more there than our mark, or a user
// before it. It looks for URLs by hand, since a pattern would have the holes of the pattern that it checks.
func shownOfURLs(s string) string {
	for {
		i := strings.Index(s, "://")
		if i < 0 {
			return ""
		}
		scheme := strings.ToLower(s[:i])
		s = strings.TrimLeft(s[i+len("://"):], `/\`)
		if !strings.HasSuffix(scheme, "http") && !strings.HasSuffix(scheme, "https") {
			continue
		}
		rest := s
		if end := strings.IndexAny(rest, " \t\n\v\f\r\"<>"); end >= 0 {
			rest = rest[:end]
		}
		host, path, found := strings.Cut(rest, "/")
		if strings.ContainsAny(host, "@?#\\") || found && !strings.HasPrefix(redact.Mark, path) {
			return rest
		}
	}
}
