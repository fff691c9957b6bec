package e2e_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/server"
)

// ownModel replaces an offering by one with parameters.
const ownModel = `
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

// catalogFile returns a catalog file with this content.
func catalogFile(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "own.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// withParameters sets the parameters of a request.
func withParameters(values map[string]any) func(*refractv1.SubmitTaskRequest) {
	return func(r *refractv1.SubmitTaskRequest) {
		r.Model = "luma/ray-2-modify"
		r.Parameters, _ = structpb.NewStruct(values) // What can't be converted fails the test by its absence.
	}
}

// TestCatalog_AFileReplacesAnOffering replaces an offering by a file alone. A task with valid parameters runs to its end, and invalid
// parameters are refused by their paths.
func TestCatalog_AFileReplacesAnOffering(t *testing.T) {
	t.Parallel()
	file := catalogFile(t, ownModel)
	ts := startService(t, func(f *server.Config, _ *simConfig) { f.Catalog = []string{file} })
	for name, tc := range map[string]struct {
		parameters map[string]any
		fields     []string
	}{
		"a value that is not offered":    {map[string]any{"resolution": "8k"}, []string{"parameters.resolution"}},
		"two that are wrong":             {map[string]any{"resolution": "720p", "seed": -1, "colour": "red"}, []string{"parameters.colour", "parameters.seed"}},
		"an input that the catalog sets": {map[string]any{"resolution": "720p", "videoUrl": "https://example.com/other.mp4"}, []string{"parameters.videoUrl"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := goodRequest()
			withParameters(tc.parameters)(req)
			_, err := ts.tasks.SubmitTask(ts.ctx(t), req)
			got := refusalOf(err)
			slices.Sort(got.Fields)
			if got.Code != codes.InvalidArgument || !slices.Equal(got.Fields, tc.fields) {
				t.Errorf("got %+v, want INVALID_ARGUMENT for %q", got, tc.fields)
			}
		})
	}
	task := ts.submit(t, "", withParameters(map[string]any{"resolution": "720p", "seed": 7}))
	ts.end(t, task.GetId())
	if got := ts.get(t, task.GetId()); got.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED || got.GetParameters().GetFields()["seed"].GetNumberValue() != 7 {
		t.Errorf("the task ended as %s with the parameters %v, want SUCCEEDED and a seed of 7", got.GetState(), got.GetParameters())
	}
	again := ts.submit(t, "", withParameters(map[string]any{"seed": 7, "resolution": "720p"}), func(r *refractv1.SubmitTaskRequest) { r.RequestId = task.GetRequestId() })
	if again.GetId() != task.GetId() {
		t.Errorf("the same request is task %s, want %s", again.GetId(), task.GetId())
	}
}
