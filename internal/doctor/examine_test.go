package doctor_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/doctor"
	"github.com/refract-video/refract/internal/nettest"
	"github.com/refract-video/refract/internal/pglocal"
	"github.com/refract-video/refract/internal/pglocal/pgtest"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/migrations"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/profiles"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

const (
	goodKey     = "kie-key-3f6a1c"
	wrongKey    = "kie-key-0000"
	callbackKey = "a callback key with thirty-two bytes"
	oldKey      = "another callback key, of 32 bytes or"
)

// TestExamine_Report compares the report on installations in different situations with golden files. Figures that differ from run to
// run are masked. No report may hold a secret.
func TestExamine_Report(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	for name, situation := range map[string]func(*testing.T, *server.Config){
		"all_is_fine": func(*testing.T, *server.Config) {},
		"database_out_of_reach": func(t *testing.T, f *server.Config) {
			t.Helper()
			f.DatabaseURL = redact.Secret("postgres://refract:wrong-password@" + nettest.FreeAddress(t) + "/refract?sslmode=disable")
		},
		"database_refuses_the_password": func(t *testing.T, f *server.Config) {
			t.Helper()
			u := parse(t, f.DatabaseURL.Reveal())
			u.User = url.UserPassword("refract", "wrong-password")
			f.DatabaseURL = redact.Secret(u.String())
		},
		"private_postgresql_not_running": func(t *testing.T, f *server.Config) {
			t.Helper()
			f.DatabaseURL, f.DataDir = "", t.TempDir()
		},
		"database_without_fsync": func(t *testing.T, f *server.Config) {
			t.Helper()
			f.DatabaseURL = redact.Secret(postgrestest.URL(t))
			if postgrestest.Value[string](t, postgrestest.Connect(t, f.DatabaseURL.Reveal()), "SHOW fsync") == "on" {
				t.Skip("the server of REFRACT_TEST_DATABASE_URL has fsync on")
			}
		},
		"database_without_tables": func(t *testing.T, f *server.Config) {
			t.Helper()
			f.DatabaseURL = site.database(t, "template1")
		},
		"schema_older": func(t *testing.T, f *server.Config) {
			t.Helper()
			f.DatabaseURL = site.database(t, "refract")
			site.exec(t, f.DatabaseURL, "DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)")
		},
		"schema_newer": func(t *testing.T, f *server.Config) {
			t.Helper()
			f.DatabaseURL = site.database(t, "refract")
			site.exec(t, f.DatabaseURL, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)")
		},
		"role_without_rights": func(t *testing.T, f *server.Config) {
			t.Helper()
			f.DatabaseURL = site.database(t, "refract")
			site.exec(t, f.DatabaseURL, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
			u := parse(t, f.DatabaseURL.Reveal())
			u.User = url.UserPassword("reader", "reader-password")
			f.DatabaseURL = redact.Secret(u.String())
		},
		"audit_log_of_another_role": func(t *testing.T, f *server.Config) {
			t.Helper()
			f.DatabaseURL = site.database(t, "refract")
			site.exec(t, f.DatabaseURL, `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO reader;
				GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO reader; REVOKE UPDATE ON audit_event FROM reader`)
			u := parse(t, f.DatabaseURL.Reveal())
			u.User = url.UserPassword("reader", "reader-password")
			f.DatabaseURL = redact.Secret(u.String())
		},
		"database_read_only": func(t *testing.T, f *server.Config) {
			t.Helper()
			f.DatabaseURL = site.database(t, "refract")
			site.exec(t, f.DatabaseURL, "ALTER DATABASE "+strings.TrimPrefix(parse(t, f.DatabaseURL.Reveal()).Path, "/")+" SET default_transaction_read_only = on")
		},
		"pooler": func(t *testing.T, f *server.Config) {
			t.Helper()
			f.DatabaseDirectURL = f.DatabaseURL
			f.DatabaseURL = site.pooled(t, f.DatabaseURL)
		},
		"pooler_without_settings": func(_ *testing.T, f *server.Config) {
			f.DatabaseDirectURL = f.DatabaseURL
		},
		"ingress_alone": func(t *testing.T, f *server.Config) {
			t.Helper()
			f.Roles, f.Bucket, f.Providers = []string{"ingress"}, "", server.Providers{}
			f.DatabaseURL = site.ingressRole(t)
		},
		"ingress_alone_with_a_role_that_may_not_append": func(t *testing.T, f *server.Config) {
			t.Helper()
			f.Roles, f.Bucket, f.Providers = []string{"ingress"}, "", server.Providers{}
			u := parse(t, site.database(t, "refract").Reveal())
			u.User = url.UserPassword("reader", "reader-password")
			f.DatabaseURL = redact.Secret(u.String())
		},
		"admission_closed_by_an_operator": func(t *testing.T, f *server.Config) {
			t.Helper()
			f.DatabaseURL = site.database(t, "refract")
			site.exec(t, f.DatabaseURL, "INSERT INTO installation (close_reason, close_message, close_time) VALUES ('BY_OPERATOR', 'maintenance', now())")
		},
		"database_set_back": func(t *testing.T, f *server.Config) {
			t.Helper()
			f.DatabaseURL = site.database(t, "refract")
			site.exec(t, f.DatabaseURL, "INSERT INTO installation (close_reason, close_message, close_time) VALUES ('DATABASE_SET_BACK', 'the database is older than the bucket', now())")
		},
		"issuers": func(t *testing.T, f *server.Config) {
			t.Helper()
			f.OIDCIssuers = []string{site.issuer(t), "https://" + nettest.FreeAddress(t)}
			f.OIDCAudiences, f.OIDCTenantClaim = []string{"refract"}, "tenant"
		},
		"bucket_missing": func(_ *testing.T, f *server.Config) {
			f.Bucket += "/on/a/disk/that/is/not/mounted"
		},
		"bucket_is_a_file": func(t *testing.T, f *server.Config) {
			t.Helper()
			file := filepath.Join(t.TempDir(), "bucket")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			f.Bucket = "file://" + file
		},
		"key_refused": func(_ *testing.T, f *server.Config) {
			f.KIE.APIKeys = []redact.Secret{wrongKey}
		},
		"callback_url_leads_elsewhere": func(t *testing.T, f *server.Config) {
			t.Helper()
			f.CallbackURL = site.web(t, http.NotFoundHandler())
		},
		"callback_url_leads_to_an_idle_proxy": func(t *testing.T, f *server.Config) {
			t.Helper()
			f.CallbackURL = site.web(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
		},
		"callback_url_redirects": func(t *testing.T, f *server.Config) {
			t.Helper()
			f.CallbackURL = site.web(t, http.RedirectHandler("https://www.example.com/", http.StatusMovedPermanently))
		},
		"callback_url_unreachable": func(t *testing.T, f *server.Config) {
			t.Helper()
			f.CallbackURL = "https://" + nettest.FreeAddress(t)
		},
		"callback_key_of_another_installation": func(_ *testing.T, f *server.Config) {
			f.CallbackKeys = []redact.Secret{oldKey}
		},
		"callback_certificate_unknown": func(_ *testing.T, f *server.Config) {
			f.Tuning.Roots = x509.NewCertPool()
		},
		"certificate_expires_in_5_days": func(t *testing.T, f *server.Config) {
			t.Helper()
			f.HTTP.TLSCert, f.HTTP.TLSKey = site.authority.issue(t, 5*24*time.Hour+time.Hour)
		},
		"certificate_expired": func(t *testing.T, f *server.Config) {
			t.Helper()
			f.HTTP.TLSCert, f.HTTP.TLSKey = site.authority.issue(t, -time.Hour)
		},
		"settings_refused": func(_ *testing.T, f *server.Config) {
			f.Route = []string{"luma"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := site.config
			situation(t, &f)
			cfg := f.Examination()
			cfg.Free = func(string) (uint64, error) { return 100 << 30, nil }
			report := doctor.Examine(t.Context(), cfg)
			var text bytes.Buffer
			if err := report.Print(&text); err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{goodKey, wrongKey, callbackKey, oldKey, "wrong-password", "reader-password", "self-test/"} {
				if strings.Contains(text.String(), secret) {
					t.Errorf("the report holds the secret %q:\n%s", secret, text.String())
				}
			}
			compare(t, filepath.Join("testdata", name+".golden"), masked(text.String()))
		})
	}
}

// compare compares a text with a golden file, or writes the file.
func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), got); diff != "" {
		t.Errorf("the report differs from %s (-want +got); -update writes it:\n%s", file, diff)
	}
}

