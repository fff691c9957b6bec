package httpapi

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestCompact_TakesOutWhiteSpaceAlone compares texts of any shape with json.Compact.
func TestCompact_TakesOutWhiteSpaceAlone(t *testing.T) {
	t.Parallel()
	words := rapid.StringOf(rapid.SampledFrom([]rune("\"\\ \n\t\x01aü\u2028🎬{}[]:,")))
	rapid.Check(t, func(t *rapid.T) {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", rapid.SampledFrom([]string{"", " ", "\t"}).Draw(t, "indent"))
		value := map[string]any{"list": rapid.SliceOf(words).Draw(t, "list"), "map": rapid.MapOf(words, words).Draw(t, "map"), "number": -1.5e3, "none": nil}
		if err := e.Encode(value); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		var want bytes.Buffer
		if err := json.Compact(&want, []byte(text)); err != nil {
			t.Fatal(err)
		}
		got, err := compact([]byte(text), nil)
		if err != nil || string(got) != want.String() {
			t.Fatalf("compact(%q) = %q, %v, want %q", text, got, err, want.String())
		}
	})
}

func BenchmarkCompact(b *testing.B) {
	for name, prompt := range map[string]string{
		"letters": strings.Repeat("abcdefg ", 1<<16), "quotes": strings.Repeat(`"`, 1<<18), "backslashes": strings.Repeat(`\`, 1<<18), "escapes": strings.Repeat("\x01", 1<<17),
	} {
		text, err := json.Marshal(map[string]string{"prompt": prompt})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := compact(bytes.Clone(text), nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
