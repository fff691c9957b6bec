package cli

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/clienttest"
)

func TestProgress_ShowsEveryChangeOnceWithoutATerminal(t *testing.T) {
	t.Parallel()
	p, out := plain()
	p.task(clienttest.NewTask(2, clienttest.Submitting))
	p.event(clienttest.NewEvent(2, clienttest.Submitting, "shown as part of the task"))
	p.event(clienttest.NewEvent(3, clienttest.Running, "kie accepted\nattempt 1\x1b[31m"))
	p.event(clienttest.NewEvent(3, clienttest.Running, "a second time"))
	p.event(&refractv1.TaskEvent{Revision: 4, State: clienttest.Succeeded, Message: "1 output saved", CreateTime: timestamppb.New(clienttest.CreateTime.Add(125 * time.Second))})
	p.downloading(1, 2)
	p.done()
	p.done()
	want := `     +1.0s  SUBMITTING  revision 2
     +2.0s  RUNNING     kie accepted attempt 1 [31m
    +2m05s  SUCCEEDED   1 output saved
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// liveProgress is a display as on a terminal. It belongs into a synctest bubble, whose clock it follows.
func liveProgress(t *testing.T) (*progress, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	p := &progress{out: &out, live: true, stop: make(chan struct{}), ended: make(chan struct{})}
	go p.redraw()
	return p, &out
}

// lastDrawn is the newest live line.
func lastDrawn(p *progress, out *bytes.Buffer) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := out.String()
	return all[strings.LastIndex(all, "\r")+1:]
}

func TestProgress_KeepsChangesAboveTheLiveLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, out := liveProgress(t)
		task := clienttest.NewTask(1, clienttest.Queued)
		task.CreateTime, task.UpdateTime = timestamppb.Now(), timestamppb.Now()
		p.expect(task)
		change := func(revision int64, state refractv1.TaskState) {
			p.event(&refractv1.TaskEvent{Revision: revision, State: state, Message: "a change", CreateTime: timestamppb.Now()})
		}
		wait := func(d time.Duration) string {
			<-time.After(d + redrawEvery)
			synctest.Wait()
			return lastDrawn(p, out)
		}
		change(1, clienttest.Queued)
		if got := wait(3 * time.Second); !strings.Contains(got, "QUEUED     3s") || !strings.Contains(got, " 0%") {
			t.Errorf("queued: %q", got)
		}
		change(2, clienttest.Submitting)
		wait(10 * time.Second)
		change(3, clienttest.Running)
		if got := wait(20 * time.Second); !strings.Contains(got, "RUNNING    30s of about 1m0s") || !strings.Contains(got, "50%") {
			t.Errorf("half of the typical duration: %q", got)
		}
		if got := wait(time.Hour); !strings.Contains(got, "99%") {
			t.Errorf("long after the typical duration: %q", got)
		}
		change(4, clienttest.Succeeded)
		wait(time.Second)
		p.downloading(500, 1000)
		if got := lastDrawn(p, out); !strings.Contains(got, "downloading  50%") {
			t.Errorf("half of a download: %q", got)
		}
		p.transferred()
		p.done()
		all := out.String()
		for _, state := range []string{"QUEUED", "SUBMITTING", "RUNNING", "SUCCEEDED"} {
			if n := strings.Count(all, state+strings.Repeat(" ", 12-len(state))+"a change\n"); n != 1 {
				t.Errorf("%s has %d lines", state, n)
			}
		}
		if strings.Contains(all, "100%") || !strings.HasSuffix(all, "\x1b[2K\r") {
			t.Errorf("the live line stayed: %q", all[max(0, len(all)-80):])
		}
	})
}

func TestProgress_TakesWhatIsNoTerminalForPlain(t *testing.T) {
	t.Parallel()
	if interactive(&bytes.Buffer{}) {
		t.Error("a buffer was taken for a terminal")
	}
}

func TestClock_ReadsLikeAStopwatch(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "+0.0s", 0: "+0.0s", 849 * time.Millisecond: "+0.8s", 59990 * time.Millisecond: "+59.9s",
		time.Minute: "+1m00s", time.Hour + 5*time.Second: "+60m05s",
	} {
		if got := clock(d); got != want {
			t.Errorf("clock(%s) = %s, want %s", d, got, want)
		}
	}
}

// plain returns a display that is no terminal, and where it writes.
func plain() (*progress, *bytes.Buffer) {
	var out bytes.Buffer
	return newProgress(Console{Out: &out, Err: &out}), &out
}
