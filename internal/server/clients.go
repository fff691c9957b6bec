package server

import (
	"context"
	"fmt"
	"net/http"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/task"
)

// clients fetch files that other parties name. The SSRF guard is in both.
type clients struct {
	guard   media.Guard // Of requests to URLs of tenants, to whom --fetch-allow opens nothing.
	results *http.Client
	sources *http.Client // For sources of tenants.
}

func newClients(f Config) (clients, error) {
	allowed, err := media.ParseAllowed(f.FetchAllow)
	if err != nil {
		return clients{}, fmt.Errorf("--fetch-allow: %w", err)
	}
	guard := media.Guard{AllowPrivate: f.AllowPrivate, StallTimeout: f.Tuning.Patience, Resolver: f.Tuning.Resolver, Roots: f.Tuning.Roots}
	c := clients{guard: guard, sources: media.NewClient(guard)}
	if f.Tuning.WrapProber != nil {
		c.sources.Transport = f.Tuning.WrapProber(c.sources.Transport)
	}
	guard.Allow = allowed
	c.results = media.NewClient(guard)
	return c, nil
}

// probe returns what looks at a source before an attempt is paid for. It is nil where that is switched off.
func (c clients) probe(f Config) func(ctx context.Context, uri string) (task.Clip, error) {
	if f.Probe == "off" {
		return nil
	}
	return (&media.Prober{Client: c.sources, Timeout: f.Tuning.Look}).Probe
}

// close closes idle connections.
func (c clients) close(context.Context) error {
	c.results.CloseIdleConnections()
	c.sources.CloseIdleConnections()
	return nil
}
