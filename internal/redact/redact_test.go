package redact

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// token looks like a URL token.
const token = "AZOxFZsweg6PjR1qXlvcTgAAAAAAAAAAAAAAAA_A-AA"

// each formats every byte of s.
func each(format, s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

func TestSecrets_FindsEverySpelling(t *testing.T) {
	t.Parallel()
	quoted, err := json.Marshal(each(`\u%04x`, token))
	if err != nil {
		t.Fatal(err)
	}
	for name, spelling := range map[string]string{
		"plain":                       token,
		"percent-encoded":             each("%%%02x", token),
		"percent-encoded, upper case": each("%%%02X", token),
		"percent-encoded twice":       url.QueryEscape(each("%%%02X", token)),
		"one percent-encoded":         strings.Replace(token, "A", "%41", 1),
		"the last percent-encoded":    token[:len(token)-1] + "%41",
		"JSON":                        each(`\u%04x`, token),
		"JSON, upper case":            each(`\u%04X`, token),
		"JSON in JSON":                strings.Trim(string(quoted), `"`),
		"signs escaped":               strings.ReplaceAll(strings.ReplaceAll(token, "_", `\_`), "-", `\u002d`),
		"HTML":                        each("&#%d;", token),
		"HTML, hexadecimal":           each("&#x%x;", token),
		"hexadecimal":                 hex.EncodeToString([]byte(token)),
		"hexadecimal, upper case":     strings.ToUpper(hex.EncodeToString([]byte(token))),
	} {
		body := []byte(`{"before":"x","u":"a` + spelling + `z","after":"y"}`)
		got := string(Secrets(body, "", token))
		if want := `{"before":"x","u":"a[redacted]z","after":"y"}`; got != want {
			t.Errorf("%s: Secrets(%s)\n got %s\nwant %s", name, body, got, want)
		}
	}
}

func TestSecrets_FindsThemInBase64(t *testing.T) {
	t.Parallel()
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding} {
		for _, before := range []string{"", "a", "https://refract.example/v1/callbacks/kie/", "xyz"} {
			for _, after := range []string{"", "?", "and more"} {
				text := encoding.EncodeToString([]byte(before + token + after))
				for _, spelling := range []string{text, strings.ReplaceAll(text, "/", `\/`), url.QueryEscape(text)} {
					got := String(`{"u":"`+spelling+`"}`, token)
					if !strings.Contains(got, Mark) || longestCommon(got, spelling) > 4*len(before)/3+12 && longestCommon(got, spelling) > 4*len(after)/3+12 {
						t.Errorf("String(%s) = %s", spelling, got)
					}
				}
			}
		}
	}
}

// longestCommon returns the length of the longest common substring.
func longestCommon(a, b string) int {
	longest := 0
	for i := range a {
		for j := i + longest + 1; j <= len(a) && strings.Contains(b, a[i:j]); j++ {
			longest = j - i
		}
	}
	return longest
}

func TestSecrets_LeavesTheRest(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "100% of \\ and & are fine", `{"a":"\u0041\n","b":"%zz%4"}`, `\`, `%`, `&#;`, `&#x;`, token[:40], `\\\\`, "\xff%41",
	} {
		if got := String(text, token, "short"); got != text {
			t.Errorf("String(%q) = %q", text, got)
		}
	}
	if got := String("a k b", "k"); got != "a "+Mark+" b" {
		t.Errorf("a short secret as it is: %q", got)
	}
}

// FuzzSecrets checks that no text makes Secrets panic, break JSON, change its argument, or leave the secret in the text.
func FuzzSecrets(f *testing.F) {
	f.Add([]byte(`{"u":"\u0041%41&#65;` + token + `"}`))
	f.Add([]byte(`\\\u005c%25255c`))
	f.Fuzz(func(t *testing.T, text []byte) {
		given := string(text)
		got := Secrets(text, token)
		if string(text) != given {
			t.Fatalf("Secrets changed %q to %q", given, text)
		}
		if json.Valid(text) && !json.Valid(got) {
			t.Fatalf("Secrets(%q) = %q, which is no JSON", text, got)
		}
		if strings.Contains(string(got), token) {
			t.Fatalf("Secrets(%q) = %q", text, got)
		}
	})
}

