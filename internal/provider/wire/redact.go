package wire

import (
	"net/url"
	"slices"
	"strings"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/redact"
)

// maxRedacted is the maximum size of a text that Redact reads, because error pages can be long.
const maxRedacted = 16 << 10

// Redact returns a text of the provider in a form that errors, logs and records may contain. It removes our API key and the
// given secrets. It cuts every URL to its host, because sources and results may be signed links, and the callback URL contains
// a token. No cut leaves a part of a secret: the cut to MaxMessage comes last, and the cut to maxRedacted also removes the
// end, which may contain a part of a secret.
func (c *Client) Redact(s string, secrets ...string) string {
	cut := len(s) > maxRedacted
	s = strings.ToValidUTF8(s[:min(len(s), maxRedacted)], "") // This is the first step. A byte that is removed later could join two parts of a secret.
	secrets = append(slices.Clone(secrets), c.apiKey)
	s = redact.String(s, secrets...)
	if cut {
		longest := 0
		for _, secret := range secrets {
			longest = max(longest, 6*len(secret)) // JSON may escape each byte with six.
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
