package server

import (
	"crypto/rand"
	"log/slog"
	"net/http"

	"google.golang.org/grpc"

	"github.com/refract-video/refract/internal/api"
	"github.com/refract-video/refract/internal/console"
	"github.com/refract-video/refract/internal/httpapi"
)

// newConsole returns the pages for people.
func newConsole(conn grpc.ClientConnInterface, log *slog.Logger) http.Handler {
	key := rand.Text()
	return console.New(console.Config{Conn: conn, Log: log, Identify: func(r *http.Request) (console.Caller, error) {
		caller, ok := httpapi.CallerOf(r.Context()).(*api.RESTCaller)
		if !ok {
			return console.Caller{}, console.ErrSignedOut
		}
		id, err := caller.Identity(r.Context())
		if err != nil {
			return console.Caller{}, err
		}
		return console.Caller{Tenant: id.Tenant, Operator: id.Operator, Name: id.Actor.Name, Metadata: caller.Metadata(), FormKey: key + id.Actor.Name}, nil
	}})
}
