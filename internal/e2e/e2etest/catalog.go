package e2etest

import (
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// OwnModel is a catalog that replaces an offering by one with parameters.
const OwnModel = `
models:
  - name: luma/ray-2-modify
    offerings:
      - provider: kie
        remote: modify/generate
        default: true
        watermark: {field: watermark}
        prompt: {field: prompt, required: true}
        source: {field: videoUrl}
        parameters:
          type: object
          additionalProperties: false
          properties:
            resolution: {enum: [720p, 1080p]}
            seed: {type: integer, minimum: 0}
`

// CatalogFile returns a catalog file with this content.
func CatalogFile(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "own.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// WithParameters sets the parameters of a request.
func WithParameters(values map[string]any) func(*refractv1.SubmitTaskRequest) {
	return func(r *refractv1.SubmitTaskRequest) {
		r.Model = "luma/ray-2-modify"
		r.Parameters, _ = structpb.NewStruct(values) // What can't be converted fails the test by its absence.
	}
}
