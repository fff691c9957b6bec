//go:build release

package pglocal

import (
	"context"
	"errors"
)

// fetch refuses: a released build uses the PostgreSQL that is installed.
func fetch(context.Context, source, int) (binaries, error) { return binaries{}, errNoDownload }

// errNoDownload means that this build does not download PostgreSQL.
var errNoDownload = errors.New("this build downloads none")
