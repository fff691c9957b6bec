package redact

import (
	"bytes"
	"regexp"
	"strings"
)

// schemes are how a web URL begins.
var schemes = []string{"https://", "http://", "HTTPS://", "HTTP://"}

var (
	// plainScheme is a scheme in a spelling that links finds, and hostless what follows a scheme in another one, up to the end
	// of the URL.
	plainScheme = regexp.MustCompile(`^` + urlScheme)
	hostless    = regexp.MustCompile(`^` + urlRest)
	// schemesInBase64 are what base64 has of a scheme, wherever that begins in what was encoded.
	schemesInBase64 = func() (all [][]byte) {
		for _, scheme := range schemes {
			for _, form := range inBase64(scheme) {
				all = append(all, []byte(form))
			}
		}
		return all
	}()
	// base64Run is a stretch of base64, of which signs may be escaped.
	base64Run = regexp.MustCompile(`(?:[A-Za-z0-9+=_-]|\\*/|%2[BbFf]|%3[Dd])+`)
)

// hiddenLinks returns text with a mark in place of each web URL whose scheme is escaped, and of each stretch of base64 that
// has one in it.
func hiddenLinks(text []byte) []byte {
	if bytes.ContainsAny(text, `\%&`) {
		text = escapedLinks(text)
	}
	for _, scheme := range schemesInBase64 {
		if bytes.Contains(text, scheme) {
			return base64Run.ReplaceAllFunc(text, func(run []byte) []byte {
				for _, scheme := range schemesInBase64 {
					if bytes.Contains(run, scheme) {
						return []byte(Mark)
					}
				}
				return run
			})
		}
	}
	return text
}

// escapedLinks replaces web URLs whose scheme is escaped in another way than links knows.
func escapedLinks(text []byte) []byte {
	var out []byte
	copied := 0
	for i := 0; i < len(text); {
		if !strings.ContainsRune(`hH\%&`, rune(text[i])) {
			i++
			continue
		}
		if end := match(text, i, schemes); end > i && !plainScheme.Match(text[i:]) {
			end += len(hostless.Find(text[end:]))
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
