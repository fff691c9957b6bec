package e2etest

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// LogsFaultOnce waits until the log has the end of a database fault. The start of the fault must be logged once with
// its cause. No warning or error may repeat after that.
func (ts *Service) LogsFaultOnce(t *testing.T, begin, end, cause string) {
	t.Helper()
	Eventually(t, "the end to be logged", func() bool { return strings.Contains(ts.Log.String(), end) })
	_, during, found := strings.Cut(ts.Log.String(), begin)
	during, _, _ = strings.Cut(during, end)
	if first, _, _ := strings.Cut(during, "\n"); !found || !strings.Contains(first, cause) {
		t.Errorf("the beginning of the fault says %q, want the cause %q", first, cause)
	}
	lines := map[string]int{}
	for _, m := range faultLine.FindAllStringSubmatch(during, -1) {
		lines[m[1]]++
	}
	for message, n := range lines {
		if n > 1 {
			t.Errorf("%d lines say %s, want one", n, message)
		}
	}
	if n := lines[strconv.Quote(begin)]; n != 0 {
		t.Errorf("%d more lines begin the fault", n)
	}
}

// faultLine finds the messages of warnings and errors in a log.
var faultLine = regexp.MustCompile(`level=(?:WARN|ERROR) msg=("(?:[^"\\]|\\.)*"|\S+)`)
