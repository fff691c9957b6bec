package e2etest

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"sync"
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

// LogBuffer collects a service's log.
type LogBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *LogBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *LogBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Check fails the test when the log contains a secret or a stack trace.
func (l *LogBuffer) Check(t *testing.T, secrets ...string) {
	t.Helper()
	text := l.String()
	for _, s := range append(secrets, APIKey, WebhookKey, "/v1/callbacks/kie/", "goroutine ") {
		if strings.Contains(text, s) {
			t.Errorf("the log holds %q:\n%s", s, text)
		}
	}
}