func TestLinks_LeavesOnlyTheHost(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"u":"https://cdn.example/x.mp4?X-Amz-Signature=SECRET"}`:               `{"u":"https://cdn.example/[redacted]"}`,
		`{"u":"https%3A%2F%2Fuser%3ASECRET%40cdn.example%2FSECRET"}`:             `{"u":"[redacted]"}`,
		`{"u":"https%253A%252F%252Fcdn.example%252FSECRET","n":1}`:               `{"u":"[redacted]","n":1}`,
		`{"u":"https\u003a\/\/cdn.example\/SECRET"}`:                             `{"u":"[redacted]"}`,
		`{"u":"` + each("%%%02x", "https://cdn.example/S?x=SECRET") + `"}`:       `{"u":"[redacted]"}`,
		`{"u":"` + each(`\u%04x`, "https://cdn.example/S?x=SECRET") + `"}`:       `{"u":"[redacted]"}`,
		`{"u":"` + each("&#%d;", "http://cdn.example/S?x=SECRET") + `","n":1}`:   `{"u":"[redacted]","n":1}`,
		`{"u":"aHR0cHM6Ly9jZG4uZXhhbXBsZS9TRUNSRVQ="}`:                           `{"u":"[redacted]"}`,
		`{"u":"eGh0dHBzOi8vY2RuLmV4YW1wbGUvU0VDUkVU","n":1}`:                     `{"u":"[redacted]","n":1}`,
		`{"u":"eHhodHRwOi8vY2RuLmV4YW1wbGUvU0VD\/SRVQ%3D"}`:                      `{"u":"[redacted]"}`,
		`to=https%3a//cdn.example/SECRET next`:                                   `to=[redacted] next`,
		`{"u":"https://proxy.example/?to=https%3A%2F%2Fcdn.example%2FSECRET"}`:   `{"u":"https://proxy.example/[redacted]"}`,
		`{"code":200,"msg":"http is fine, https: too","data":{"taskId":"774d"}}`: `{"code":200,"msg":"http is fine, https: too","data":{"taskId":"774d"}}`,
	} {
		if got := string(Links([]byte(text))); got != want {
			t.Errorf("Links(%s)\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestURL_ShowsNoSecret(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"":                            "",
		"https://refract.example.com": "https://refract.example.com",
		"https://user:S3CR3T@refract.example.com/x":              "https://[redacted]@refract.example.com/x",
		"https://S3CR3T@refract.example.com":                     "https://[redacted]@refract.example.com",
		"https://refract.example.com?api_key=S3CR3T":             "https://refract.example.com?api_key=[redacted]",
		"s3://media?region=eu-west-1&use_path_style=true":        "s3://media?region=eu-west-1&use_path_style=true",
		"s3://AKIA:S3CR3T@media?region=eu-west-1":                "s3://[redacted]@media?region=eu-west-1",
		"s3://media?endpoint=http://user:S3CR3T@minio:9000":      "s3://media?endpoint=http%3A%2F%2F[redacted]%40minio%3A9000",
		"s3://media?endpoint=http%3A%2F%2Fuser%3AS3CR3T%40minio": "s3://media?endpoint=http%3A%2F%2F[redacted]%40minio",
		"azblob://media?sas=S3CR3T":                              "azblob://media?sas=[redacted]",
		"file:///var/lib/refract/bucket":                         "file:///var/lib/refract/bucket",
		"mem://":                                                 "mem://",
		"https://user:S3CR3T@%zz":                                "[redacted]",
		"s3://media?a=%zz&b=S3CR3T":                              "s3://media?[redacted]",
	} {
		got := URL(given)
		if got != want {
			t.Errorf("URL(%s) = %s, want %s", given, got, want)
		}
	}
}

func TestUsers_LeavesOtherText(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"dial postgres://refract:S3CR3T@db:5432/x: refused":    "dial postgres://[redacted]@db:5432/x: refused",
		`proxy "http://user:p@ss:S3CR3T@proxy:3128" is no URL`: `proxy "http://[redacted]@proxy:3128" is no URL`,
		"open https://h/x and mail me@example.com":             "open https://h/x and mail me@example.com",
		`{"u":"https:\/\/user:S3CR3T@h\/x"}`:                   `{"u":"https:\/\/[redacted]@h\/x"}`,
		"nothing":                                              "nothing",
	} {
		if got := Users(given); got != want {
			t.Errorf("Users(%s) = %s, want %s", given, got, want)
		}
	}
}
