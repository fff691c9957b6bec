package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/redact"
)

// Config is the installation that is examined.
type Config struct {
	// Settings is why the service would refuse its settings; nil where it accepts them.
	Settings error

	DatabaseURL  string // A secret. Empty for a private PostgreSQL.
	DirectURL    string // A secret. The way to the database without a pooler; empty where DatabaseURL is that.
	DataDir      string // Of the private PostgreSQL.
	BucketURL    string // A secret. Empty for none.
	Accounts     provider.Accounts
	CallbackURL  string // As providers reach the ingress listener.
	CallbackKeys [][]byte
	AllowPrivate bool

	// Appends means that the replica is an ingress alone: its database role may only append callbacks, and it has no bucket and no
	// accounts.
	Appends bool

	Issuers      []string     // The URLs of OIDC issuers.
	IssuerClient *http.Client // Reaches them. Required with issuers.

	Certificates []Certificate
	Roots        *x509.CertPool // Of the certificate behind the callback URL; nil means the system's.
	Secrets      []string       // What no report may hold.

	// Free returns how many bytes the disk of a folder has left. Nil means what the system says; tests have another.
	Free func(folder string) (uint64, error)
}

// Certificate is the certificate file of a listener.
type Certificate struct{ Listener, File string }

// patience bounds each check. A disk or a network that does not answer reports no error.
const patience = 10 * time.Second

// check is one check. Its result has no name yet.
type check struct {
	name string
	run  func(context.Context) Result
}

// Examine makes all checks. It returns when the slowest has ended.
func Examine(ctx context.Context, cfg Config) Report {
	db := &database{url: cfg.DatabaseURL, directURL: cfg.DirectURL, dataDir: cfg.DataDir, appends: cfg.Appends}
	defer db.close()
	groups := []func(context.Context) Report{
		func(context.Context) Report { return Report{settings(cfg)} },
		db.examine,
		(&bucket{url: cfg.BucketURL}).examine,
		func(ctx context.Context) Report { return makeAll(ctx, accountChecks(cfg.Accounts)) },
		func(ctx context.Context) Report { return makeAll(ctx, issuerChecks(cfg.Issuers, cfg.IssuerClient)) },
		(&callbackURL{Config: cfg, db: db}).examine,
		func(context.Context) Report { return certificates(cfg.Certificates, time.Now()) },
		func(ctx context.Context) Report { return makeAll(ctx, diskChecks(cfg)) },
	}
	reports := make([]Report, len(groups))
	var running sync.WaitGroup
	for i, examine := range groups {
		running.Go(func() { reports[i] = examine(ctx) })
	}
	running.Wait()
	var all Report
	for _, r := range reports {
		all = append(all, r...)
	}
	for i := range all {
		all[i].Found, all[i].Action = cfg.clean(all[i].Found), cfg.clean(all[i].Action)
	}
	return all
}

// clean makes a text fit for one line of a report. Checks put no secret into a text; this is the last resort.
func (c Config) clean(text string) string {
	return redact.Users(redact.String(strings.Join(strings.Fields(text), " "), c.Secrets...))
}

// makeAll makes checks that do not need one another.
func makeAll(ctx context.Context, checks []check) Report {
	report := make(Report, len(checks))
	var running sync.WaitGroup
	for i, c := range checks {
		running.Go(func() {
			report[i] = bounded(ctx, c.run)
			report[i].Check = c.name
		})
	}
	running.Wait()
	return report
}

// skipAll returns the results of checks that can't be made.
func skipAll(checks []check, why string) Report {
	report := make(Report, len(checks))
	for i, c := range checks {
		report[i] = Result{Check: c.name, Status: Skip, Found: why}
	}
	return report
}

// bounded makes a check and gives it up when it takes too long. NOTE: a check that hangs in a dead mount can't be ended; it ends with
// the process.
func bounded(ctx context.Context, run func(context.Context) Result) Result {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	done := make(chan Result, 1)
	go func() { done <- run(ctx) }()
	select {
	case r := <-done:
		return r
	case <-ctx.Done():
	}
	select {
	case r := <-done: // It ended with its context, and knows more.
		return r
	case <-time.After(time.Second):
		return Result{Status: Fail, Found: fmt.Sprintf("no answer within %v", patience), Action: "find out what does not answer: the network, or the disk"}
	}
}

func ok(format string, args ...any) Result {
	return Result{Status: OK, Found: fmt.Sprintf(format, args...)}
}

func warn(action, format string, args ...any) Result {
	return Result{Status: Warn, Found: fmt.Sprintf(format, args...), Action: action}
}

func fail(action, format string, args ...any) Result {
	return Result{Status: Fail, Found: fmt.Sprintf(format, args...), Action: action}
}

func skip(format string, args ...any) Result {
	return Result{Status: Skip, Found: fmt.Sprintf(format, args...)}
}

// settings reports whether the service accepts its settings.
func settings(cfg Config) Result {
	r := ok("the service accepts its settings; provider accounts: %s", strings.Join(cfg.Accounts.Names(), ", "))
	if cfg.Appends {
		r = ok("the service accepts its settings; it only stores callbacks, for workers to settle")
	}
	if cfg.Settings != nil {
		r = fail("correct this setting; the service does not start with it", "%v", cfg.Settings)
	}
	r.Check = "settings"
	return r
}
