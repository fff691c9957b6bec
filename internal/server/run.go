package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// drainTimeout bounds a stop: a submission under way takes up to 30 seconds, and its answer is worth money.
const drainTimeout = 45 * time.Second

// closeTimeout bounds the release of what New opened.
const closeTimeout = 20 * time.Second

// Run runs all parts until ctx ends or a part fails. Then it drains.
func (s *Server) Run(ctx context.Context) error {
	listening, stopListening := context.WithCancel(context.WithoutCancel(ctx)) // Until the last stream has ended.
	defer stopListening()
	s.state.Notify(s.ready.databaseChanged, s.failed)
	g, ctx := errgroup.WithContext(ctx)
	if s.queue != nil {
		if err := s.queue.Start(context.WithoutCancel(ctx)); err != nil { // Stop ends it, so that jobs under way finish.
			return err
		}
	}
	s.ready.setReadable(true) // Before the hub, which takes it back when it can't read the log.
	for _, run := range s.working {
		g.Go(func() error { return run(ctx) })
	}
	for _, run := range s.listening {
		g.Go(func() error { return run(listening) })
	}
	s.surfaces.serve(g)
	g.Go(func() error {
		<-ctx.Done()
		defer stopListening()
		return s.drain(context.WithoutCancel(ctx))
	})
	return g.Wait()
}

// drain stops the parts in the order in which they depend on each other, with one deadline for all: no new work arrives, watchers
// resume elsewhere, calls and jobs under way finish.
func (s *Server) drain(ctx context.Context) error {
	s.log.InfoContext(ctx, "draining")
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	s.ready.health.Shutdown()
	for _, cut := range s.cutting {
		cut()
	}
	var g errgroup.Group
	if s.queue != nil {
		g.Go(func() error { return s.queue.Stop(ctx) })
	}
	g.Go(func() error { return s.surfaces.shutdownHTTP(ctx) }) // Before gRPC, which carries REST.
	err := g.Wait()
	s.surfaces.stopGRPC(ctx)
	if err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	s.log.InfoContext(ctx, "drained")
	return nil
}

// Close releases what New opened, the last first.
func (s *Server) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	var errs []error
	for _, release := range slices.Backward(s.closers) {
		errs = append(errs, release(ctx))
	}
	return errors.Join(errs...)
}

// GRPCAddr returns the address of the listener for gRPC, or "" without the role api.
func (s *Server) GRPCAddr() string { return addressOf(s.surfaces.grpc) }

// HTTPAddr returns the address of the listener for REST and health.
func (s *Server) HTTPAddr() string { return addressOf(s.surfaces.http) }

// IngressAddr returns the address of the listener for callbacks of providers, or "" without the role ingress.
func (s *Server) IngressAddr() string { return addressOf(s.surfaces.ingress) }

func addressOf(l net.Listener) string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}
