package redact

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestFields_LeavesNoValue(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"a":1,"balance":5916.25,"b":2}`:                   `{"a":1,"balance":null,"b":2}`,
		`{"balance" : -1e+3}`:                               `{"balance" : null}`,
		`{"balance":"5916.25"}`:                             `{"balance":null}`,
		`{"balance":true,"x":{"balance":7}}`:                `{"balance":null,"x":{"balance":null}}`,
		`{"p":"{\"balance\":5916.25,\"n\":1}"}`:             `{"p":"{\"balance\":null,\"n\":1}"}`,
		`{"p":"{\"i\":\"{\\\"balance\\\": \\\"59\\\"}\"}"}`: `{"p":"{\"i\":\"{\\\"balance\\\": null}\"}"}`,
		"{\"balance\":\n\t59}":                              "{\"balance\":\n\tnull}",
		`{"balance":"a\"b\\","n":1}`:                        `{"balance":null,"n":1}`,
		`{"balance":"\\"}`:                                  `{"balance":null}`,
		`{"p":"{\"balance\":\"a\\\"b\\\\\"}"}`:              `{"p":"{\"balance\":null}"}`,
		`{"p":"\"balance\":\"a"}`:                           `{"p":"\"balance\":\"a"}`,
		`{"balance":[59]}`:                                  `{"balance":[59]}`,
		`{"balance":null}`:                                  `{"balance":null}`,
		`{"my_balance":1,"balances":2,"msg":"balance: 3"}`:  `{"my_balance":1,"balances":2,"msg":"balance: 3"}`,
		`not JSON "balance":59`:                             `not JSON "balance":null`,
	} {
		got := string(Fields([]byte(text), "balance"))
		if got != want {
			t.Errorf("Fields(%s)\n got %s\nwant %s", text, got, want)
		}
		if json.Valid([]byte(text)) && !json.Valid([]byte(got)) {
			t.Errorf("Fields(%s) = %s, which is no JSON", text, got)
		}
	}
	if got := string(Fields([]byte(`{"balance":1}`))); got != `{"balance":1}` {
		t.Errorf("without names: %s", got)
	}
}

// FuzzFields checks that no text makes Fields break JSON or change its argument, and that no number is left.
func FuzzFields(f *testing.F) {
	f.Add([]byte(`{"balance":59.25,"p":"{\"balance\":\"59\"}"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		given := string(text)
		got := Fields(text, "balance")
		if string(text) != given {
			t.Fatalf("Fields changed %q to %q", given, text)
		}
		if json.Valid(text) && !json.Valid(got) {
			t.Fatalf("Fields(%q) = %q, which is no JSON", text, got)
		}
		var object map[string]any
		if json.Unmarshal(got, &object) == nil && strings.Count(given, "balance") == 1 {
			if _, isNumber := object["balance"].(float64); isNumber {
				t.Fatalf("Fields(%q) = %q", text, got)
			}
		}
	})
}
