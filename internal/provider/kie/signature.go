package kie

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/refract-video/refract/internal/provider"
)

// The headers that the provider adds once a signing key was made in its settings.
const (
	timestampHeader = "X-Webhook-Timestamp" // Unix seconds at the time of sending.
	signatureHeader = "X-Webhook-Signature"
)

// verify checks the signature and then the time it was made. A bad signature is ErrCallbackSignature
// whatever its timestamp; a good one over a timestamp that is no integer, or outside the window on
// either side, is ErrCallbackStale.
//
// NOTE: the signature covers the task id and the timestamp, not the body.
func (p *Provider) verify(header http.Header, id string, now time.Time) error {
	timestamp, signature := header.Get(timestampHeader), header.Get(signatureHeader)
	if timestamp == "" || signature == "" {
		return fmt.Errorf("%w: not signed", provider.ErrCallbackSignature)
	}
	valid := false
	for _, key := range p.signingKeys { // Every key, so that the time taken does not show which one matched.
		valid = hmac.Equal([]byte(sign(key, id, timestamp)), []byte(signature)) || valid
	}
	if !valid {
		return provider.ErrCallbackSignature
	}
	at, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: not an integer", provider.ErrCallbackStale)
	}
	window := int64(p.window / time.Second)
	if at < now.Unix()-window || at > now.Unix()+window {
		return provider.ErrCallbackStale
	}
	return nil
}

// sign returns what the provider sends: base64 of HMAC-SHA256 over the task id, a dot and the literal
// timestamp.
func sign(key []byte, id, timestamp string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
