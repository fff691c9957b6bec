// Package imports holds the proto files that the contract imports and that no proto compiler carries. They are printed from the
// Go packages that the service is linked with, by internal/tools/protodeps.
package imports

import "embed"

// Files are these files, under the paths by which the contract imports them.
//
//go:embed buf google
var Files embed.FS
