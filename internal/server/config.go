package server

import (
	"cmp"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/output"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/source"
)

// Config are the settings of the service. Each can be given as a flag or in the environment.
type Config struct {
	Roles []string `name:"roles" env:"REFRACT_ROLES" help:"What this replica does, of api, ingress and worker; see docs/roles.md. ingress alone needs a database role that may only append. Default: all." json:"roles"`

	DatabaseURL       redact.Secret `name:"database-url" env:"DATABASE_URL" help:"PostgreSQL to use. Without it the service runs a private one in --data-dir." json:"database_url"`
	DatabaseDirectURL redact.Secret `name:"database-direct-url" env:"DATABASE_DIRECT_URL" help:"The same database without a pooler, where --database-url leads through one that lends sessions for transactions (PgBouncer: pool_mode = transaction). Used for LISTEN, locks of sessions and migrations." json:"database_direct_url"`
	DataDir           string        `name:"data-dir" env:"REFRACT_DATA_DIR" help:"Folder of the private PostgreSQL and of the default bucket. Default: a folder of the user's." json:"data_dir"`
	Migrate           bool          `name:"migrate" env:"REFRACT_MIGRATE" help:"Bring the schema of --database-url to this release before serving. The private PostgreSQL is always migrated." json:"migrate"`
	Bucket            string        `name:"bucket" env:"REFRACT_BUCKET" help:"Bucket for outputs, as a URL: file:///path, s3://name?region=…, gs://name, azblob://name. Default: a folder in --data-dir." json:"bucket"`

	GRPC    Listener `embed:"" prefix:"grpc-" envprefix:"REFRACT_GRPC_" json:"grpc"`
	HTTP    Listener `embed:"" prefix:"http-" envprefix:"REFRACT_HTTP_" json:"http"`
	Ingress Listener `embed:"" prefix:"ingress-" envprefix:"REFRACT_INGRESS_" json:"ingress"`

	Identity

	BaseURL      string          `name:"base-url" env:"REFRACT_BASE_URL" help:"Address of the HTTP listener as callers reach it, for download links. Default: its listening address." json:"base_url"`
	CallbackURL  string          `name:"callback-url" env:"REFRACT_CALLBACK_URL" help:"Public https address of the ingress listener, which providers call." json:"callback_url"`
	CallbackKeys []redact.Secret `name:"callback-key" env:"REFRACT_CALLBACK_KEY" help:"Key of callback URL tokens, at least 32 bytes. The first makes tokens, all verify. Default: a key that the database keeps." json:"callback_keys"`
	SecretKeys   []redact.Secret `name:"secret-key" env:"REFRACT_SECRET_KEY" help:"Key that encrypts the secrets of webhooks in the database, at least 32 bytes. The first encrypts, all decrypt. Default: a key that the database keeps." json:"secret_keys"`
	Auth         string          `name:"auth" env:"REFRACT_AUTH" enum:"tokens,none" default:"tokens" help:"Who may call: holders of API tokens and those whom --oidc-issuer and --cert-tenant identify, or (none, on loopback only) anyone: every caller is tenant 'default' and an operator, who may pause providers and change limits. Web pages of other sites are refused." json:"auth"`
	AllowPrivate bool            `name:"allow-private" env:"REFRACT_ALLOW_PRIVATE" help:"For development: accept sources, results and a callback URL on private addresses and over plain http, and webhooks on private addresses, over plain http on loopback." json:"allow_private"`

	Probe         string `name:"probe" env:"REFRACT_PROBE" enum:"on,off" default:"on" help:"Whether to look at a source before an attempt is paid for: that it can be fetched, and what the provider takes. off leaves it to the provider." json:"probe"`
	PublicSources bool   `name:"public-sources" env:"REFRACT_PUBLIC_SOURCES" help:"Serve uploaded sources to providers on the ingress listener, by signed links that expire. Without it they go through a bucket that signs links, or the provider's uploads." json:"public_sources"`

	FetchAllow []string `name:"fetch-allow" env:"REFRACT_FETCH_ALLOW" help:"Hosts, addresses or networks such as 10.1.0.0/16 that results may be fetched from though they are private, on any port, over http too." json:"fetch_allow"`

	Catalog []string `name:"catalog" env:"REFRACT_CATALOG" type:"existingfile" help:"Catalog file that adds models, or replaces offerings of built-in ones; see docs/models.md. Read again on SIGHUP." json:"catalog"`

	Admission string `name:"admission" env:"REFRACT_ADMISSION" enum:"open,closed" default:"open" help:"closed starts paused: no task is sent to any provider, at any replica, until refract admission open. For a database that was restored; see docs/restore.md." json:"admission"`

	Retention

	Console

	// Tuning is for tests.
	Tuning Tuning `kong:"-" json:"-"`

	// Tenant is who everyone is with --auth=none; set by the demo alone.
	Tenant string `kong:"-" json:"-"`

	// StartLog gets what a slow start of the private PostgreSQL waits for; set by the demo alone. Nil means the service's log.
	StartLog *slog.Logger `kong:"-" json:"-"`

	Providers

	LogLevel  string `name:"log-level" env:"REFRACT_LOG_LEVEL" enum:"debug,info,warn,error" default:"info" help:"Least level that is logged: debug, info, warn or error." json:"log_level"`
	LogFormat string `name:"log-format" env:"REFRACT_LOG_FORMAT" enum:"json,text" default:"json" help:"Format of the log: json or text." json:"log_format"`
}

