package wire

import (
	"net/url"
	"slices"
	"strings"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/redact"
)

// maxRedacted is how much of a text Redact looks at; error pages can be long.
const maxRedacted = 16 << 10

// Redact returns a text of the provider that may stand in errors, logs and records. It removes our API key and the given
// secrets, and cuts every URL to its host: sources and results may be signed links, and the callback URL holds a token. No cut
// leaves half of a secret: the one to MaxMessage comes last, and the one to maxRedacted also drops the end, which may hold
// half of one.
func (c *Client) Redact(s string, secrets ...string) string {
	cut := len(s) > maxRedacted
	s = strings.ToValidUTF8(s[:min(len(s), maxRedacted)], "") // First: a byte left out later would join what it had kept apart.
	secrets = append(slices.Clone(secrets), c.apiKey)
	s = redact.String(s, secrets...)
	if cut {
		longest := 0
		for _, secret := range secrets {
			longest = max(longest, 6*len(secret)) // As JSON may spell it.
		}
		s = s[:max(0, len(s)-longest)]
	}
	s = redact.Words(s)
	return provider.TrimMessage(strings.TrimSpace(s))
}

// CallbackSecrets returns the parts of a callback URL that are secret: the whole, and its last path element as written and
// as decoded.
func CallbackSecrets(callbackURL string) []string {
	if callbackURL == "" {
		return nil
	}
	secrets := []string{callbackURL}
	u, err := url.Parse(callbackURL)
	if err != nil {
		return secrets
	}
	for _, path := range []string{u.EscapedPath(), u.Path} {
		path = strings.TrimRight(path, "/")
		secrets = append(secrets, path[strings.LastIndexByte(path, '/')+1:])
	}
	if password, ok := u.User.Password(); ok {
		secrets = append(secrets, password, u.User.String())
	}
	return secrets
}
