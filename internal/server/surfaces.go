package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/refract-video/refract/gen/openapi"
	"github.com/refract-video/refract/internal/api"
	"github.com/refract-video/refract/internal/httpapi"
)

// surfaces are what callers and providers reach: gRPC, REST, which reaches a gRPC server of its own through memory, and the
// ingress, which needs none. Those that the roles of the replica do not have are nil, but HTTP reports the health of each.
type surfaces struct {
	*listeners

	grpcServer    *grpc.Server
	inner         *grpc.Server      // For REST.
	local         *bufconn.Listener // How REST reaches it.
	conn          *grpc.ClientConn
	httpServer    *http.Server
	ingressServer *http.Server
}

// newSurfaces makes the servers, and completes the settings of those for HTTP by what connects them to gRPC.
func newSurfaces(l *listeners, cfg api.Config, rest httpapi.InternalConfig, console *pages, ingress httpapi.IngressConfig) (*surfaces, error) {
	s := &surfaces{listeners: l}
	if l.ingress != nil {
		ingress.Callbacks = api.NewInProcessCallbacks(cfg.Callbacks, cfg.Statuses, cfg.Log)
		s.ingressServer = httpapi.NewPublicServer(httpapi.NewIngress(ingress), cfg.Log)
	}
	if l.grpc == nil {
		s.httpServer = httpapi.NewServer(httpapi.NewHealth(rest), cfg.Log)
		return s, nil
	}
	var options []grpc.ServerOption
	if l.grpcTLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(l.grpcTLS)))
	}
	if console != nil {
		rest.Cookies = console.cookies
	}
	callers := api.NewCallers(cfg.Authenticator, cfg.Statuses, rest.Cookies)
	s.grpcServer, s.inner, s.local = api.NewServer(cfg, options...), api.NewInProcessServer(cfg, callers), bufconn.Listen(1<<20)
	var err error
	s.conn, err = grpc.NewClient("passthrough:///local",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return s.local.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(api.MaxInProcess), grpc.MaxCallSendMsgSize(api.MaxInProcess)))
	if err != nil {
		return nil, fmt.Errorf("connect REST to gRPC: %w", err)
	}
	rest.Conn, rest.OpenAPI = s.conn, openapi.JSON
	rest.Enter = func(r *http.Request) httpapi.Caller { return callers.Enter(r) }
	if console != nil {
		rest.Console = console.handler(s.conn, cfg)
	}
	s.httpServer = httpapi.NewServer(httpapi.NewInternal(rest), cfg.Log)
	return s, nil
}

// close closes the connection between REST and gRPC.
func (s *surfaces) close(context.Context) error {
	if s.conn == nil {
		return nil
	}
	return s.conn.Close()
}

// serve serves until the servers stop.
func (s *surfaces) serve(g *errgroup.Group) {
	if s.grpcServer != nil {
		g.Go(func() error { return serveGRPC(s.inner, s.local) })
		g.Go(func() error { return serveGRPC(s.grpcServer, s.grpc) })
	}
	g.Go(func() error { return serveHTTP(s.httpServer, s.http) })
	if s.ingressServer != nil {
		g.Go(func() error { return serveHTTP(s.ingressServer, s.ingress) })
	}
}

// shutdownHTTP takes no more requests over HTTP, and waits until those under way have finished or ctx ends.
func (s *surfaces) shutdownHTTP(ctx context.Context) error {
	var g errgroup.Group
	if s.ingressServer != nil {
		g.Go(func() error { return s.ingressServer.Shutdown(ctx) })
	}
	g.Go(func() error { return s.httpServer.Shutdown(ctx) })
	return g.Wait()
}

// stopGRPC takes no more calls, waits until those under way have finished or ctx ends, and then ends them.
func (s *surfaces) stopGRPC(ctx context.Context) {
	if s.grpcServer == nil {
		return
	}
	var servers sync.WaitGroup
	for _, server := range []*grpc.Server{s.grpcServer, s.inner} {
		servers.Go(func() {
			defer context.AfterFunc(ctx, server.Stop)()
			server.GracefulStop()
		})
	}
	servers.Wait()
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
