package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/cli"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/sim/profiles"
)

// simCmd runs the provider simulator.
type simCmd struct {
	Address    string        `default:"127.0.0.1:8090" help:"Address to listen on."`
	APIKey     []string      `name:"api-key" env:"REFRACT_SIM_API_KEY" help:"API keys to accept. Default: any."`
	WebhookKey string        `name:"webhook-key" env:"REFRACT_SIM_WEBHOOK_KEY" help:"Key to sign callbacks with. Default: they are not signed."`
	Processing time.Duration `default:"5s" help:"How long a modification takes, before ffmpeg's own time."`
	Ledger     string        `type:"path" help:"File to keep the ledger of submissions in."`
	Errors     string        `enum:"body,status,both" default:"body" help:"Where errors stand: in the body under HTTP 200, in the HTTP status, or both."`
	LogLevel   string        `enum:"debug,info,warn,error" default:"info" help:"Least level that is logged."`
}

// Run simulates until ctx ends.
func (c *simCmd) Run(ctx context.Context, con cli.Console) error {
	log, err := server.NewLogger(con.Err, "text", c.LogLevel)
	if err != nil {
		return err
	}
	cfg := sim.Config{
		Addr: c.Address, APIKeys: c.APIKey, Processing: c.Processing, LedgerPath: c.Ledger,
		Source: sim.SourceFetch, Transform: sim.TransformAuto, Logger: log,
	}
	all := profiles.Set{Kie: kie.Profile{WebhookKey: c.WebhookKey, Errors: kie.ErrorTransport(c.Errors)}}
	s, err := sim.Start(cfg, all.List()...) //nolint:contextcheck // It lives until Close; Run has the context.
	if err != nil {
		return err
	}
	var apis []string
	for _, name := range s.Profiles() {
		apis = append(apis, name+" at "+s.BaseURL(name))
	}
	if _, err := fmt.Fprintf(con.Out, "simulated %s; ledger at %s/sim/ledger\n", strings.Join(apis, ", "), s.URL()); err != nil {
		return err
	}
	return s.Run(ctx)
}
