# Short names for the commands of CONTRIBUTING.md. Nothing needs make.
.PHONY: build test lint generate demo

golangci_lint = go tool -modfile=internal/tools/golangci-lint.mod golangci-lint

build:    ; go build ./...
test:     ; go test ./...
lint:     ; $(golangci_lint) run ./... && $(golangci_lint) fmt --diff
generate: ; go generate ./...
demo:     ; go run ./cmd/refract demo
