package output

import (
	"context"
	"net/url"
	"time"

	"github.com/riverqueue/river"

	"github.com/refract-video/refract/internal/fair"
	"github.com/refract-video/refract/internal/task"
)

const (
	// savesAtOnce is how many attempts one replica saves at a time, and downloadsAtOnce how many results it downloads. One
	// tenant has half of the places at most, and of those one host or account half: eight, which is what a small machine can
	// stream.
	savesAtOnce     = 32
	downloadsAtOnce = 32
	// savesWaiting is how many saves wait for a place. The queue takes up a few more jobs than that, so that it finds those of
	// tenants that have none.
	savesWaiting = 256
	saveWorkers  = savesAtOnce + savesWaiting + 8
	// turnTimeout bounds the wait for a place. A save without one waits again a little later, maybe at another replica. It loses
	// no turn, since the age of its links decides.
	turnTimeout = time.Minute
	// minTurnPause and maxTurnPause are the pauses before a save waits for a place again, a tenth of its age.
	minTurnPause = time.Second
	maxTurnPause = time.Minute
)

// turn waits until a save may begin. Without a place in time the job is put off, which does not count as a try.
func (s *Saver) turn(ctx context.Context, job *river.Job[task.SaveOutputs], t task.Task, a task.Attempt) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	defer context.AfterFunc(s.running, cancel)() //nolint:contextcheck // It ends with the job, and when saves are cut.
	leave, err = s.gate.Acquire(ctx, fair.Claim{Tenant: t.Tenant, Host: a.Account, Due: s.linksEnd(a)})
	if err != nil {
		return nil, river.JobSnooze(min(max(s.Now().Sub(job.CreatedAt)/10, minTurnPause), maxTurnPause))
	}
	return leave, nil
}

// linksEnd is when the links to the results of an attempt may end at the earliest.
func (s *Saver) linksEnd(a task.Attempt) time.Time {
	u, err := s.Accounts.Of(a.Account)
	if err != nil {
		return a.CreateTime
	}
	return a.CreateTime.Add(u.Capabilities().LinkLifetime)
}

// hostOf is the host of a link.
func hostOf(link string) string {
	u, err := url.Parse(link)
	if err != nil {
		return link // Its download fails at once.
	}
	return u.Host
}
