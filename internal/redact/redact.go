// Package redact takes secrets out of text: known ones in every spelling in which an encoder may have put them, and what
// URLs may hold. It is pure, and the one place where that is done; what uses it names the secrets.
package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
)

// Mark stands where a secret was.
const Mark = "[redacted]"

const (
	// minEscaped is the length from which a secret is looked for in other spellings than its own. A shorter one would be found
	// where it is not.
	minEscaped = 8
	// minEncoded is the length from which that includes base64, of which the ends of a secret can't be told.
	minEncoded = 12
)

// Secrets returns text with a mark in place of each of the secrets: as it is, percent-encoded, escaped as JSON, PHP or HTML
// do, also in part and several times over, and inside of base64 and hexadecimal text. It does not change text. What was
// valid JSON still is. Empty secrets are none.
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

// encoded returns what hexadecimal text and base64 have of a secret, wherever it begins in what was encoded.
func encoded(secret string) []string {
	if len(secret) < minEncoded {
		return nil
	}
	lower := hex.EncodeToString([]byte(secret))
	return append([]string{lower, strings.ToUpper(lower)}, inBase64(secret)...)
}

// inBase64 returns what base64 has of a text, wherever it begins in what was encoded.
func inBase64(s string) (forms []string) {
	for before := range 3 {
		plain := append(make([]byte, before), s...)
		whole := len(plain) / 3 * 4
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := encoding.EncodeToString(plain)[:whole] // What follows depends on the bytes after the secret,
			if before > 0 {
				text = text[4:] // and the first four characters on those before it.
			}
			forms = append(forms, text)
		}
	}
	return forms
}

// escaped replaces secrets of which at least a part is escaped.
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

// step returns the place after i at which a secret may begin next: it takes all backslashes before it, or none.
func step(text []byte, i int) int {
	if text[i] != '\\' {
		return i + 1
	}
	for i < len(text) && text[i] == '\\' {
		i++
	}
	return i
}

// match returns where a secret ends that begins at i, or 0.
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

// unescape returns the character that is spelt at i, and where its spelling ends.
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
		for bytes.HasPrefix(text[end:], []byte("25")) { // The sign itself was encoded.
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
