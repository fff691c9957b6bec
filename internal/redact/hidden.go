package redact

import (
	"bytes"
	"regexp"
	"strings"
)

// schemes are the beginnings of a web URL.
var schemes = []string{"https://", "http://", "HTTPS://", "HTTP://"}

var (
	// plainScheme matches a scheme in a spelling that links also matches. afterScheme matches the rest of a URL after
	// a scheme in another spelling.
	plainScheme = regexp.MustCompile(`^` + urlScheme)
	afterScheme = regexp.MustCompile(`^` + urlRest)
	// schemesInBase64 are the base64 encodings of a scheme at each offset.
	schemesInBase64 = func() (all [][]byte) {
		for _, scheme := range schemes {
			for _, form := range inBase64(scheme) {
				all = append(all, []byte(form))
			}
		}
		return all
	}()
	// base64Run matches a run of base64. The characters +, / and = may be escaped.
	base64Run = regexp.MustCompile(`(?:[A-Za-z0-9+=_-]|\\*/|%2[BbFf]|%3[Dd])+`)
)

// hiddenLinks replaces each web URL whose scheme is escaped, and each run of base64 that contains a scheme.
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

// escapedLinks replaces web URLs whose scheme is escaped in a way that links does not match.
func escapedLinks(text []byte) []byte {
	var out []byte
	copied := 0
	for i := 0; i < len(text); {
		if !strings.ContainsRune(`hH\%&`, rune(text[i])) {
			i++
			continue
		}
		if end := match(text, i, schemes); end > i && !plainScheme.Match(text[i:]) {
			end += len(afterScheme.Find(text[end:]))
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
