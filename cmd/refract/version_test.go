package main

import (
	"runtime"
	"strings"
	"testing"
)

func TestVersion_TellsWhatTheBinaryIsBuiltFrom(t *testing.T) {
	t.Parallel()
	var out, errs strings.Builder
	if exit := run(t.Context(), []string{"version"}, console{out: &out, err: &errs}); exit != 0 ||
		!strings.HasPrefix(out.String(), "refract ") || !strings.HasSuffix(out.String(), ", "+runtime.Version()+", "+runtime.GOOS+"/"+runtime.GOARCH+"\n") {
		t.Errorf("exit %d: %q %q", exit, out.String(), errs.String())
	}
	out.Reset()
	run(t.Context(), []string{"version", "--json"}, console{out: &out, err: &errs})
	if got := jsonLines(t, out.String()); len(got) != 1 || got[0]["goVersion"] != runtime.Version() || got[0]["version"] == "" {
		t.Errorf("got %s", out.String())
	}
}
