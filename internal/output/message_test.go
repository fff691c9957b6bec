package output

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/upstream"
)

func TestPublicMessage_NamesNothingOfOurs(t *testing.T) {
	t.Parallel()
	bucket := errors.New("put outputs/1: open /var/lib/refract/media: read-only file system")
	saved := func(err error) error {
		return &media.SaveError{Key: "outputs/1", Origin: "https://cdn.example.com", Err: err}
	}
	for want, err := range map[string]error{
		"the result could not be stored":                                     errors.New("dial tcp 10.1.2.3:5432: connection refused"),
		"output 0 of 1: the provider's link: the result could not be stored": tried("the provider's link", saved(fmt.Errorf("%w: %w", media.ErrNotStored, bucket))),
		"output 0 of 1: the provider's link: the result could not be stored: our storage is read-only": tried("the provider's link", saved(fmt.Errorf("%w: %w", media.ErrNotStored,
			&media.StorageError{Op: "put", Key: "outputs/1", Err: &fs.PathError{Op: "open", Path: "/var/lib/refract/media", Err: syscall.EROFS}}))),
		"output 0 of 1: the provider's link: the link is dead: 404": tried("the provider's link", saved(fmt.Errorf("%w: 404", media.ErrLinkDead))),
		"output 0 of 1: asked for another: it names the same":       tried("asked for another", errSame),
		"check: unavailable: connection refused":                    fmt.Errorf("no answer: %w", &provider.Error{Class: provider.Unavailable, Op: "check", Err: errors.New("connection refused")}),
		"the provider shows no result yet":                          fmt.Errorf("links: %w", errNotReady),
		"the attempt's provider account is not configured any more": fmt.Errorf("account %q: %w", "kie", upstream.ErrNoAccount),
	} {
		if got := publicMessage(err); got != want {
			t.Errorf("publicMessage(%v) = %q, want %q", err, got, want)
		}
	}
	if err := tried("the provider's link", saved(bucket)); !strings.Contains(err.Error(), bucket.Error()) {
		t.Errorf("the log gets %q, want the whole error", err)
	}
}

func tried(what string, err error) error {
	a := attempts{of: "output 0 of 1"}
	a.add(what, err)
	return a.sum(err)
}
