package openapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/refract-video/refract/gen/openapi"
)

// TestJSON_DescribesFilesAndTheContract looks for a route of each, and for what references lead to.
func TestJSON_DescribesFilesAndTheContract(t *testing.T) {
	t.Parallel()
	text, err := openapi.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Info        struct{ Title string }
		Paths       map[string]map[string]any
		Definitions map[string]any
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	for path, method := range map[string]string{
		"/v1/tasks": "post", "/v1/tasks/{taskId}:watch": "get", "/v1/sources/{uploadId}": "put", "/v1/tasks/{taskId}/outputs/{index}": "get", "/v1/outputs/{token}": "get",
	} {
		if document.Paths[path][method] == nil {
			t.Errorf("%s %s is not described", method, path)
		}
	}
	if document.Info.Title != "Refract" {
		t.Errorf("the title is %q", document.Info.Title)
	}
	for _, rest := range strings.Split(string(text), `"#/definitions/`)[1:] {
		if name, _, _ := strings.Cut(rest, `"`); document.Definitions[name] == nil {
			t.Errorf("%s is referenced and not defined", name)
		}
	}
}
