package signedtoken

import "encoding/base64"

// decode returns the size bytes of a token, and reports whether the token has the encoding that [Signer.Sign] produces.
// The decoder of package base64 accepts more: it skips line breaks, and then returns fewer bytes than the length of the
// token suggests.
func decode(token string, size int) (raw []byte, ok bool) {
	if len(token) != base64.RawURLEncoding.EncodedLen(size) {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	return raw, err == nil && len(raw) == size
}
