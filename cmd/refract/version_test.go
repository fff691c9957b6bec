package main

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/cli"
)

func TestVersion_ShowsWhatTheBinaryIsBuiltFrom(t *testing.T) {
	t.Parallel()
	var out, errs strings.Builder
	if exit := run(t.Context(), []string{"version"}, cli.Console{Out: &out, Err: &errs}); exit != 0 ||
		!strings.HasPrefix(out.String(), "refract ") || !strings.HasSuffix(out.String(), ", "+runtime.Version()+", "+runtime.GOOS+"/"+runtime.GOARCH+"\n") {
		t.Errorf("exit %d: %q %q", exit, out.String(), errs.String())
	}
	out.Reset()
	run(t.Context(), []string{"version", "--json"}, cli.Console{Out: &out, Err: &errs})
	var got struct{ GoVersion, Version string }
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil || got.GoVersion != runtime.Version() || got.Version == "" {
		t.Errorf("got %s, %v", out.String(), err)
	}
}
