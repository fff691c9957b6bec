package console

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/cookie"
)

// Config is what the console is made of. Conn, Identify and Log are required.
type Config struct {
	// Conn leads to the gRPC server that has all services.
	Conn grpc.ClientConnInterface
	// Identify returns who makes a request, or ErrSignedOut.
	Identify func(*http.Request) (Caller, error)
	// SignIn is how visitors sign in. Nil means that they can't, because everyone is known without.
	SignIn *SignIn
	// Cookies says how cookies are set and read. The default is that of a service without TLS.
	Cookies *cookie.Policy
	// Log receives what visitors must not see.
	Log *slog.Logger
}

// Caller is who makes a request.
type Caller struct {
	// Tenant is empty for an operator without one, who has no tasks.
	Tenant   string
	Operator bool
	// Name is what the page shows: the id of an API token, or the subject of a JWT.
	Name string
	// Metadata names the caller to the gRPC server.
	Metadata metadata.MD
	// FormKey is the secret from which the tokens of forms are derived: that of the session. Without one, the console gives the browser a
	// secret of its own.
	FormKey string
	// Session reports whether the caller signed in at the console, and so can sign out.
	Session bool
}

// ErrSignedOut means that a request has no valid credentials.
var ErrSignedOut = errors.New("sign in first")

// Console serves the pages.
type Console struct {
	Config
	tasks     refractv1.TaskServiceClient
	models    refractv1.ModelServiceClient
	webhooks  refractv1.WebhookServiceClient
	operators refractv1.OperatorServiceClient
	attempts  *attempts
	mux       *http.ServeMux
}

// New returns the console.
func New(cfg Config) *Console {
	if cfg.Cookies == nil {
		cfg.Cookies = cookie.New("", false)
	}
	c := &Console{
		Config: cfg, mux: http.NewServeMux(), attempts: newAttempts(),
		tasks: refractv1.NewTaskServiceClient(cfg.Conn), models: refractv1.NewModelServiceClient(cfg.Conn),
		webhooks: refractv1.NewWebhookServiceClient(cfg.Conn), operators: refractv1.NewOperatorServiceClient(cfg.Conn),
	}
	c.routes()
	return c
}

// routes is the list of all pages and forms. A GET shows a page. A POST changes something and leads to a page.
func (c *Console) routes() {
	c.mux.Handle("GET /assets/{file}", http.HandlerFunc(serveAsset))
	if c.SignIn != nil {
		c.open("GET /login", c.showLogin)
		c.open("POST /login", c.signInByToken)
		c.open("GET "+linkPath, c.showLink)
		c.open("POST "+linkPath, c.signInByLink)
		if c.SignIn.OIDC != nil {
			c.open("GET "+oidcPath, c.leaveForIssuer)
			c.open("GET "+OIDCCallbackPath, c.returnFromIssuer)
		}
		c.handle("POST /logout", c.signOut)
	}
	c.handle("GET /{$}", c.start)
	c.handle("GET /tasks", c.listTasks)
	c.handle("GET /tasks/{id}", c.showTask)
	c.handle("POST /tasks/{id}/cancel", c.cancelTask)
	c.handle("POST /tasks/{id}/retry", c.retryTask)
	c.handle("POST /tasks/{id}/check", c.checkTask)
	c.handle("GET /overview", c.overview)
	c.handle("GET /submit", c.submitPage)
	c.handleForm("POST /submit", c.submitTask)
	c.webhookRoutes()
	c.providerRoutes()
	c.inboxRoutes()
	c.tenantRoutes()
	c.tokenRoutes()
	c.auditRoutes()
	c.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { c.fail(w, r, errNoPage) })
}

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	c.mux.ServeHTTP(w, r)
}

// handle adds a page or form for those who are signed in.
func (c *Console) handle(pattern string, serve func(*visit) error) {
	c.handleForm(pattern, checked(serve))
}

// handleForm adds a form that checks its token itself.
func (c *Console) handleForm(pattern string, serve func(*visit) error) {
	c.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		caller, err := c.Identify(r)
		if err != nil {
			c.fail(w, r, err)
			return
		}
		c.serve(&visit{Context: metadata.NewOutgoingContext(r.Context(), caller.Metadata), console: c, w: w, r: r, caller: caller}, serve)
	})
}

// open adds a page or form for everyone.
func (c *Console) open(pattern string, serve func(*visit) error) {
	c.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		c.serve(&visit{Context: r.Context(), console: c, w: w, r: r, stranger: true}, checked(serve))
	})
}

// checked returns a function that checks the form of a POST first.
func checked(serve func(*visit) error) func(*visit) error {
	return func(v *visit) error {
		if v.r.Method == http.MethodPost {
			if err := v.checkForm(); err != nil {
				return err
			}
		}
		return serve(v)
	}
}

// serve serves a page or form, unless the browser says that the page of another site made the request of a form.
func (c *Console) serve(v *visit, serve func(*visit) error) {
	if v.caller.FormKey == "" {
		v.caller.FormKey = c.Cookies.EnsureVisit(v.w, v.r)
	}
	err := errForged
	if c.Cookies.CheckOrigin(v.r) == nil {
		err = serve(v)
	}
	if err != nil {
		v.fail(err)
	}
}

// visit is one request of a person who is signed in, or of a stranger. Its context names the caller to the gRPC server.
type visit struct {
	context.Context //nolint:containedctx // It is that of the request.

	console  *Console
	w        http.ResponseWriter
	r        *http.Request
	caller   Caller
	stranger bool // Whether the caller is not known. It has a FormKey then and nothing else.
}

// known returns the caller, or nil for a stranger.
func (v *visit) known() *Caller {
	if v.stranger {
		return nil
	}
	return &v.caller
}

// start leads to the first page that the visitor can use.
func (c *Console) start(v *visit) error {
	if v.caller.Tenant == "" {
		return v.redirect("/overview")
	}
	return v.redirect("/tasks")
}

// redirect leads the browser to a page after a form, so that a reload repeats nothing.
func (v *visit) redirect(path string) error {
	http.Redirect(v.w, v.r, path, http.StatusSeeOther)
	return nil
}

// protect sets the headers of every answer. A page loads nothing from elsewhere, runs no script but the console's own, and is shown in
// no frame.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}
