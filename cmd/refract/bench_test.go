package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/bench"
	"github.com/refract-video/refract/internal/cli"
)

func TestRun_AShortBudgetHasItsOwnExitStatus(t *testing.T) {
	t.Parallel()
	short := bench.Report{Rows: []bench.Row{bench.AtLeast("callbacks", "/s", 1, 2, "pgbench", 1)}}.Check()
	for name, tt := range map[string]struct {
		err  error
		want int
	}{
		"a short budget":                   {short, 2},
		"a failure":                        {errors.New("the database is down"), 1},
		"a failure that was explained":     {cli.ErrReported, 1},
		"a measurement without a baseline": {fmt.Errorf("measure callbacks: %w", bench.ErrNoPgbench), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var errs bytes.Buffer
			if got := cli.Fail(cli.Console{Out: io.Discard, Err: &errs}, tt.err); got != tt.want {
				t.Errorf("exit status %d, want %d; it printed %q", got, tt.want, &errs)
			}
		})
	}
}

func TestBench_HelpExplainsTheExitStatus(t *testing.T) {
	t.Parallel()
	var help bytes.Buffer
	if exit := run(t.Context(), []string{"bench", "--help"}, cli.Console{Out: &help, Err: &help}); exit != 0 {
		t.Fatalf("--help ended with %d", exit)
	}
	if text := strings.Join(strings.Fields(help.String()), " "); !strings.Contains(text, "2 when at least one is short") {
		t.Errorf("the help does not explain exit status 2:\n%s", &help)
	}
}
