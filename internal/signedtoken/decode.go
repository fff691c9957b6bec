package signedtoken

import "encoding/base64"

// decode returns the size bytes of a token, and whether the token has the one spelling that [Signer.Sign] gives it. The
// decoder of package base64 accepts more: it skips line breaks, and then returns fewer bytes than the length of the token
// promises.
func decode(token string, size int) (raw []byte, ok bool) {
	if len(token) != base64.RawURLEncoding.EncodedLen(size) {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	return raw, err == nil && len(raw) == size
}
