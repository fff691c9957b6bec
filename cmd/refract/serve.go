package main

import (
	"context"
	"errors"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/refract-video/refract/internal/cli"
	"github.com/refract-video/refract/internal/server"
)

// gcPercent makes the garbage collector run twice as often as by default: what idle streams hold is long-lived, and with
// a hundred thousand of them the default would let as much garbage again pile up beside it. GOGC overrides it.
const gcPercent = 50

// ballast is memory that is never touched, so that it takes no room, and that the collector counts: without many streams
// the heap is so small that it would collect after every few thousand calls, for a fifth of the processor.
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
	return errors.Join(s.Run(ctx), s.Close(context.WithoutCancel(ctx)))
}
