package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/signedtoken"
	"github.com/refract-video/refract/internal/task"
)

// ErrLink means that the token of a download link is forged or has expired.
var ErrLink = errors.New("the link is wrong or has expired")

// linkFormat describes the tokens of download links: the body is the task, the index of the output, and the expiry.
var linkFormat = signedtoken.Format{
	Purpose: "refract output link", BodySize: 16 + 4 + signedtoken.ExpirySize, MACSize: signedtoken.MACSize,
}

// Links makes and verifies the tokens of download links that work without credentials until they expire. A forged token is refused without a
// query. Its methods may be called concurrently.
type Links struct{ signer *signedtoken.Signer }

// NewLinks returns links under keys of at least 32 bytes. The first key makes tokens, all verify them.
func NewLinks(keys ...[]byte) (*Links, error) {
	signer, err := signedtoken.New(linkFormat, keys...)
	if err != nil {
		return nil, fmt.Errorf("prepare download links: %w", err)
	}
	return &Links{signer}, nil
}

// Make returns the token for an output of a task: 59 characters that need no escaping in a URL. It is a secret.
func (l *Links) Make(id task.ID, index int, expire time.Time) (string, error) {
	u, err := uuid.Parse(string(id))
	if err != nil {
		return "", fmt.Errorf("make the download link of task %q: %w", id, err)
	}
	body := binary.BigEndian.AppendUint32(u[:], uint32(index)) //nolint:gosec // Counts outputs of one task.
	return l.signer.Sign("", signedtoken.AppendExpiry(body, expire)), nil
}

// Verify returns the task and the index of the output that a token opens now, or ErrLink.
func (l *Links) Verify(token string, now time.Time) (task.ID, int, error) {
	body, valid := l.signer.Verify("", token)
	if !valid || signedtoken.Expired(body, now) {
		return "", 0, ErrLink
	}
	return task.ID(uuid.UUID(body[:16]).String()), int(binary.BigEndian.Uint32(body[16:])), nil
}
