// Package urltoken reads the tokens that stand in our URLs: bytes in base64 that need no escaping there.
package urltoken

import "encoding/base64"

// Decode returns the size bytes of a token, and whether it is spelt as it was made. The decoder alone would take other
// spellings, too: it skips line breaks, and then returns fewer bytes than the length of the token promises.
func Decode(token string, size int) (raw []byte, ok bool) {
	if len(token) != base64.RawURLEncoding.EncodedLen(size) {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	return raw, err == nil && len(raw) == size
}
