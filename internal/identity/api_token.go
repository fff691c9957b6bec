package identity

import (
	"errors"
	"time"
)

// What a store of API tokens refuses.
var (
	// ErrTooManyTokens means that the tenant has as many live tokens as it may.
	ErrTooManyTokens = errors.New("the tenant has two live API tokens already: revoke one first")
	// ErrTokenNotFound means that no live token has this id.
	ErrTokenNotFound = errors.New("no live API token has this id")
)

// APIToken is an API token without the token itself, which only its holder has.
type APIToken struct {
	ID         string
	Tenant     string
	CreateTime time.Time
	RevokeTime *time.Time // Nil while it is live.
	Operator   bool       // Whether it may also call OperatorService.
}

// Place returns where the token is in a list.
func (t *APIToken) Place() TokenPlace { return TokenPlace{t.Tenant, t.CreateTime, t.ID} }

// TokenPlace is a place in the list of API tokens, which is ordered by tenant, time of creation and id. The zero value is the
// beginning.
type TokenPlace struct {
	Tenant     string
	CreateTime time.Time
	ID         string
}

// TokenFilter selects API tokens.
type TokenFilter struct {
	Tenant string     // Empty means all tenants.
	After  TokenPlace // Only tokens that come later.
	Limit  int        // 0 means all.
}
