//go:build release

package cloud

import (
	_ "gocloud.dev/blob/azureblob" // Opens azblob:// buckets.
	_ "gocloud.dev/blob/gcsblob"   // Opens gs:// buckets.
)
