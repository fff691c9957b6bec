package output

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/upstream"
)

// What a second answer of the provider may lack.
var (
	errFewer = errors.New("it names fewer files now")
	errSame  = errors.New("it names the same")
)

// attempts are what was tried to get a result, in order: in words for a log, and in words for callers.
type attempts struct {
	of             string
	logged, public []string
}

// add notes what was tried and what came of it.
func (a *attempts) add(what string, err error) {
	if err == nil {
		return
	}
	a.logged = append(a.logged, what+": "+err.Error())
	a.public = append(a.public, what+": "+publicMessage(err))
}

// sum returns err with all that was tried, or nil without one.
func (a *attempts) sum(err error) error {
	if err == nil {
		return nil
	}
	return &triedError{
		logged: a.of + ": " + strings.Join(a.logged, "; "),
		public: a.of + ": " + strings.Join(a.public, "; "),
		err:    err,
	}
}

// triedError says what was tried instead of its cause alone.
type triedError struct {
	logged, public string
	err            error
}

func (e *triedError) Error() string { return e.logged }
func (e *triedError) Unwrap() error { return e.err }

// publicMessage says to callers why there is no result. The words of package media about a link and those of a provider are made
// for them; those of the bucket and the database name what is ours alone.
func publicMessage(err error) string {
	if tried, ok := errors.AsType[*triedError](err); ok {
		return tried.public
	}
	if errors.Is(err, media.ErrStorage) {
		return media.ErrNotStored.Error() + ": our storage " + media.StorageCause(err)
	}
	if errors.Is(err, media.ErrNotStored) {
		return media.ErrNotStored.Error()
	}
	if failed, ok := errors.AsType[*media.SaveError](err); ok {
		return failed.Err.Error() // Without key and host, which say nothing to a caller.
	}
	if answer, ok := errors.AsType[*provider.Error](err); ok {
		return answer.Error()
	}
	for _, known := range []error{errNotReady, errNoLinks, errNoResult, upstream.ErrNoAccount, errFewer, errSame} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("not done in %v", saveTimeout)
	}
	return media.ErrNotStored.Error()
}
