package callback

import (
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/signedtoken"
	"github.com/refract-video/refract/internal/task"
)

// ErrToken means that a URL token is not one of ours.
var ErrToken = errors.New("the URL token is missing or forged")

// tokenFormat describes URL tokens: the body is an attempt id, the scope is the account.
//
// NOTE: providers keep callback URLs for weeks. A change of the format makes the callbacks of all running attempts
// invalid.
var tokenFormat = signedtoken.Format{Purpose: "refract callback", Scoped: true, BodySize: 16, MACSize: signedtoken.MACSize}

// Tokens makes and verifies the URL tokens that name attempts, and those of self-tests.
type Tokens struct{ signer, selfTests, answers *signedtoken.Signer }

// NewTokens returns Tokens with keys of at least 32 bytes. The first key signs tokens, and all keys verify them.
func NewTokens(keys ...[]byte) (*Tokens, error) {
	t := &Tokens{}
	for format, signer := range map[signedtoken.Format]**signedtoken.Signer{
		tokenFormat: &t.signer, selfTestFormat: &t.selfTests, selfTestAnswerFormat: &t.answers,
	} {
		made, err := signedtoken.New(format, keys...)
		if err != nil {
			return nil, fmt.Errorf("prepare the tokens of callback URLs: %w", err)
		}
		*signer = made
	}
	return t, nil
}

// Make returns the token of an attempt at a provider account: 43 characters that need no escaping in a URL.
func (t *Tokens) Make(account string, id task.AttemptID) (string, error) {
	u, err := uuid.Parse(string(id))
	if err != nil {
		return "", fmt.Errorf("make the token of attempt %q: %w", id, err)
	}
	return t.signer.Sign(account, u[:]), nil
}

// Verify returns the attempt that a token names, or ErrToken. It takes the same time for every forgery.
func (t *Tokens) Verify(account, token string) (task.AttemptID, error) {
	body, valid := t.signer.Verify(account, token)
	if !valid {
		return "", ErrToken
	}
	return task.AttemptID(uuid.UUID(body).String()), nil
}
