// Package proto holds the contract of Refract: the package refract.v1, one file per noun and per service.
// The generated code is in gen, and `go generate ./...` renews it, with the imports of the contract in
// gen/imports and all of it as one descriptor set in gen/refract.binpb.
//
// The generators are pinned in go.mod, and buf in a module file of its own because it needs other versions
// of what it shares with the service. All of them come through the Go module proxy and nothing else.
package proto

import "embed"

// Files are the files of the contract, under the paths by which they import each other.
//
//go:embed refract
var Files embed.FS

//go:generate go run -C .. ./internal/tools/protodeps
//go:generate go tool -C .. -modfile=internal/tools/buf.mod buf generate
//go:generate go tool -C .. -modfile=internal/tools/buf.mod buf build proto --as-file-descriptor-set --exclude-source-info -o gen/refract.binpb