// masks are what differs from run to run.
var masks = []struct {
	text *regexp.Regexp
	mask string
}{
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`connected to \w+ on`), "connected to DATABASE on"},
	{regexp.MustCompile(`database=\w+`), "database=DATABASE"},
	{regexp.MustCompile(`ALTER ROLE \w+ IN DATABASE \w+`), "ALTER ROLE ROLE IN DATABASE DATABASE"},
	{regexp.MustCompile(`(PostgreSQL) \d+\.\d+( \([^)]*\))?, role \w+`), "$1 VERSION, role ROLE"},
	{regexp.MustCompile(`\d+(\.\d+)?(ms|s)\b`), "TIME"},
	{regexp.MustCompile(`/\S*/(bucket|postgres)\b`), "/FOLDER/$1"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d`), "DATE"},
	{regexp.MustCompile(`\d+ connections are allowed, \d+ in use`), "N connections are allowed, N in use"},
	{regexp.MustCompile(`all \d+ tables`), "all N tables"},
	{regexp.MustCompile(`the role lacks .* and \d+ more`), "the role lacks RIGHTS and N more"},
}

func masked(text string) string {
	for _, m := range masks {
		text = m.text.ReplaceAllString(text, m.mask)
	}
	return text
}

// site is an installation that runs, and where all is fine.
type site struct {
	cluster   *pglocal.Cluster
	authority *authority
	config    server.Config
}

// newSite starts a PostgreSQL as safe as a real one, a simulated provider, and the service. They end with the test.
func newSite(t *testing.T) *site {
	t.Helper()
	cluster, err := pglocal.Start(t.Context(), pglocal.Config{TempDir: pgtest.Dir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Stop(context.WithoutCancel(t.Context())) })
	pool := open(t, cluster.URL())
	if err := migrations.Apply(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), "CREATE ROLE reader LOGIN PASSWORD 'reader-password'"); err != nil {
		t.Fatal(err)
	}
	pool.Close() // A template must have no connections.

	provider, err := sim.Start(sim.Config{APIKeys: []string{goodKey}}, profiles.Set{}.List()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Close() })
	s := &site{cluster: cluster, authority: newAuthority(t)}
	account := func(name string) server.Upstream {
		return server.Upstream{APIKeys: []redact.Secret{goodKey}, URL: provider.BaseURL(name)}
	}
	folder := filepath.Join(t.TempDir(), "bucket")
	if err := os.Mkdir(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	s.config = server.Config{
		DatabaseURL: s.database(t, "refract"), Bucket: "file://" + folder, Auth: "tokens", AllowPrivate: true, Probe: "off",
		GRPC: server.Listener{Address: "127.0.0.1:0"}, HTTP: server.Listener{Address: "127.0.0.1:0"}, Ingress: server.Listener{Address: "127.0.0.1:0"},
		CallbackKeys: []redact.Secret{callbackKey}, Tuning: server.Tuning{Roots: s.authority.pool},
		Providers: server.Providers{KIE: account("kie"), LumaAgents: account("luma-agents")},
	}
	s.config.Ingress.TLSCert, s.config.Ingress.TLSKey = s.authority.issue(t, 90*24*time.Hour+time.Hour)
	s.config.CallbackURL = "https://" + s.serve(t)
	return s
}

// serve runs the service and returns the address of its ingress listener.
func (s *site) serve(t *testing.T) string {
	t.Helper()
	running, err := server.New(t.Context(), s.config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- running.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := running.Close(context.WithoutCancel(ctx)); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return running.IngressAddr()
}

// database returns the URL of a new database that is made like another one.
func (s *site) database(t *testing.T, template string) redact.Secret {
	t.Helper()
	u := parse(t, s.cluster.URL())
	u.Path = "/postgres"
	name := "d" + strings.ToLower(rand.Text())
	s.exec(t, redact.Secret(u.String()), fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", name, template))
	u.Path = "/" + name
	return redact.Secret(postgrestest.WithPool(u.String(), "4"))
}

// pooled returns the URL of a role whose sessions have the settings that a pooler's must have.
func (s *site) pooled(t *testing.T, databaseURL redact.Secret) redact.Secret {
	t.Helper()
	u := parse(t, databaseURL.Reveal())
	role := "r" + strings.ToLower(rand.Text())
	s.exec(t, databaseURL, fmt.Sprintf("CREATE ROLE %s LOGIN SUPERUSER PASSWORD 'reader-password'", role))
	for name, value := range map[string]string{
		"statement_timeout": "15s", "idle_in_transaction_session_timeout": "15s", "jit": "off",
	} {
		s.exec(t, databaseURL, fmt.Sprintf("ALTER ROLE %s SET %s = '%s'", role, name, value))
	}
	u.User = url.UserPassword(role, "reader-password")
	return redact.Secret(u.String())
}

// ingressRole returns the URL of a role that may only append callbacks.
func (s *site) ingressRole(t *testing.T) redact.Secret {
	t.Helper()
	databaseURL := s.database(t, "refract")
	role := "i" + strings.ToLower(rand.Text())
	sql, err := migrations.IngressRole(role)
	if err != nil {
		t.Fatal(err)
	}
	s.exec(t, databaseURL, sql)
	s.exec(t, databaseURL, fmt.Sprintf("ALTER ROLE %s PASSWORD 'reader-password'", role))
	u := parse(t, databaseURL.Reveal())
	u.User = url.UserPassword(role, "reader-password")
	return redact.Secret(u.String())
}

// issuer serves the discovery document and the key of an OIDC issuer.
func (s *site) issuer(t *testing.T) string {
	t.Helper()
	var address string
	address = s.web(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			key := jose.JSONWebKey{Key: &s.authority.key.PublicKey, KeyID: "first", Algorithm: string(jose.ES256), Use: "sig"}
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key}}) // The client reports an answer that is cut.
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": address, "jwks_uri": address + "/keys"}) // As above.
	}))
	return address
}

// exec executes a statement, again while others copy the same database.
func (*site) exec(t *testing.T, databaseURL redact.Secret, sql string) {
	t.Helper()
	pool := open(t, databaseURL.Reveal())
	defer pool.Close()
	postgrestest.Until(t, func() bool {
		_, err := pool.Exec(t.Context(), sql)
		if err != nil && !dbpool.Unavailable(err) && !strings.Contains(err.Error(), "55006") { // It is in use.
			t.Fatal(err)
		}
		return err == nil
	})
}

// web serves a page of someone else under a valid certificate.
func (s *site) web(t *testing.T, handler http.Handler) string {
	t.Helper()
	page := httptest.NewUnstartedServer(handler)
	certFile, keyFile := s.authority.issue(t, 90*24*time.Hour)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	page.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	page.StartTLS()
	t.Cleanup(page.Close)
	return page.URL
}

func open(t *testing.T, databaseURL string) *pgxpool.Pool {
	t.Helper()
	pool, err := dbpool.Open(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

func parse(t *testing.T, databaseURL string) *url.URL {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal("the URL of the database can't be parsed")
	}
	return u
}

// authority issues certificates for loopback.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pool        *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newECKey(t), pool: x509.NewCertPool()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.certificate)
	return a
}

// issue writes a certificate that is valid for so long from now, and its key.
func (a *authority) issue(t *testing.T, left time.Duration) (certFile, keyFile string) {
	t.Helper()
	key := newECKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "refract"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().AddDate(0, 0, -90), NotAfter: time.Now().Add(left), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
