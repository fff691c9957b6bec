package faulttest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// raceFlag is set when the tests themselves are built with the race detector.
var raceFlag []string

// change is what a build replaces in a source file, whose path is relative to this folder or begins with $GOROOT. A
// change of nothing is a file that is new.
type change struct{ file, old, new string }

// changes make the program fit for tests. Where the source is no longer as they expect, the build fails.
var changes = []change{{
	file: "../../cmd/refract/providers.go",
	old:  "Poll    time.Duration `kong:\"-\" json:\"-\"`",
	new:  "Poll    time.Duration `name:\"poll\" help:\"How often a running attempt is checked.\" json:\"poll\"`",
}}

// programPackage is the package of the program.
const programPackage = "github.com/refract-video/refract/cmd/refract"

// clockVariable names the file in which a process finds how far its clock is to be off; only the long run's looks.
const clockVariable = "REFRACT_FAULT_CLOCK"

// apply returns the changed text of the file.
func (c change) apply() (string, error) {
	if c.old == "" {
		return c.new, nil
	}
	source, err := os.ReadFile(c.file)
	if err != nil {
		return "", err
	}
	if strings.Count(string(source), c.old) != 1 {
		return "", fmt.Errorf("%s does not hold %q once: the change for tests needs another place", c.file, c.old)
	}
	return strings.Replace(string(source), c.old, c.new, 1), nil
}

// build builds the program with the changes, which reach no other build: go build is told to read other files in the
// place of some.
func build(ctx context.Context, dir string) (string, error) {
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	for i, c := range changes {
		c.file = strings.Replace(c.file, "$GOROOT", strings.TrimSpace(string(root)), 1)
		text, err := c.apply()
		if err != nil {
			return "", err
		}
		changed := filepath.Join(dir, fmt.Sprintf("%d-%s", i, filepath.Base(c.file)))
		if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
			return "", err
		}
		file, err := filepath.Abs(c.file)
		if err != nil {
			return "", err
		}
		overlay.Replace[file] = changed
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
	out, err := exec.CommandContext(ctx, "go", append(args, programPackage)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return program, nil
}
