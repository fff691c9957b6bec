package fal

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/provider"
)

// The headers of every webhook [D].
const (
	requestIDHeader = "X-Fal-Webhook-Request-Id"
	userIDHeader    = "X-Fal-Webhook-User-Id"
	timestampHeader = "X-Fal-Webhook-Timestamp" // Unix seconds.
	signatureHeader = "X-Fal-Webhook-Signature" // In hexadecimal.
)

// signatureWindow is how far a timestamp may lie in the past or in the future, as fal's page wants [D].
const signatureWindow = 300 * time.Second

// verify checks the signature of a webhook about a request, and then the time it was made. A bad signature is
// ErrCallbackSignature whatever its timestamp; a good one over a timestamp that is no integer, or outside the window on either
// side, is ErrCallbackStale. A signed request id that is not the one in the body is ErrCallbackSignature: the signature is of
// another webhook. So is a user id that is not the configured one.
//
// unavailable says why the signature is neither good nor bad: the keys can't be fetched.
func (p *Provider) verify(
	ctx context.Context, header http.Header, id string, body []byte, now time.Time,
) (userID string, unavailable, refusal error) {
	requestID, userID, timestamp := header.Get(requestIDHeader), header.Get(userIDHeader), header.Get(timestampHeader)
	signature, err := hex.DecodeString(header.Get(signatureHeader))
	switch {
	case requestID == "" || userID == "" || timestamp == "" || len(signature) == 0 && err == nil:
		return "", nil, fmt.Errorf("%w: not signed", provider.ErrCallbackSignature)
	case err != nil || len(signature) != ed25519.SignatureSize:
		return "", nil, fmt.Errorf("%w: not an Ed25519 signature", provider.ErrCallbackSignature)
	case requestID != id:
		return "", nil, fmt.Errorf("%w: of another request", provider.ErrCallbackSignature)
	case p.userID != "" && userID != p.userID:
		return "", nil, fmt.Errorf("%w: of another user", provider.ErrCallbackSignature)
	}
	valid, unavailable := p.keys.verify(ctx, signedText(requestID, userID, timestamp, body), signature, now)
	switch {
	case valid:
		return userID, nil, checkTime(timestamp, now)
	case unavailable != nil:
		return "", unavailable, nil
	default:
		return "", nil, provider.ErrCallbackSignature
	}
}

// signedText returns what the provider signs. The ids and the timestamp are taken as they are in the headers.
func signedText(requestID, userID, timestamp string, body []byte) []byte {
	hash := sha256.Sum256(body)
	return []byte(strings.Join([]string{requestID, userID, timestamp, hex.EncodeToString(hash[:])}, "\n"))
}

func checkTime(timestamp string, now time.Time) error {
	at, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: not an integer", provider.ErrCallbackStale)
	}
	window := int64(signatureWindow / time.Second)
	if at < now.Unix()-window || at > now.Unix()+window {
		return provider.ErrCallbackStale
	}
	return nil
}
