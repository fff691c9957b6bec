package wire

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/refract-video/refract/internal/provider"
)

const redacted = "[redacted]"

// maxWords is how much of an answer is looked through for words; error pages can be long.
const maxWords = 16 << 10

// webURL finds URLs in text and in JSON, whose slashes may be escaped, more than once in JSON within JSON. An
// apostrophe is part of a URL. Its groups are the scheme and the host; a user and a password before the host are in
// neither.
var webURL = regexp.MustCompile(`(?i)(https?:(?:\\*/|\\+u002f){2,})(?:[^\s/\\?#"<>]*@)?([^\s/\\?#"<>@]*)[^\s"<>]*`)

// Words makes what the provider said fit for errors, logs and records: our API key and the given
// secrets are taken out, and every URL is cut to its host, because sources and results may be signed
// links and the callback URL holds a token. No cut splits a secret and shows the half of it: the one to
// MaxMessage comes last, and after the one to maxWords the end, where a half may stand, goes too.
func (c *Client) Words(s string, secrets ...string) string {
	cut := len(s) > maxWords
	s = strings.ToValidUTF8(s[:min(len(s), maxWords)], "") // First: a byte left out later would join what it had kept apart.
	longest := 0
	for _, secret := range slices.Concat(secrets, []string{c.apiKey}) {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, redacted)
		}
		longest = max(longest, len(secret))
	}
	if cut {
		s = s[:max(0, len(s)-longest)]
	}
	s = webURL.ReplaceAllString(s, "${1}${2}/"+redacted)
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
	return secrets
}
