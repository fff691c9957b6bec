package faulttest_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// raceFlag is set when the tests themselves are built with the race detector.
var raceFlag []string

// change is what a build replaces in a source file.
type change struct {
	file, old, new string
	more           string // Appended to the file.
}

// changes make the program fit for tests. Where the source is no longer as they expect, the build fails.
var changes = []change{{
	file: "../../cmd/refract/providers.go",
	old:  "Poll    time.Duration `kong:\"-\" json:\"-\"`",
	new:  "Poll    time.Duration `name:\"poll\" help:\"How often a running attempt is checked.\" json:\"poll\"`",
}}

// build builds the program with the changes, which reach no other build: go build is told to read other files in the
// place of some.
func build(dir string) (string, error) {
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for i, c := range changes {
		source, err := os.ReadFile(c.file)
		if err != nil {
			return "", err
		}
		if strings.Count(string(source), c.old) != 1 {
			return "", fmt.Errorf("%s does not hold %q once: the change for tests needs another place", c.file, c.old)
		}
		changed := filepath.Join(dir, fmt.Sprintf("%d-%s", i, filepath.Base(c.file)))
		if err := os.WriteFile(changed, []byte(strings.Replace(string(source), c.old, c.new, 1)+c.more), 0o600); err != nil {
			return "", err
		}
		if c.file, err = filepath.Abs(c.file); err != nil {
			return "", err
		}
		overlay.Replace[c.file] = changed
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(name, list, 0o600); err != nil {
		return "", err
	}
	program := filepath.Join(dir, "refract")
	args := append([]string{"build", "-o", program, "-overlay", name}, raceFlag...)
	out, err := exec.Command("go", append(args, "github.com/refract-video/refract/cmd/refract")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return program, nil
}