// shown returns the settings as they may be shown: addresses can hold a user and a password, and a bucket's other secrets.
func (f Config) shown() shownConfig {
	f.Bucket, f.BaseURL, f.CallbackURL = redact.URL(f.Bucket), redact.URL(f.BaseURL), redact.URL(f.CallbackURL)
	for _, u := range []*Upstream{&f.KIE, &f.Luma, &f.LumaAgents, &f.Fal.Upstream} {
		u.URL = redact.URL(u.URL)
	}
	f.Fal.RestURL = redact.URL(f.Fal.RestURL)
	return shownConfig(f)
}

// shownConfig are settings that may be shown. They have no methods that would show them in another way.
type shownConfig Config

// String hides secrets from fmt.
func (f Config) String() string { return fmt.Sprintf("%+v", f.shown()) }

// GoString hides secrets from %#v.
func (f Config) GoString() string { return fmt.Sprintf("%#v", f.shown()) }

// LogValue returns the settings as fields, without secrets.
func (f Config) LogValue() slog.Value {
	text, err := json.Marshal(f.shown())
	if err != nil {
		return slog.StringValue("unknown: " + err.Error())
	}
	var settings map[string]any
	if err := json.Unmarshal(text, &settings); err != nil {
		return slog.StringValue("unknown: " + err.Error())
	}
	return fields(settings)
}

// fields returns a JSON object as a group of a log line, in the order of the names. Settings that are not set are left out.
func fields(object map[string]any) slog.Value {
	var attrs []slog.Attr
	for _, name := range slices.Sorted(maps.Keys(object)) {
		switch value := object[name].(type) {
		case nil, bool, float64, string, []any:
			if !unset(value) {
				attrs = append(attrs, slog.Any(name, value))
			}
		case map[string]any:
			if group := fields(value); len(group.Group()) > 0 {
				attrs = append(attrs, slog.Attr{Key: name, Value: group})
			}
		}
	}
	return slog.GroupValue(attrs...)
}

// unset reports whether a value of JSON is the zero one.
func unset(value any) bool {
	list, isList := value.([]any)
	return value == nil || value == false || value == 0.0 || value == "" || isList && len(list) == 0
}

// MarshalJSON hides secrets from JSON.
func (f Config) MarshalJSON() ([]byte, error) { return json.Marshal(f.shown()) }

// secrets are the settings that must appear nowhere.
func (f *Config) secrets() []string {
	all := append(slices.Concat(f.CallbackKeys, f.SecretKeys), f.ClientSecret)
	for _, u := range []Upstream{f.KIE, f.Luma, f.LumaAgents, f.Fal.Upstream} {
		for _, s := range slices.Concat(u.APIKeys, u.WebhookKeys) {
			_, key, _ := strings.Cut(s.Reveal(), "=")
			all = append(all, s, redact.Secret(key))
		}
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
		for header := range strings.SplitSeq(os.Getenv(name), ",") {
			_, value, _ := strings.Cut(header, "=")
			all = append(all, redact.Secret(value))
		}
	}
	var texts []string
	for _, s := range all {
		if len(s) >= minSecret { // A shorter one, as tests have, would be found where it is not.
			texts = append(texts, s.Reveal())
		}
	}
	return texts
}

