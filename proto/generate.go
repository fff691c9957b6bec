// Package proto holds the contract of Refract: the package refract.v1, one file per noun and per service. The generated code is
// in gen. `go generate ./...` updates it, the imports of the contract in gen/imports, and gen/refract.binpb, a descriptor set
// of the contract with its imports.
//
// go.mod pins the generators. buf has its own module file, because it needs other versions of dependencies that the service
// also has. All of them come from the Go module proxy only.
package proto

import "embed"

// Files are the files of the contract, under the paths by which they import each other.
//
//go:embed refract
var Files embed.FS

//go:generate go run -C .. ./internal/tools/protodeps
//go:generate go tool -C .. -modfile=internal/tools/buf.mod buf generate
//go:generate go tool -C .. -modfile=internal/tools/buf.mod buf build proto --as-file-descriptor-set --exclude-source-info -o gen/refract.binpb
