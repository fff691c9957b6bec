package pglocal

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

const (
	// outputDelay bounds the wait for output of grandchildren that outlive the child.
	outputDelay = 5 * time.Second
	// immediateLimit is what an immediate shutdown may take: PostgreSQL itself kills its children after five seconds.
	immediateLimit = 8 * time.Second
)

// process is a started child. One goroutine waits for it and ends with it.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the child is gone
	err  error         // how it ended; valid once done is closed
}

// startProcess forks from a goroutine that keeps its OS thread until the child is gone: the signal that Linux sends when
// "the parent" dies is in truth sent when the forking thread does.
func startProcess(cmd *exec.Cmd) (*process, error) {
	cmd.WaitDelay = outputDelay
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(cmd.Path), err)
	}
	return p, nil
}

// runProcess runs a short child to its end, or kills it when ctx ends.
func runProcess(ctx context.Context, cmd *exec.Cmd, output *logTail) error {
	p, err := startProcess(cmd)
	if err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("run %s: %w", filepath.Base(cmd.Path), ctx.Err())
	}
	if p.err != nil {
		return fmt.Errorf("run %s: %w", filepath.Base(cmd.Path), p.exit(output))
	}
	return nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// exit returns how the process ended, with the end of its output. It may be called once done is closed.
func (p *process) exit(output *logTail) error {
	err := p.err
	if err == nil {
		err = errors.New("exit status 0")
	}
	return fmt.Errorf("%w%s", err, output)
}

// stop ends a PostgreSQL server: fast shutdown, and when ctx ends an immediate one. It returns when the process is gone.
func (p *process) stop(ctx context.Context) error {
	// Signalling a process that is gone already is no error here: the result is what counts.
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-p.done: // both were true
		return nil
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-p.done:
	case <-time.After(immediateLimit):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	return fmt.Errorf("stop postgres in an orderly way, now left to recovery at the next start: %w", ctx.Err())
}