// minSecret is the length from which a setting is looked for in the log.
const minSecret = 8

// Tuning are bounds that are right for everyone but tests, which have less time.
type Tuning struct {
	Patience time.Duration // The StallTimeout of media.Guard. The next two are as in media.Guard.
	Resolver *net.Resolver
	Roots    *x509.CertPool
	MaxBytes int64 // As in media.Saver, like the next.
	Pause    time.Duration
	Save     output.Patience
	Sources  source.Timing
	Look     time.Duration // As the timeout of media.Prober.
	Stall    time.Duration // As in source.Uploads.

	// WrapProber replaces the transport of the client that fetches sources, which it gets. Nil changes nothing.
	WrapProber func(guarded http.RoundTripper) http.RoundTripper
}

// The default addresses: loopback, so that nothing is reachable from outside by accident.
const (
	defaultGRPCAddress    = "127.0.0.1:9090"
	defaultHTTPAddress    = "127.0.0.1:8080"
	defaultIngressAddress = "127.0.0.1:8081"
)

// Complete fills in defaults that depend on the machine.
func (f *Config) Complete() {
	for address, byDefault := range map[*string]string{
		&f.GRPC.Address: defaultGRPCAddress, &f.HTTP.Address: defaultHTTPAddress, &f.Ingress.Address: defaultIngressAddress,
	} {
		if *address == "" {
			*address = byDefault
		}
	}
}

// Check refuses settings with which the service must not start.
func (f *Config) Check() error {
	if err := f.checkRoles(); err != nil {
		return err
	}
	if f.ingressAlone() {
		return nil // It has no use for other settings, and is not refused for what it does not need.
	}
	if f.Auth == "none" && f.has(roleAPI) {
		for name, address := range map[string]string{"--grpc-address": f.GRPC.Address, "--http-address": f.HTTP.Address} {
			if !loopback(address) {
				return fmt.Errorf("%s=%s can be reached from outside and --auth=none lets anyone in: use --auth=tokens, or a loopback address", name, address)
			}
		}
	}
	if err := f.checkIdentity(); err != nil {
		return err
	}
	if _, _, err := f.Accounts(); err != nil {
		return err
	}
	if err := f.Keep().Check(); err != nil {
		return err
	}
	if _, err := media.ParseAllowed(f.FetchAllow); err != nil {
		return fmt.Errorf("--fetch-allow: %w", err)
	}
	if _, err := f.loadCatalog(); err != nil {
		return err
	}
	return f.checkCallbackURL()
}

func (f *Config) checkCallbackURL() error {
	if !f.has(roleWorker) {
		return nil // Workers alone hand it to providers.
	}
	if f.CallbackURL == "" {
		if f.AllowPrivate && f.has(roleIngress) {
			return nil // The ingress listener's own address.
		}
		return errors.New("providers need a way to call back: pass --callback-url with the public https address of the ingress listener (or --allow-private for development)")
	}
	u, err := url.Parse(f.CallbackURL)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("--callback-url=%s is not an address such as https://refract.example.com", redact.URL(f.CallbackURL))
	}
	if !f.AllowPrivate && (u.Scheme != "https" || media.CheckPublicHost(u.Hostname()) != nil) {
		return fmt.Errorf("--callback-url=%s can't be reached by a provider, or only in the clear: it takes a public https address (or --allow-private for development)", redact.URL(f.CallbackURL))
	}
	return nil
}

// loopback reports whether only this machine can reach a listening address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// private reports whether the service runs a PostgreSQL of its own.
func (f *Config) private() bool { return f.DatabaseURL == "" }

// tenant is who everyone is without authentication.
func (f *Config) tenant() string { return cmp.Or(f.Tenant, "default") }
