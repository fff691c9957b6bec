package faults_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/e2e/program"
)

// change is a replacement in a source file for a build. The path of the file is relative to this folder or begins with
// $GOROOT. A change without an old text adds a new file.
type change struct{ file, old, new string }

// changes make the program testable. Events that a webhook endpoint did not accept are sent again within a second, since a test cannot
// wait for hours. If the source no longer has the expected text, the build fails.
var changes = []change{{
	file: "../../server/providers.go",
	old:  "Poll    time.Duration `kong:\"-\" json:\"-\"`",
	new:  "Poll    time.Duration `name:\"poll\" help:\"How often a running attempt is checked.\" json:\"poll\"`",
}, {
	"../../notify/schedule.go", "5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour,",
	"200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, time.Second, time.Second, time.Second, time.Second,",
}, {
	"../../notify/schedule.go", "minPause        = 5 * time.Second", "minPause        = 300 * time.Millisecond",
}, {
	"../../notify/schedule.go", "maxPause        = 5 * time.Minute", "maxPause        = time.Second",
}}

// shorterWaits shorten the waits that would dominate the short run: for dead replicas, a silent database, and requests
// that may still arrive at the provider. Their proportions stay the same.
var shorterWaits = []change{
	{"../../provider/wire/transport.go", "SubmitTimeout   = 30 * time.Second", "SubmitTimeout   = 9 * time.Second"},
	{"../../lifecycle/send.go", "SendTimeout = 10 * time.Second", "SendTimeout = 3 * time.Second"},
	{"../../lifecycle/send.go", "AnswerTimeout = 30 * time.Second", "AnswerTimeout = 9 * time.Second"},
	{"../../postgres/dbpool/open.go", "statementTimeout = 10 * time.Second", "statementTimeout = 4 * time.Second"},
	{"../../postgres/replica/listener.go", "silence = 10 * time.Second", "silence = 4 * time.Second"},
	{"../../postgres/replica/job_rescuer.go", "rescueTick = 5 * time.Second", "rescueTick = 2 * time.Second"},
	{"../../postgres/replica/job_rescuer.go", "unheard = 15 * time.Second", "unheard = 5 * time.Second"},
	{"../../notify/sender.go", "lease = time.Minute", "lease = 12 * time.Second"},
	{"../../notify/sender.go", "maxQueued = 15 * time.Second", "maxQueued = 3 * time.Second"},
	{"../../notify/sender.go", "storeTimeout = 10 * time.Second", "storeTimeout = 3 * time.Second"},
	{"../../notify/post.go", "requestTimeout = 15 * time.Second", "requestTimeout = 3 * time.Second"},
}

// waits are the durations of provider work and outages. They are longer than the matching waits of the program.
type waits struct {
	processing time.Duration // Of a task at the provider. It ends after the last replica has taken the job over.
	answer     time.Duration // Until the answer to a submission. The replica that waits for it is dead by then.
	silence    time.Duration // Of a silent database. It is longer than a statement may take.
	late       time.Duration // Until an answer that comes after the silence.
}

// outlast has the waits for the program, with or without shorterWaits.
var outlast = waits{processing: 12 * time.Second, answer: 8 * time.Second, silence: 6 * time.Second, late: 7 * time.Second}

// clockVariable is the environment variable with the file in which a process reads the offset of its clock. Only the
// program of the long run reads it.
const clockVariable = "REFRACT_FAULT_CLOCK"

// apply returns the changed text of a file. It starts from the text in changed if an earlier change was to the same
// file.
func (c change) apply(changed string) (string, error) {
	if c.old == "" {
		return c.new, nil
	}
	name := c.file
	if changed != "" {
		name = changed
	}
	source, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	if strings.Count(string(source), c.old) != 1 {
		return "", fmt.Errorf("%s does not hold %q once: the change for tests needs another place", c.file, c.old)
	}
	return strings.Replace(string(source), c.old, c.new, 1), nil
}

// build builds the program with the changes. It uses an overlay, so no other build is affected.
func build(ctx context.Context, dir string) (string, error) {
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	for i, c := range slices.Concat(changes, shorterWaits) {
		c.file = strings.Replace(c.file, "$GOROOT", strings.TrimSpace(string(root)), 1)
		file, err := filepath.Abs(c.file)
		if err != nil {
			return "", err
		}
		text, err := c.apply(overlay.Replace[file])
		if err != nil {
			return "", err
		}
		changed := filepath.Join(dir, fmt.Sprintf("%d-%s", i, filepath.Base(c.file)))
		if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
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
	return program.Build(ctx, dir, "-overlay", name)
}
