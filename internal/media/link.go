package media

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/urltoken"
)

// ErrLink means that the token of a download link is forged or has expired.
var ErrLink = errors.New("the link is wrong or has expired")

// How a token is laid out before it is encoded: the task, the index of the output, the second at which the token expires, and a
// truncated HMAC of these, which at 128 bits is beyond guessing.
const (
	linkBody  = 16 + 4 + 8
	linkMAC   = 16
	linkBytes = linkBody + linkMAC
)

// Links makes and verifies the tokens of download links that work without credentials until they expire. A forged token is told without a
// query. Its methods may be called concurrently.
type Links struct{ key []byte }

// NewLinks returns links under a key of at least 32 bytes.
func NewLinks(key []byte) (*Links, error) {
	if len(key) < 32 {
		return nil, errors.New("the key of download links needs at least 32 bytes")
	}
	return &Links{key}, nil
}

// Make returns the token for an output of a task: 59 characters that need no escaping in a URL. It is a secret.
func (l *Links) Make(id task.ID, index int, expire time.Time) (string, error) {
	u, err := uuid.Parse(string(id))
	if err != nil {
		return "", fmt.Errorf("make the download link of task %q: %w", id, err)
	}
	body := binary.BigEndian.AppendUint32(u[:], uint32(index))        //nolint:gosec // Counts outputs of one task.
	body = binary.BigEndian.AppendUint64(body, uint64(expire.Unix())) //nolint:gosec // Far from both ends of time.
	return base64.RawURLEncoding.EncodeToString(append(body, l.mac(body)...)), nil
}

// Verify returns the task and the index of the output that a token opens now, or ErrLink.
func (l *Links) Verify(token string, now time.Time) (task.ID, int, error) {
	raw, ok := urltoken.Decode(token, linkBytes)
	if !ok || !hmac.Equal(raw[linkBody:], l.mac(raw[:linkBody])) {
		return "", 0, ErrLink
	}
	if expire := binary.BigEndian.Uint64(raw[20:]); now.Unix() >= int64(expire) { //nolint:gosec // Our own, see Make.
		return "", 0, ErrLink
	}
	return task.ID(uuid.UUID(raw[:16]).String()), int(binary.BigEndian.Uint32(raw[16:])), nil
}

func (l *Links) mac(body []byte) []byte {
	h := hmac.New(sha256.New, l.key)
	h.Write([]byte("refract output link\x00"))
	h.Write(body)
	return h.Sum(nil)[:linkMAC]
}
