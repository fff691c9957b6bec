package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/refract-video/refract/internal/cli"
	"github.com/refract-video/refract/internal/server"
)

// gcPercent makes the garbage collector run twice as often as by default. What idle streams hold lives long: with a hundred
// thousand of them, the default would let the heap grow to twice that size. GOGC overrides it.
const gcPercent = 50

// ballast is memory that is never touched, so that it is never resident, but the collector counts it. Without it, and with few
// streams, the heap is so small that a collection would follow every few thousand calls and take a fifth of the processor.
const ballast = 64 << 20

// serveCmd runs the service.
type serveCmd struct {
	server.Config
}

// Run serves until ctx ends, then drains.
func (c *serveCmd) Run(ctx context.Context, con cli.Console) error {
	c.Complete()
	if err := c.Check(); err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
		defer runtime.KeepAlive(make([]byte, ballast))
	}
	log, err := server.NewLogger(con.Err, c.LogFormat, c.LogLevel)
	if err != nil {
		return err
	}
	s, err := server.New(ctx, c.Config, log)
	if err != nil {
		return err
	}
	log.InfoContext(ctx, "serving", "config", c.Config, "grpc", s.GRPCAddr(),
		"http", s.HTTPAddr(), "ingress", s.IngressAddr())
	defer c.reloadOnHangup(ctx, s)()
	return errors.Join(s.Run(ctx), s.Close(context.WithoutCancel(ctx)))
}

// reloadOnHangup has the service read its catalog again on each SIGHUP, until stop is called.
func (*serveCmd) reloadOnHangup(ctx context.Context, s *server.Server) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range hangups {
			s.ReloadCatalog(ctx)
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(hangups)
		<-ended
	}
}
