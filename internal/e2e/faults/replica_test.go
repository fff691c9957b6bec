package faults_test

import (
	"bufio"
	"cmp"
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

// replica is one member of the fleet: a process that is restarted repeatedly, with a permanent link to the database and
// a permanent log.
type replica struct {
	fleet    *fleet
	name     string
	program  string // Empty means that of this release.
	link     *link  // To the database.
	provider *link
	args     []string // In addition to those of the fleet.
	log      string   // Of all its processes.
	clock    string   // The file in which they read the offset of their clock.

	mu      sync.Mutex
	process *process // Nil while none runs.
}

// process is one process of a replica.
type process struct {
	cmd           *exec.Cmd
	grpc, ingress string
	serving       chan struct{} // Closed once it serves.
	ended         chan struct{} // Closed when it has ended with err.
	err           error
}

// errNoStart means that a process ended before it served, for example because the database is unreachable.
var errNoStart = errors.New("the process ended before it served")

// start starts a process and waits until it serves.
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

// bury removes a process that ended by itself. A process may do so only while it starts, when the database is
// unreachable.
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

// gone reports whether the process has ended.
func (p *process) gone() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// launch starts a process, and a goroutine that reads its log to the end.
func (r *replica) launch(ctx context.Context) (*process, error) {
	log, err := os.OpenFile(r.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p := &process{
		cmd:     exec.CommandContext(context.WithoutCancel(ctx), cmp.Or(r.program, built), slices.Concat([]string{"serve", "--probe=off"}, r.databaseArgs(), r.args, r.fleet.args)...),
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

// databaseArgs returns the flags that lead to the database.
func (r *replica) databaseArgs() []string {
	if r.fleet.cfg.pooler == "" {
		return []string{"--database-url=" + r.link.url}
	}
	return []string{"--database-url=" + r.fleet.cfg.pooler, "--database-direct-url=" + r.link.url}
}

// stop sends a signal, waits until the process has ended, and returns its error.
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

// runs reports whether a process runs.
func (r *replica) runs() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process != nil && !r.process.gone()
}

// kill kills the process.
func (r *replica) kill() {
	_ = r.stop(syscall.SIGKILL)
	r.fleet.done.add("kills", 1)
}
