package admission

import (
	"errors"
	"time"

	"github.com/refract-video/refract/internal/provider"
)

// ErrAccountNotFound means that no such provider account is configured.
var ErrAccountNotFound = errors.New("no such provider account is configured")

// Account is the state of a configured provider account, over all replicas.
type Account struct {
	Usage

	Provider   string
	Configured provider.Limits // The limits of the configuration, whether or not they are in force.
	Unknown    int             // Open attempts of which it is unknown whether the provider took them.
	Queued     int             // Tasks that wait for the provider, over all its accounts, counted up to 100,000.
	Storage    string          // Why no replica can store results, so that nothing is admitted; empty if one can.
	Typical    time.Duration   // How long recent attempts took; 0 while too few are known.
}

// OperatorLimits are the limits that an operator sets in place of the configured ones. 0 leaves the configured limit in force.
type OperatorLimits struct {
	Submissions int           // Together with Window.
	Window      time.Duration // As in provider.Limits.
	InFlight    int
}

// AccountError says which provider account an error is about.
type AccountError struct {
	Account string
	Err     error
}

// Error names the account and what is wrong.
func (e *AccountError) Error() string { return "account " + e.Account + ": " + e.Err.Error() }

// Unwrap returns what is wrong.
func (e *AccountError) Unwrap() error { return e.Err }
