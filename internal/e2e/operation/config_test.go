package operation_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
)

// settings stands for `refract serve` up to the check of its settings.
type settings struct {
	server.Config
}

func (s *settings) Run() error {
	s.Complete()
	return s.Check()
}

// TestServe_RefusesToStart checks that an unsafe or impossible setting ends the start with one line that says what to
// do. Rows that Config.Check or the parser refuses run in this process, except one.
func TestServe_RefusesToStart(t *testing.T) {
	t.Parallel()
	empty := postgrestest.EmptyURL(t)
	current := e2etest.FewConnections(postgrestest.URL(t))
	newer := postgrestest.URL(t)
	if _, err := postgrestest.Connect(t, newer).Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`); err != nil {
		t.Fatal(err)
	}
	good := []string{"--kie-api-key=any", "--allow-private", "--grpc-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--ingress-address=127.0.0.1:0"}
	type refusal struct {
		name string
		args []string
		want string
	}
	check := func(t *testing.T, status int, errs, want string) {
		t.Helper()
		if status == 0 || !strings.Contains(errs, want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("status %d and %q, want one line with %q", status, errs, want)
		}
		if strings.Contains(errs, "hunter2") {
			t.Errorf("the error holds the password: %s", errs)
		}
	}
	for _, tc := range []refusal{
		{"no provider", []string{"--allow-private"}, "KIE_API_KEY"},
		{"no authentication on a host's REST", append(good, "--auth=none", "--http-address=:0"), "--auth=tokens"},
		{"no way to call back", []string{"--kie-api-key=any"}, "--callback-url"},
		{"a callback URL in the clear", []string{"--kie-api-key=any", "--callback-url=http://refract.example.com"}, "https"},
		{"a callback URL on this machine", []string{"--kie-api-key=any", "--callback-url=https://localhost"}, "public"},
		{"no authentication and an issuer", append(good, "--auth=none", "--oidc-issuer=https://idp.example.com", "--oidc-audience=refract"), "--auth=tokens"},
		{"an issuer without an audience", append(good, "--oidc-issuer=https://idp.example.com"), "--oidc-audience"},
		{"an audience without an issuer", append(good, "--oidc-audience=refract"), "--oidc-issuer"},
		{"an issuer in the clear", append(good, "--oidc-issuer=http://idp.example.com", "--oidc-audience=refract"), "https"},
		{"an operator without a claim", append(good, "--oidc-issuer=https://idp.example.com", "--oidc-audience=refract", "--oidc-operator=admin"), "claim=value"},
		{"a pattern without a tenant", append(good, "--grpc-client-ca=config_test.go", "--cert-tenant=spiffe://example.org/acme"), "{tenant}"},
		{"a pattern without a client CA", append(good, "--cert-tenant=spiffe://example.org/{tenant}"), "--grpc-client-ca"},
		{"a catalog that is none", append(good, "--catalog=config_test.go"), "catalog config_test.go: "},
		{"a short webhook key", append(good, "--kie-webhook-key=k"), "16 bytes"},
		{"a short webhook key of two", append(good, "--kie-webhook-key=a-key-that-is-long-enough,hunter2"), "16 bytes"},
		{"a callback URL in the clear with a password", []string{"--kie-api-key=any", "--callback-url=http://u:hunter2@refract.example.com"}, "https"},
		{"a callback URL with a query", []string{"--kie-api-key=any", "--callback-url=https://refract.example.com?token=hunter2"}, "not an address"},
		{"a callback URL that is broken", []string{"--kie-api-key=any", "--callback-url=https://u:hunter2@%zz"}, "not an address"},
		{"a base URL of a provider with a password", append(good, "--kie-url=https://u:hunter2@kie.example.com"), "no user"},
		{"an argument too many", append(good, "postgres://u:hunter2@db/x"), "unexpected argument"},
		{"an unknown flag", []string{"--nonsense"}, "--nonsense"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var commands struct {
				Serve settings `cmd:""`
			}
			status, _, errs := inProcess(t, &commands, append([]string{"serve", "--bucket=mem://"}, tc.args...)...)
			check(t, status, errs, tc.want)
		})
	}
	for _, tc := range []refusal{
		// Only Config.Check refuses this one. A program without it would refuse the schema.
		{"no authentication on every address", append(good, "--database-url="+empty, "--auth=none", "--grpc-address=0.0.0.0:0"), "--auth=tokens"},
		{"an older schema", append(good, "--database-url="+empty), "refract migrate"},
		{"a newer schema", append(good, "--database-url="+newer), "newer than this release"},
		{"a database that is not there", append(good, "--database-url=postgres://u:hunter2@127.0.0.1:1/x"), "reach the database"},
		{"a direct URL that is none", append(good, "--database-url="+empty, "--database-direct-url=hunter2:5432"), "--database-direct-url: the database URL is not a PostgreSQL URL"},
		{"a certificate without a key", append(good, "--grpc-tls-cert=config_test.go"), "--grpc-tls-key"},
		{"a client CA without TLS", append(good, "--http-client-ca=config_test.go"), "--http-tls-cert"},
		{"a short callback key", append(good, "--database-url="+current, "--callback-key=short"), "32 bytes"},
		{"a bucket that is broken", append(good, "--database-url="+current, "--bucket=s3://name?nonsense=hunter2&endpoint=https://u:hunter2@minio:9000"), "open bucket"},
		{"a bucket of a kind that is not there", append(good, "--database-url="+current, "--bucket=nowhere://u:hunter2@name?endpoint=https://u:hunter2@minio:9000"), "open bucket"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			// A separate process: all services of one process share the telemetry log.
			status, _, errs := e2etest.Run(t, append([]string{"serve", "--bucket=mem://"}, tc.args...)...)
			check(t, status, errs, tc.want)
		})
	}
}

// TestSecret_NeverShows prints a secret in every way in which a program might do so by accident.
func TestSecret_NeverShows(t *testing.T) {
	t.Parallel()
	f := server.Config{DatabaseURL: "hunter2", DatabaseDirectURL: "hunter2", CallbackKeys: []redact.Secret{"hunter2"}, Providers: server.Providers{KIE: server.Upstream{APIKeys: []redact.Secret{"hunter2"}, WebhookKeys: []redact.Secret{"hunter2"}}}}
	var log bytes.Buffer
	f.CallbackURL, f.BaseURL, f.KIE.URL = "https://u:hunter2@a.example", "https://hunter2@b.example", "https://u:hunter2@c.example"
	f.Bucket = "s3://name?region=eu-west-1&endpoint=https://u:hunter2@d.example"
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "config", f, "secret", f.DatabaseURL)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "config", f, "secret", f.DatabaseURL)
	fmt.Fprintf(&log, "%v %+v %#v %s %q", f, f, f, f.DatabaseURL, f.DatabaseURL)
	if err := json.NewEncoder(&log).Encode(f); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "hunter2") {
		t.Errorf("a secret shows:\n%s", log.String())
	}
	if got := f.KIE.WebhookKeys[0].Reveal() + f.CallbackURL; got != "hunter2https://u:hunter2@a.example" {
		t.Errorf("the settings themselves were changed to %s", got)
	}
}
