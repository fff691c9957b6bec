package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// progress shows how a task gets on. Every change is a line that stays; a terminal has a live line below them.
// It may be used concurrently.
type progress struct {
	out  io.Writer
	live bool

	mu       sync.Mutex
	revision int64     // The newest one shown.
	created  time.Time // When the task was submitted, by the service's clock.
	state    refractv1.TaskState
	since    time.Time     // When the state began, or in SUBMITTING and RUNNING the attempt.
	typical  time.Duration // What an attempt usually takes; 0 when that is not known.
	bar      *progressbar.ProgressBar
	bytes    bool // Whether the bar counts the bytes of a download or an upload.

	stop   chan struct{} // Ends the redrawing; nil when nothing is redrawn.
	ended  chan struct{}
	ending sync.Once
}

// redrawEvery is how often the live line is brought up to date.
const redrawEvery = 250 * time.Millisecond

// newProgress returns a display on con.Out: a live line on a terminal, and plain lines alone elsewhere, where
// NO_COLOR is set, or on a dumb terminal. It must be ended with done.
func newProgress(con Console) *progress {
	p := &progress{out: con.Out, live: interactive(con.Out)}
	if p.live {
		p.stop, p.ended = make(chan struct{}), make(chan struct{})
		go p.redraw()
	}
	return p
}

// interactive reports whether a live line can be drawn.
func interactive(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

// expect sets what is known of the task before its first line is shown.
func (p *progress) expect(t *refractv1.Task) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.learn(t)
}

// task shows the task as it is. Events up to its revision are not shown any more.
func (p *progress) task(t *refractv1.Task) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.GetRevision() <= p.revision {
		return
	}
	p.learn(t)
	p.revision = t.GetRevision()
	message := fmt.Sprintf("revision %d", t.GetRevision())
	if n := t.GetAttempt().GetNumber(); n > 0 {
		message = fmt.Sprintf("attempt %d, %s", n, message)
	}
	p.change(t.GetUpdateTime().AsTime(), t.GetState(), message)
}

// event shows a change, unless it was shown before.
func (p *progress) event(e *refractv1.TaskEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.GetRevision() <= p.revision {
		return
	}
	p.revision = e.GetRevision()
	at := e.GetCreateTime().AsTime()
	p.enter(e.GetState(), at)
	p.change(at, e.GetState(), e.GetMessage())
}

// show shows a message of a watch.
func (p *progress) show(u *refractv1.WatchTaskResponse) error {
	if t := u.GetTask(); t != nil {
		p.task(t)
	}
	if e := u.GetEvent(); e != nil {
		p.event(e)
	}
	return nil
}

// note shows a remark that is no change of the task.
func (p *progress) note(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line("", "", text)
}

// done removes the live line and ends the display.
func (p *progress) done() {
	p.ending.Do(func() {
		if p.stop != nil {
			close(p.stop)
			<-p.ended
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.clear()
		p.live = false
	})
}

// learn takes from a task what the live line needs.
func (p *progress) learn(t *refractv1.Task) {
	p.created = t.GetCreateTime().AsTime()
	p.typical = t.GetTypicalDuration().AsDuration()
	p.enter(t.GetState(), t.GetUpdateTime().AsTime())
	if working(p.state) && t.GetAttempt() != nil {
		p.since = t.GetAttempt().GetCreateTime().AsTime()
	}
}

// enter notes a state and since when it lasts. SUBMITTING and RUNNING are one stretch of time: the attempt.
func (p *progress) enter(state refractv1.TaskState, at time.Time) {
	if !working(p.state) || !working(state) {
		p.since = at
	}
	p.state = state
}

func working(s refractv1.TaskState) bool {
	return s == refractv1.TaskState_TASK_STATE_SUBMITTING || s == refractv1.TaskState_TASK_STATE_RUNNING
}

// change writes the line of a change.
func (p *progress) change(at time.Time, state refractv1.TaskState, message string) {
	if p.created.IsZero() {
		p.created = at
	}
	p.line(clock(at.Sub(p.created)), stateName(state), message)
}

// line writes a line that stays, above the live one.
func (p *progress) line(when, state, message string) {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	// Where progress can't be shown the task still goes on.
	_, _ = fmt.Fprintf(p.out, "  %8s  %-10s  %s\n", when, state, OneLine(message))
}

// clock is a duration as a person counts it: +0.8s, +12.3s, +2m05s.
func clock(d time.Duration) string {
	if d = max(d, 0); d < time.Minute {
		return fmt.Sprintf("+%.1fs", d.Truncate(100*time.Millisecond).Seconds())
	}
	return fmt.Sprintf("+%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
}
