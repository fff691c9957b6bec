package source

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/signedtoken"
	"github.com/refract-video/refract/internal/task"
)

// errLink means that a token is not one of ours, or has expired.
var errLink = errors.New("the link to the source is forged or has expired")

// linkFormat describes the tokens of links to sources: the body is the id of a source and the expiry. Callback tokens may
// have the same key.
var linkFormat = signedtoken.Format{Purpose: "refract source", BodySize: 16 + signedtoken.ExpirySize, MACSize: signedtoken.MACSize}

// Links makes and verifies the tokens under which providers fetch sources from us. A forged token costs no query.
type Links struct{ signer *signedtoken.Signer }

// NewLinks returns links under keys of at least 32 bytes. The first key makes tokens, all verify them.
func NewLinks(keys ...[]byte) (*Links, error) {
	signer, err := signedtoken.New(linkFormat, keys...)
	if err != nil {
		return nil, fmt.Errorf("prepare links to sources: %w", err)
	}
	return &Links{signer}, nil
}

// Make returns a token for a source, which needs no escaping in a URL. It is a secret.
func (l *Links) Make(id task.SourceID, expiry time.Time) (string, error) {
	u, err := uuid.Parse(string(id))
	if err != nil {
		return "", fmt.Errorf("make a link to source %q: %w", id, err)
	}
	return l.signer.Sign("", signedtoken.AppendExpiry(u[:], expiry)), nil
}

// Verify returns the source that a token names now, or an error for every other token. It takes the same time for every
// forgery.
func (l *Links) Verify(token string, now time.Time) (task.SourceID, error) {
	body, valid := l.signer.Verify("", token)
	if !valid || signedtoken.Expired(body, now) {
		return "", errLink
	}
	return task.SourceID(uuid.UUID(body[:16]).String()), nil
}
