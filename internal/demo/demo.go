// Package demo shows the whole system on one machine: a simulated provider, a private PostgreSQL and the service.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/refract-video/refract/client"
	"github.com/refract-video/refract/internal/cli"
	"github.com/refract-video/refract/internal/pglocal"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/fal"
	"github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/sim/profiles"
)

// processing is the duration of a simulated generation.
const processing = 3 * time.Second

// tenant is who submits the clip.
const tenant = "demo"

// Demo is a command that runs the whole system on this machine and modifies one clip.
type Demo struct {
	Video    string `type:"existingfile" help:"Clip to modify: MP4 or MOV, at most 500 MB. Default: a clip of four seconds that comes with Refract."`
	Provider string `default:"kie" help:"Provider to simulate: kie, luma, luma-agents or fal."`
	Model    string `placeholder:"NAME" help:"Model to ask for, such as luma/ray-2-modify. Default: the provider's."`
	Prompt   string `default:"A neon city at dusk, in the rain" help:"Description of the change."`
	Output   string `short:"o" type:"path" help:"File to save the result as. Default: refract-output/<task id>.mp4."`
	Log      bool   `help:"Show the service's log."`
	Keep     bool   `help:"Keep everything running after the clip is done, until Ctrl-C, and print a link that signs in to the console."`
}

// Run starts a simulated provider, PostgreSQL and the service, all private and on loopback, submits one task and follows
// it to its saved file. At the end, or with Keep when ctx ends, it stops everything, and removes everything but that file.
func (d *Demo) Run(ctx context.Context, con cli.Console) (err error) {
	dir, err := pglocal.TempDir("refract-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	log, startLog, err := d.logs(con)
	if err != nil {
		return err
	}
	key, signingKey := uuid.NewString(), uuid.NewString()
	provider, err := sim.Start(sim.Config{ //nolint:contextcheck // It lives until Close, not as long as a call.
		APIKeys: []string{key}, Processing: processing,
		Source: sim.SourceFetch, Transform: sim.TransformAuto, Logger: log,
	}, profiles.Set{Kie: kie.Profile{WebhookKey: signingKey}}.List()...)
	if err != nil {
		return fmt.Errorf("start the simulated provider: %w", err)
	}
	defer func() { err = errors.Join(err, provider.Close()) }()
	flags := server.Config{
		DataDir: dir, Auth: "none", Tenant: tenant, StartLog: startLog, AllowPrivate: true, PublicSources: true,
		GRPC: server.Listener{Address: "127.0.0.1:0"}, HTTP: server.Listener{Address: "127.0.0.1:0"}, Ingress: server.Listener{Address: "127.0.0.1:0"},
	}
	if d.Keep {
		flags.Auth = "tokens" // The console shows its pages as people see them who sign in.
	}
	if err := flags.Configure(d.Provider, server.Upstream{
		APIKeys: []redact.Secret{redact.Secret(key)}, WebhookKeys: []redact.Secret{redact.Secret(signingKey)},
		URL: provider.BaseURL(d.Provider), Typical: processing + 2*time.Second, Poll: time.Second,
	}); err != nil {
		return err
	}
	flags.Fal.RestURL = provider.URL() + fal.RestPath
	if err := say(con, "Starting PostgreSQL, a simulated provider and Refract on this machine …"); err != nil {
		return err
	}
	s, err := server.New(ctx, flags, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(context.WithoutCancel(ctx))) }()
	if err := say(con, "gRPC %s, REST %s, callbacks %s, provider %s", s.GRPCAddr(), s.HTTPAddr(),
		s.IngressAddr(), provider.URL()); err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	g, running := errgroup.WithContext(running)
	g.Go(func() error { return s.Run(running) })
	g.Go(func() error {
		defer stop()
		return d.act(running, con, s)
	})
	return g.Wait()
}

// logs returns the log of the service, and the log of the start of PostgreSQL. The second one is always visible: it shows
// what a slow start waits for.
func (d *Demo) logs(con cli.Console) (service, start *slog.Logger, err error) {
	if d.Log {
		service, err = server.NewLogger(con.Err, "text", "debug")
		return service, service, err
	}
	if start, err = server.NewLogger(con.Err, "text", "info"); err != nil {
		return nil, nil, err
	}
	service, err = server.NewLogger(io.Discard, "text", "error")
	return service, start, err
}

// act modifies the clip. With Keep it then shows the way to the console, and waits for the end of ctx.
func (d *Demo) act(ctx context.Context, con cli.Console, s *server.Server) error {
	var token string
	if d.Keep {
		var err error
		if token, err = s.CreateToken(ctx, tenant); err != nil {
			return fmt.Errorf("create a token for the demo: %w", err)
		}
	}
	if err := d.modify(ctx, con, s.GRPCAddr(), token); err != nil || !d.Keep {
		return err
	}
	link, err := s.ConsoleLink(ctx, tenant, true)
	if err != nil {
		return fmt.Errorf("make a login link: %w", err)
	}
	if err := say(con, "\nThe console, which this link opens once, within ten minutes:\n  %s\nREFRACT_TOKEN=%s\nREFRACT_ADDRESS=%s\nPress Ctrl-C to stop and remove everything but the file.",
		link, token, s.GRPCAddr()); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// modify acts as a client: it uploads, submits, follows and downloads.
func (d *Demo) modify(ctx context.Context, con cli.Console, address, token string) error {
	service, err := client.Dial(address, client.WithToken(token), client.WithDialOptions(grpc.WithDefaultCallOptions(grpc.WaitForReady(true))))
	if err != nil {
		return fmt.Errorf("connect to the service: %w", err)
	}
	defer func() { _ = service.Close() }() // No call is in progress any more.
	err = cli.Modify(ctx, con, service, cli.Modification{
		Clip: sim.SampleClip(), Video: d.Video, Model: d.Model, Prompt: d.Prompt, Output: d.Output,
	})
	if ctx.Err() != nil {
		return errors.New("the demo was stopped")
	}
	return err
}

func say(con cli.Console, format string, args ...any) error {
	_, err := fmt.Fprintf(con.Out, format+"\n", args...)
	return err
}
