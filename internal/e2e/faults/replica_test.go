package faults_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// replica is one place of the fleet: a process that is started again and again, with a link to the database and a
// log that last.
type replica struct {
	fleet    *fleet
	name     string
	link     *link // To the database.
	provider *link
	args     []string // Beside those of the fleet.
	log      string   // Of all its processes.
	clock    string   // The file in which they find how far their clock is off.

	mu      sync.Mutex
	process *process // Nil while none runs.
}

// process is one life of a replica.
type process struct {
	cmd           *exec.Cmd
	grpc, ingress string
	serving       chan struct{} // Closed once it serves.
	ended         chan struct{} // Closed when it is gone, and err is how.
	err           error
}

// errNoStart means that a process ended before it served, as it does when the database is away.
var errNoStart = errors.New("the process ended before it served")

// start runs a process until it serves.
func (r *replica) start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process != nil && !r.process.gone() {
		return nil
	}
	r.bury()
	p, err := r.launch(ctx)
	if err != nil {
		return err
	}
	select {
	case <-p.serving:
	case <-p.ended:
		return fmt.Errorf("start %s: %w: %w", r.name, errNoStart, p.err)
	case <-time.After(hung):
		_ = p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("start %s: it does not serve within %v", r.name, hung)
	}
	r.process = p
	r.fleet.grpc.set(p.grpc, true)
	r.fleet.ingress.set(p.ingress, true)
	r.fleet.done.add("starts", 1)
	return nil
}

// bury forgets a process that ended by itself. It may do so while it starts, when the database goes away, and at no
// other time.
func (r *replica) bury() {
	p := r.process
	if p == nil {
		return
	}
	r.process = nil
	r.fleet.grpc.set(p.grpc, false)
	r.fleet.ingress.set(p.ingress, false)
	r.fleet.done.add("ends while starting", 1)
	if log, err := os.ReadFile(r.log); err != nil || !strings.Contains(string(log[strings.LastIndex(strings.TrimSpace(string(log)), "\n")+1:]), "start the job queue") {
		r.fleet.t.Errorf("%s ended by itself: %v", r.name, p.err)
	}
}

// gone tells whether the process has ended.
func (p *process) gone() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// launch starts a process and one goroutine that reads its log until it is gone.
func (r *replica) launch(ctx context.Context) (*process, error) {
	log, err := os.OpenFile(r.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p := &process{
		cmd:     exec.CommandContext(context.WithoutCancel(ctx), built, append([]string{"serve", "--probe=off", "--database-url=" + r.link.url}, slices.Concat(r.args, r.fleet.args)...)...),
		serving: make(chan struct{}), ended: make(chan struct{}),
	}
	p.cmd.Env = append(append(os.Environ(), r.fleet.env...), clockVariable+"="+r.clock)
	stderr, err := p.cmd.StderrPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	r.fleet.work.Go(func() {
		defer close(p.ended)
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			_, _ = log.Write(append(lines.Bytes(), '\n'))
			var line struct{ Msg, GRPC, Ingress string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
				p.grpc, p.ingress = line.GRPC, line.Ingress
				close(p.serving)
			}
		}
		p.err = errors.Join(lines.Err(), p.cmd.Wait(), log.Close())
	})
	return p, nil
}

// stop sends a signal and returns when the process is gone, with what it ended with.
func (r *replica) stop(signal syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.process
	if p == nil {
		return nil
	}
	if p.gone() {
		r.bury()
		return nil
	}
	r.process = nil
	_ = p.cmd.Process.Signal(signal)
	<-p.ended
	r.fleet.grpc.set(p.grpc, false)
	r.fleet.ingress.set(p.ingress, false)
	return p.err
}

// runs tells whether a process runs.
func (r *replica) runs() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process != nil && !r.process.gone()
}

// kill ends the process without a word.
func (r *replica) kill() {
	_ = r.stop(syscall.SIGKILL)
	r.fleet.done.add("kills", 1)
}
