package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/uuid"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// outputPath is where an output goes: the path that the user gave, a file in the folder that the user gave, or
// by default one in ./refract-output. Further outputs of the task get a number.
func outputPath(given, taskID string, o *refractv1.Output, i int) (string, error) {
	path := given
	info, err := os.Stat(given)
	folder := strings.HasSuffix(given, string(filepath.Separator)) || (err == nil && info.IsDir())
	if given == "" || folder {
		if _, err := uuid.Parse(taskID); err != nil {
			return "", errors.New("the service's task id is no UUID, so it can't name a file: pass -o PATH")
		}
		extension := ".mp4"
		if o.GetContentType() == "video/quicktime" {
			extension = ".mov"
		}
		if given == "" {
			given = "refract-output"
		}
		path = filepath.Join(given, taskID+extension)
	}
	if i > 0 {
		extension := filepath.Ext(path)
		path = strings.TrimSuffix(path, extension) + "-" + strconv.Itoa(i) + extension
	}
	return path, nil
}
