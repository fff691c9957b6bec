// Package redact removes secrets from text: known secrets in every spelling that an encoder may produce, and the parts
// of URLs that may be secret. It is pure. No other package redacts; callers name the secrets.
package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
)

// Mark replaces a secret.
const Mark = "[redacted]"

const (
	// minEscaped is the minimum length of a secret for a search in other spellings than its own. A shorter secret would
	// match other text.
	minEscaped = 8
	// minEncoded is the minimum length for a search in hexadecimal text and base64. In base64, the ends of a secret
	// depend on the bytes around it, so they are not matched.
	minEncoded = 12
)

// Secrets replaces each of the secrets in text: as it is, percent-encoded, escaped as in JSON, PHP or HTML, also in
// part and repeatedly, and within base64 and hexadecimal text. It returns a copy where it replaces anything. Valid JSON
// stays valid. Empty secrets are ignored.
func Secrets(text []byte, secrets ...string) []byte {
	var forms []string
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		text = bytes.ReplaceAll(text, []byte(secret), []byte(Mark))
		if len(secret) >= minEscaped {
			forms = append(forms, secret)
		}
		for _, form := range encoded(secret) {
			text = bytes.ReplaceAll(text, []byte(form), []byte(Mark))
			forms = append(forms, form)
		}
	}
	if len(forms) > 0 && bytes.ContainsAny(text, `\%&`) {
		return escaped(text, forms)
	}
	return text
}

// String is Secrets for a string.
func String(text string, secrets ...string) string { return string(Secrets([]byte(text), secrets...)) }

// encoded returns the hexadecimal and base64 encodings of a secret at each offset.
func encoded(secret string) []string {
	if len(secret) < minEncoded {
		return nil
	}
	lower := hex.EncodeToString([]byte(secret))
	return append([]string{lower, strings.ToUpper(lower)}, inBase64(secret)...)
}

// inBase64 returns the base64 encodings of a text at each offset, without the ends that depend on other bytes.
func inBase64(s string) (forms []string) {
	for before := range 3 {
		plain := append(make([]byte, before), s...)
		whole := len(plain) / 3 * 4
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := encoding.EncodeToString(plain)[:whole] // The rest depends on the bytes after the secret.
			if before > 0 {
				text = text[4:] // The first four characters depend on the bytes before it.
			}
			forms = append(forms, text)
		}
	}
	return forms
}

// escaped replaces secrets that are escaped at least in part.
func escaped(text []byte, secrets []string) []byte {
	var begins [256]bool // The bytes at which a secret may begin.
	for _, c := range []byte(`\%&`) {
		begins[c] = true
	}
	for _, secret := range secrets {
		begins[secret[0]] = true
	}
	var out []byte
	copied := 0
	for i := 0; i < len(text); {
		if !begins[text[i]] {
			i++
			continue
		}
		if end := match(text, i, secrets); end > i {
			out = append(append(out, text[copied:i]...), Mark...)
			i, copied = end, end
			continue
		}
		i = step(text, i)
	}
	if copied == 0 {
		return text
	}
	return append(out, text[copied:]...)
}

// step returns the next index after i at which a secret may begin. A run of backslashes is one step.
func step(text []byte, i int) int {
	if text[i] != '\\' {
		return i + 1
	}
	for i < len(text) && text[i] == '\\' {
		i++
	}
	return i
}

// match returns the end of a secret that begins at i, or 0.
func match(text []byte, i int, secrets []string) int {
	for _, secret := range secrets {
		at, matched := i, 0
		for matched < len(secret) && at < len(text) {
			c, end := unescape(text, at)
			if c != rune(secret[matched]) {
				break
			}
			at, matched = end, matched+1
		}
		if matched == len(secret) {
			return at
		}
	}
	return 0
}

// unescape returns the character that begins at i, escaped or not, and the end of its spelling.
func unescape(text []byte, i int) (c rune, end int) {
	switch text[i] {
	case '\\':
		end = i
		for end < len(text) && text[end] == '\\' {
			end++
		}
		if end == len(text) {
			return '\\', end
		}
		if text[end] == 'u' && end+5 <= len(text) {
			if n, err := strconv.ParseUint(string(text[end+1:end+5]), 16, 32); err == nil {
				return rune(n), end + 5 //nolint:gosec // Four digits.
			}
		}
		if text[end] == '%' || text[end] == '&' {
			return unescape(text, end)
		}
		return rune(text[end]), end + 1
	case '%':
		end = i + 1
		for bytes.HasPrefix(text[end:], []byte("25")) { // The percent sign itself was encoded.
			end += 2
		}
		if end+2 <= len(text) {
			if n, err := strconv.ParseUint(string(text[end:end+2]), 16, 32); err == nil {
				return rune(n), end + 2 //nolint:gosec // Two digits.
			}
		}
	case '&':
		if c, end, ok := entity(text, i); ok {
			return c, end
		}
	}
	return rune(text[i]), i + 1
}

// entity reads a character reference of HTML, such as &#65; or &#x41;.
func entity(text []byte, i int) (c rune, end int, ok bool) {
	const longest = len("&#x000041;")
	reference, _, found := strings.Cut(string(text[i:min(len(text), i+longest)]), ";")
	digits, isNumber := strings.CutPrefix(reference, "&#")
	if !found || !isNumber {
		return 0, 0, false
	}
	base := 10
	if len(digits) > 0 && (digits[0] == 'x' || digits[0] == 'X') {
		base, digits = 16, digits[1:]
	}
	n, err := strconv.ParseInt(digits, base, 32)
	return rune(n), i + len(reference) + 1, err == nil
}
