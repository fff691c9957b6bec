package api

import (
	"context"
	"crypto/rand"
	"net/http"
	"sync"

	"google.golang.org/grpc/metadata"

	"github.com/refract-video/refract/internal/cookie"
	"github.com/refract-video/refract/internal/identity"
)

// callerKey is the metadata with which a call of REST names its caller to the in-process server.
const callerKey = "x-refract-caller"

// Callers knows the callers of REST, whose calls reach the in-process server through memory. A call carries a random name of its
// caller, which lasts as long as the HTTP request. So neither credentials nor certificates travel, nothing that a caller sends can stand
// for them, and a request is authenticated once.
type Callers struct {
	authenticator identity.Authenticator
	statuses      *Statuses
	cookies       *cookie.Policy

	mu   sync.Mutex
	open map[string]*RESTCaller // By name.
}

// NewCallers returns the callers of a service that identifies them by an authenticator. Without cookies, sessions of the console are no
// credentials.
func NewCallers(a identity.Authenticator, statuses *Statuses, cookies *cookie.Policy) *Callers {
	return &Callers{authenticator: a, statuses: statuses, cookies: cookies, open: map[string]*RESTCaller{}}
}

// Enter returns the caller of a request. Leave must be called after the request. A session counts whatever page made the request: what
// serves the request must refuse those of other sites.
func (c *Callers) Enter(r *http.Request) *RESTCaller {
	caller := &RESTCaller{callers: c, name: rand.Text(), credentials: identity.Credentials{
		Authorization: authorizations(r.Header.Values("Authorization")), Certificate: verifiedCertificate(r.TLS),
	}}
	if len(caller.credentials.Authorization) == 0 {
		caller.credentials.Session = c.cookies.Get(r, cookie.Session)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[caller.name] = caller
	return caller
}

// identify returns who makes a call at the in-process server.
func (c *Callers) identify(ctx context.Context) (*identity.Identity, error) {
	names := metadata.ValueFromIncomingContext(ctx, callerKey)
	if len(names) != 1 {
		return nil, identity.ErrInvalid
	}
	c.mu.Lock()
	caller := c.open[names[0]]
	c.mu.Unlock()
	if caller == nil {
		return nil, identity.ErrInvalid
	}
	return caller.identify(ctx)
}

// RESTCaller is the caller of one HTTP request.
type RESTCaller struct {
	callers     *Callers
	name        string
	credentials identity.Credentials

	mu       sync.Mutex
	identity *identity.Identity // Nil before the caller was authenticated.
}

// identify authenticates the caller, once.
func (c *RESTCaller) identify(ctx context.Context) (*identity.Identity, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.identity != nil {
		return c.identity, nil
	}
	id, err := c.callers.authenticator.Authenticate(ctx, c.credentials)
	if err != nil {
		return nil, err
	}
	c.identity = id
	return id, nil
}

// Authenticate implements httpapi.Caller.
func (c *RESTCaller) Authenticate(ctx context.Context) error {
	_, err := c.identify(ctx)
	return c.callers.statuses.Convert(ctx, "http", err)
}

// Identity returns who the caller is. The error is a status, as that of Authenticate.
func (c *RESTCaller) Identity(ctx context.Context) (*identity.Identity, error) {
	id, err := c.identify(ctx)
	return id, c.callers.statuses.Convert(ctx, "http", err)
}

// Session returns the secret of the session that the caller's credentials are; empty if they are others.
func (c *RESTCaller) Session() string { return c.credentials.Session }

// Bind implements httpapi.Caller.
func (c *RESTCaller) Bind(ctx context.Context) (live context.Context, stop func(), err error) {
	id, err := c.identify(ctx)
	if err != nil {
		return nil, nil, c.callers.statuses.Convert(ctx, "http", err)
	}
	live, stop = id.Bind(ctx)
	return live, stop, nil
}

// Metadata implements httpapi.Caller.
func (c *RESTCaller) Metadata() metadata.MD { return metadata.Pairs(callerKey, c.name) }

// Leave implements httpapi.Caller.
func (c *RESTCaller) Leave() {
	c.callers.mu.Lock()
	defer c.callers.mu.Unlock()
	delete(c.callers.open, c.name)
}
