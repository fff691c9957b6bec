package callback

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// fuzzToken has the form of a token.
const fuzzToken = "AZOxFZsweg6PjR1qXlvcTgAAAAAAAAAAAAAAAAAAAAA"

// FuzzRedact checks that no stored body contains our URL token, or anything after the host of a URL.
func FuzzRedact(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		given := bytes.Clone(body)
		stored := redactBody(body, fuzzToken)
		if !bytes.Equal(given, body) {
			t.Fatalf("redact changed the caller's body %q to %q", given, body)
		}
		if bytes.Contains(stored, []byte(fuzzToken)) {
			t.Fatalf("redactBody(%q) = %q, which holds the token", body, stored)
		}
		if left := shownOfURLs(string(stored)); left != "" {
			t.Fatalf("redactBody(%q) = %q, which shows %q of a URL", body, stored, left)
		}
		if json.Valid(body) && !json.Valid(stored) {
			t.Fatalf("redact made %q, which is no JSON, of the JSON %q", stored, body)
		}
	})
}

// FuzzRedact_Echo checks the same for a URL in the spellings of JSON encoders: in a string, in JSON within a string, and so on,
// with slashes and HTML characters escaped or not.
func FuzzRedact_Echo(f *testing.F) {
	f.Fuzz(func(t *testing.T, user, path string, depth, style uint8) {
		const secret = "S3CR3T"
		for _, s := range []string{user, path} { // What can't be in a URL ends it.
			if strings.ContainsAny(s, " \t\n\v\f\r\"<>") || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
				return
			}
		}
		if strings.ContainsAny(user, `/?#\@`) || strings.Contains(user, "://") {
			return
		}
		body := "https://" + user + secret + "@cdn.example/" + path + secret
		for range 1 + depth%4 {
			body = quote(t, body, style)
			style >>= 2
		}
		stored := string(redactBody([]byte(body), fuzzToken))
		if strings.Contains(stored, secret) || !json.Valid([]byte(stored)) {
			t.Fatalf("redactBody(%s) = %s", body, stored)
		}
	})
}

// quote returns s as a field of a JSON object. The lowest bit of style escapes slashes as PHP does, the next the signs
// of HTML as Go and Java do.
func quote(t *testing.T, s string, style uint8) string {
	t.Helper()
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(style&2 != 0)
	if err := encoder.Encode(map[string]string{"u": s, "v": "next"}); err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSpace(buf.String())
	if style&1 != 0 {
		text = strings.ReplaceAll(text, "/", `\/`)
	}
	return text
}

// shownOfURLs returns what follows the host of the first URL in s that has more there than our mark, or a user before the host.
// It finds URLs without a pattern, since a pattern could have the defects of the pattern that it checks.
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
		if strings.ContainsAny(host, "@?#") || found && strings.TrimRight(path, `\`) != "[redacted]" {
			return rest
		}
	}
}
