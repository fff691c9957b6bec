package operation_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// TestMigrate_APlanHasItsExitStatus runs the command as a deployment does: it looks, migrates, and looks again.
func TestMigrate_APlanHasItsExitStatus(t *testing.T) {
	t.Parallel()
	databaseURL := "--database-direct-url=" + postgrestest.EmptyURL(t)
	for _, step := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"migrate", "--plan", databaseURL}, 2, "blocks nothing"},
		{[]string{"migrate", databaseURL}, 0, "at this release's version"},
		{[]string{"migrate", "--plan", databaseURL}, 0, "; 0 migrations pending\n"},
	} {
		cmd := e2etest.Refract(t.Context(), t, step.args...)
		var out bytes.Buffer
		cmd.Stdout = &out
		_ = cmd.Run()
		if status := cmd.ProcessState.ExitCode(); status != step.status || !strings.Contains(out.String(), step.want) {
			t.Errorf("refract %s ended with status %d, want %d and %q in\n%s", step.args[:len(step.args)-1], status, step.status, step.want, &out)
		}
	}
}
