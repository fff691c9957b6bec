package media

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// ErrCantSign means that the bucket has no links of its own: one of files, or of memory.
var ErrCantSign = errors.New("the bucket can't sign links")

// SignedURL returns a link to the file under key that works without credentials, for as long as given. It is a
// secret. The error is ErrCantSign where the bucket has none.
func (b *Bucket) SignedURL(ctx context.Context, key string, lifetime time.Duration) (string, error) {
	link, err := b.blobs.SignedURL(ctx, key, &blob.SignedURLOptions{Expiry: lifetime})
	if gcerrors.Code(err) == gcerrors.Unimplemented {
		return "", ErrCantSign
	}
	if err != nil {
		return "", fmt.Errorf("sign a link to %s: %w", key, err)
	}
	return link, nil
}
