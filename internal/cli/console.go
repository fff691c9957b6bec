// Package cli has the commands that call a running service: submit, get, list, watch, cancel, retry and webhook for callers, and those
// for operators. Each is a struct of flags, as kong fills it, with a Run.
//
// A command that loses its connection goes on when the service is back: watches resume after the last revision that they showed,
// uploads after the last byte that the service has. What the service refuses ends a command with one line that says what to do.
//
// Commands speak gRPC alone. The package imports nothing of the service.
package cli

import (
	"errors"
	"io"
)

// Console is where a command talks to the person or program that runs it.
type Console struct {
	In  io.Reader // Answers of a person.
	Out io.Writer // Data and progress.
	Err io.Writer // Errors, and the log of a service.
}

// ErrReported ends a command with a failure that it has reported itself.
var ErrReported = errors.New("failed")
