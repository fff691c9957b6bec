package wire

import (
	"net/url"
	"slices"
	"strings"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/redact"
)

// maxWords is how much of an answer is looked through for words; error pages can be long.
const maxWords = 16 << 10

// Words makes what the provider said fit for errors, logs and records: our API key and the given
// secrets are taken out, and every URL is cut to its host, because sources and results may be signed
// links and the callback URL holds a token. No cut splits a secret and shows the half of it: the one to
// MaxMessage comes last, and after the one to maxWords the end, where a half may stand, goes too.
func (c *Client) Words(s string, secrets ...string) string {
	cut := len(s) > maxWords
	s = strings.ToValidUTF8(s[:min(len(s), maxWords)], "") // First: a byte left out later would join what it had kept apart.
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

// CallbackSecrets returns what must not be repeated of a callback URL: the whole, and its last path
// element as written and as decoded.
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
