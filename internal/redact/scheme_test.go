package redact

import (
	"regexp"
	"strings"
	"testing"
)

// checkReplaceURLs compares replaceURLs with ReplaceAll of the same expression.
func checkReplaceURLs(t *testing.T, text string) {
	t.Helper()
	for name, tc := range map[string]struct {
		all, here *regexp.Regexp
		template  string
	}{
		"links":     {links, linksHere, "${1}${2}/" + Mark},
		"disguised": {disguised, disguisedHere, "${1}" + Mark},
	} {
		got, want := string(replaceURLs(tc.here, []byte(text), tc.template)), string(tc.all.ReplaceAll([]byte(text), []byte(tc.template)))
		if got != want {
			t.Errorf("%s of %q\n got %q\nwant %q", name, text, got, want)
		}
	}
}

var schemeTexts = []string{
	"", ":", "http", "http:", "http:/", "http://", "https://a/b", `x "HTTPS:\/\/a\/b?c" y`, `http:\u002F\u002fa`, `http:\\\/\\u002f`,
	"httphttp://a", "http://http://a", "http:http://a/b", "httpshttps://a b://c", "httpſ://a/b", "Khttp://a", "hTTpS:///a/b c",
	`https://a\tb@c/d`, `https://a\u0040b@c`, `https://a\u002fb@c`, "ahttps://b@c:d/e https://", ":http://a:b@c", "s://a", "https:s://a",
	"http:\\", "http:\\/\\", "http:/u002f", "http:\xff//", "\xffhttp://a\xff/b", "http:////////u002f//x",
}

func TestReplaceURLs_IsReplaceAll(t *testing.T) {
	t.Parallel()
	for _, a := range schemeTexts {
		for _, b := range schemeTexts {
			checkReplaceURLs(t, a+b)
		}
	}
}

func FuzzReplaceURLs(f *testing.F) {
	for _, text := range schemeTexts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { checkReplaceURLs(t, text) })
}

// BenchmarkLinks redacts the body of a callback, and a large body that begins many schemes.
func BenchmarkLinks(b *testing.B) {
	for name, text := range map[string]string{
		"callback": `{"code":200,"data":{"taskId":"t","resultUrls":["https://files.example/1.mp4"],"param":"` + strings.Repeat("p", 900) + `"}}`,
		"schemes":  strings.Repeat("http:", 50<<10),
		"slashes":  strings.Repeat(`http:\\`, 36<<10),
		"urls":     strings.Repeat("http:// ", 32<<10),
		"hosts":    strings.Repeat(`http://a\`, 28<<10),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Links([]byte(text))
			}
		})
	}
}
