module github.com/refract-video/refract/internal/tools/schemas

go 1.26

require (
	github.com/compose-spec/compose-go/v2 v2.16.2 // indirect
	github.com/goreleaser/goreleaser/v2 v2.13.0 // indirect
	sigs.k8s.io/kubectl-validate v0.0.4 // indirect
)
