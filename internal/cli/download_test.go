package cli

import (
	"path/filepath"
	"testing"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/clienttest"
)

func TestOutputPath_IsNamedAfterTheTaskByDefault(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, tt := range []struct {
		name, given, taskID, contentType string
		index                            int
		want                             string // Empty: refused.
	}{
		{"default", "", clienttest.TaskID, "video/mp4", 0, "refract-output/" + clienttest.TaskID + ".mp4"},
		{"further output", "", clienttest.TaskID, "video/mp4", 2, "refract-output/" + clienttest.TaskID + "-2.mp4"},
		{"quicktime", "", clienttest.TaskID, "video/quicktime", 0, "refract-output/" + clienttest.TaskID + ".mov"},
		{"file", "clip.mp4", clienttest.TaskID, "video/mp4", 0, "clip.mp4"},
		{"further file", "a.b/clip.mp4", clienttest.TaskID, "video/mp4", 1, "a.b/clip-1.mp4"},
		{"folder that is there", dir, clienttest.TaskID, "video/mp4", 0, filepath.Join(dir, clienttest.TaskID+".mp4")},
		{"folder that is not there", "new/", clienttest.TaskID, "video/mp4", 1, "new/" + clienttest.TaskID + "-1.mp4"},
		{"an id that is a path", "", "../../etc/cron.d/x", "video/mp4", 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := outputPath(tt.given, tt.taskID, &refractv1.Output{ContentType: tt.contentType}, tt.index)
			if got != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}
