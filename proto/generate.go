// Package proto holds the contract of Refract: the package refract.v1, one file per noun and per service.
// It has no Go code of its own; the generated code is in gen, and `go generate ./...` renews it.
//
// The generators are pinned in go.mod, and buf in a module file of its own because it needs other versions
// of what it shares with the service. All of them come through the Go module proxy and nothing else.
package proto

//go:generate go run -C .. ./internal/tools/protodeps
//go:generate go tool -C .. -modfile=internal/tools/buf.mod buf generate
