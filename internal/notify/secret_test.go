package notify

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

func TestNewSecret_IsTheTextOfItsKey(t *testing.T) {
	t.Parallel()
	text, key := NewSecret()
	encoded, ok := strings.CutPrefix(text, "whsec_")
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || !bytes.Equal(decoded, key) || len(key) != 32 {
		t.Errorf("NewSecret() = %q, %d bytes; decoded %v, %v", text, len(key), decoded, err)
	}
	if other, _ := NewSecret(); other == text {
		t.Error("two secrets are the same")
	}
}

func TestKeyring_DecryptsWhatAnyOfItsKeysEncrypted(t *testing.T) {
	t.Parallel()
	first, second := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	open := func(keys ...[]byte) *Keyring {
		ring, err := OpenKeeper(keys...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ring.Close() })
		return ring
	}
	_, key := NewSecret()
	sealed, err := Seal(t.Context(), open(first), key)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, key) {
		t.Error("the sealed secret holds its key")
	}
	rotated := open(second, first)
	if got, err := rotated.Decrypt(t.Context(), sealed); err != nil || !bytes.Equal(got, key) {
		t.Errorf("decrypt with the key before: %v, %v", got, err)
	}
	if sealed, err = Seal(t.Context(), rotated, key); err != nil {
		t.Fatal(err)
	}
	if got, err := open(second).Decrypt(t.Context(), sealed); err != nil || !bytes.Equal(got, key) {
		t.Errorf("decrypt what the first key of a rotated keyring encrypted: %v, %v", got, err)
	}
	if got, err := open(first).Decrypt(t.Context(), sealed); err == nil {
		t.Errorf("a keyring without the key decrypted %v", got)
	}
}

func TestOpenKeeper_RefusesWrongKeys(t *testing.T) {
	t.Parallel()
	for _, keys := range [][][]byte{nil, {{}}, {make([]byte, 31)}, {make([]byte, 32), make([]byte, 33)}} {
		if _, err := OpenKeeper(keys...); err == nil {
			t.Errorf("OpenKeeper took %d keys, the last of a wrong length", len(keys))
		}
	}
}
