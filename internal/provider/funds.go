package provider

import "context"

// Treasurer is a provider that says what is left of an account's funds. The call is free and needs the account's API key, so it
// also shows whether the provider accepts the key.
type Treasurer interface {
	// Funds returns what is left. The error is an *Error, of class AccountBlocked where the provider does not accept the key.
	Funds(ctx context.Context) (Cost, error)
}
