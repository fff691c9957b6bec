package signedtoken

import (
	"bytes"
	"encoding/base64"
	"testing"
)

func TestDecode_AcceptsOneSpelling(t *testing.T) {
	t.Parallel()
	raw := []byte("seventeen bytes .")
	token := base64.RawURLEncoding.EncodeToString(raw)
	for name, tc := range map[string]struct {
		token string
		ok    bool
	}{
		"as it was made":                {token, true},
		"empty":                         {"", false},
		"too short":                     {token[1:], false},
		"too long":                      {token + "A", false},
		"padded":                        {token + "=", false},
		"an extra line break":           {token[:9] + "\n" + token[9:], false},
		"a line break for a letter":     {token[:9] + "\r" + token[10:], false},
		"bits at the end that are none": {token[:len(token)-1] + "h", false},
		"another alphabet":              {"+" + token[1:], false},
	} {
		got, ok := decode(tc.token, len(raw))
		if ok != tc.ok || ok && !bytes.Equal(got, raw) {
			t.Errorf("%s: got %q, %t", name, got, ok)
		}
	}
}
