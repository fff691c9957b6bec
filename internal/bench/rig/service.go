package rig

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// service is a service in a process of its own: what drives the load must not share its scheduler.
type service struct {
	cmd                 *exec.Cmd
	grpc, http, ingress string
	ended               chan error
}

// noProvider is an address without a listener, so that nothing but the service itself is measured.
const noProvider = "http://127.0.0.1:1"

// serve starts a service on the rig's database whose provider is at a URL.
func (r *rig) serve(ctx context.Context, providerURL string) (*service, error) {
	return r.startService(ctx, []string{
		"DATABASE_URL=" + r.url, "REFRACT_CALLBACK_KEY=" + r.key, "KIE_API_KEY=bench", "KIE_WEBHOOK_KEY=" + r.signingKey,
		"KIE_URL=" + providerURL, "KIE_LIMIT=100000/1s/1000000",
	}, "--bucket=file://"+filepath.ToSlash(filepath.Join(r.dir, "bucket")))
}

// startService starts a service with an environment and flags, and returns when it serves. What it logs at error
// goes to the console.
func (r *rig) startService(ctx context.Context, env []string, flags ...string) (*service, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the program to start: %w", err)
	}
	cmd := exec.CommandContext(ctx, program, append([]string{ //nolint:gosec // This program.
		"serve", "--allow-private", "--grpc-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--ingress-address=127.0.0.1:0",
	}, flags...)...)
	cmd.Env = append(environment(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	log, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the service: %w", err)
	}
	s := &service{cmd: cmd, ended: make(chan error, 1)}
	serving := make(chan error, 1)
	go func() {
		s.read(log, r.errs, serving)
		s.ended <- cmd.Wait()
	}()
	if err := <-serving; err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// environment returns the environment of this process without what configures a service or its runtime. The measured service must
// not use the database and the providers of its operator.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		for _, prefix := range []string{"DATABASE_URL=", "REFRACT_", "KIE_", "LUMA_", "GOGC=", "GOMEMLIMIT=", "GOMAXPROCS=", "GODEBUG=", "OTEL_", "PG"} {
			if strings.HasPrefix(variable, prefix) && !strings.HasPrefix(variable, "REFRACT_TEST_") {
				return true
			}
		}
		return false
	})
}

// read reads the log of the service until it ends, and says when it serves.
func (s *service) read(log io.Reader, errs io.Writer, serving chan<- error) {
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			Level, Msg, GRPC, HTTP, Ingress string
		}
		switch err := json.Unmarshal(lines.Bytes(), &line); {
		case err != nil || strings.EqualFold(line.Level, "error"):
			_, _ = fmt.Fprintln(errs, lines.Text())
		case line.Msg == "serving":
			s.grpc, s.http, s.ingress = line.GRPC, line.HTTP, line.Ingress
			serving <- nil
		}
	}
	select {
	case serving <- errors.New("the service ended before it served"):
	default:
	}
}

// terminate asks the service to end and does not wait for it.
func (s *service) terminate() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// stop stops the service and waits for its end.
func (s *service) stop() error { return errors.Join(s.terminate(), <-s.ended) }
