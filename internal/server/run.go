package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/refract-video/refract/internal/dispatch"
	"github.com/refract-video/refract/internal/postgres"
)

// drainTimeout bounds a stop: a submission under way takes up to 30 seconds, and its answer is worth money.
const drainTimeout = 45 * time.Second

// Run does everything that goes on at the same time, until ctx ends or a part fails; then it drains.
func (s *Server) Run(ctx context.Context) error {
	listening, stopListening := context.WithCancel(context.WithoutCancel(ctx)) // Until the last stream has ended.
	defer stopListening()
	if err := s.observeDatabase(); err != nil { //nolint:contextcheck // What fails is not a call of ours alone.
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	if err := s.queue.Start(context.WithoutCancel(ctx)); err != nil { // Stop ends it, so that jobs under way finish.
		return fmt.Errorf("start the job queue: %w", err)
	}
	s.setReadable(true) // Before the hub, which takes it back when it can't read the log.
	g.Go(func() error { return s.storage.Run(ctx) })
	for _, l := range s.loops {
		g.Go(func() error { return l.Run(ctx) })
	}
	for _, c := range s.checkers {
		g.Go(func() error { return c.Run(ctx) })
	}
	g.Go(func() error { return s.preparer.Run(ctx) })
	g.Go(func() error { return dispatch.RunExpiry(ctx, s.verbs, s.log) })
	g.Go(func() error { return s.saver.RunSweep(ctx) })
	g.Go(func() error { return s.retainer.Run(ctx) })
	g.Go(func() error { return s.hub.Run(listening) })
	g.Go(func() error { return s.notifier.Run(listening) })
	g.Go(func() error {
		l := postgres.Listener{Pool: s.pool, Log: s.log, Replica: s.queue.ID(), Wake: s.hub.Wake, WakeAll: s.hub.WakeAll}
		return l.Run(listening)
	})
	g.Go(func() error {
		o := postgres.Orphans{Pool: s.pool, Log: s.log, Replica: s.queue.ID(), Working: s.jobs.Working, Timeouts: s.jobs.Timeouts()}
		return o.Run(ctx)
	})
	g.Go(func() error { return s.clock.Run(listening) })
	if s.keyring != nil {
		g.Go(func() error { return s.keyring.Run(listening) })
	}
	if s.cluster != nil {
		g.Go(func() error { return s.cluster.Wait(ctx) })
	}
	g.Go(func() error { return serveGRPC(s.inner, s.local) })
	g.Go(func() error { return serveGRPC(s.grpc, s.grpcListener) })
	g.Go(func() error { return serveHTTP(s.http, s.httpListener) })
	g.Go(func() error { return serveHTTP(s.ingress, s.ingressListener) })
	g.Go(func() error {
		<-ctx.Done()
		defer stopListening()
		return s.drain(context.WithoutCancel(ctx))
	})
	return g.Wait()
}

// drain stops in the order in which parts depend on each other, with one deadline for all: nobody sends us
// more, watchers resume elsewhere, calls and jobs under way finish.
func (s *Server) drain(ctx context.Context) error {
	s.log.InfoContext(ctx, "draining")
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	s.health.Shutdown()
	s.hub.Drain()
	s.uploads.Drain()
	s.saver.Cut()
	var g errgroup.Group
	g.Go(func() error { return s.queue.Stop(ctx) })
	g.Go(func() error { return s.ingress.Shutdown(ctx) })
	// REST goes before gRPC, which carries it.
	g.Go(func() error { return s.http.Shutdown(ctx) })
	err := g.Wait()
	var servers sync.WaitGroup
	servers.Go(func() { stopGRPC(ctx, s.grpc) })
	servers.Go(func() { stopGRPC(ctx, s.inner) })
	servers.Wait()
	if err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	s.log.InfoContext(ctx, "drained")
	return nil
}

// GRPCAddr returns the address of the listener for gRPC.
func (s *Server) GRPCAddr() string { return s.grpcListener.Addr().String() }

// HTTPAddr returns the address of the listener for REST.
func (s *Server) HTTPAddr() string { return s.httpListener.Addr().String() }

// IngressAddr returns the address of the listener for callbacks of providers.
func (s *Server) IngressAddr() string { return s.ingressListener.Addr().String() }

// stopGRPC lets calls finish until ctx ends, then ends them.
func stopGRPC(ctx context.Context, server *grpc.Server) {
	defer context.AfterFunc(ctx, server.Stop)()
	server.GracefulStop()
}

func serveGRPC(server *grpc.Server, lis net.Listener) error {
	if err := server.Serve(lis); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve gRPC on %s: %w", lis.Addr(), err)
	}
	return nil
}

func serveHTTP(server *http.Server, lis net.Listener) error {
	if err := server.Serve(lis); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP on %s: %w", lis.Addr(), err)
	}
	return nil
}

// Close gives back what New opened, last first. Parts that were never opened are passed over.
func (s *Server) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var errs []error
	for _, lis := range []net.Listener{s.grpcListener, s.httpListener, s.ingressListener} {
		if lis != nil {
			_ = lis.Close() // Its server has closed it already, unless the start failed.
		}
	}
	if s.conn != nil {
		errs = append(errs, s.conn.Close())
	}
	for _, client := range []*http.Client{s.fetcher, s.prober} {
		if client != nil {
			client.CloseIdleConnections()
		}
	}
	for _, p := range s.accounts {
		if c, ok := p.(interface{ CloseIdleConnections() }); ok {
			c.CloseIdleConnections()
		}
	}
	if s.bucket != nil {
		errs = append(errs, s.bucket.Close())
	}
	if s.telemetry != nil {
		errs = append(errs, s.telemetry.stop(ctx))
	}
	if s.store != nil {
		errs = append(errs, s.store.Close(ctx)) // Writes of callers that left may still be under way.
	}
	if s.pool != nil {
		s.pool.Close()
	}
	if s.cluster != nil {
		errs = append(errs, s.cluster.Stop(ctx))
	}
	return errors.Join(errs...)
}
