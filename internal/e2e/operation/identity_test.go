package operation_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/server"
)

// credentialed is a caller of a service with TLS, by its Authorization headers and its certificate.
type credentialed struct {
	headers []string
	cert    *tls.Certificate
}

// identityService is a service that takes tokens, JWTs and client certificates.
type identityService struct {
	*e2etest.Service
	issuer    *issuer
	authority *authority
	silentURL string // Of an issuer that never answers.
}

// startIdentityService starts a service that knows callers in all three ways.
func startIdentityService(t *testing.T, configure ...func(*server.Config)) *identityService {
	t.Helper()
	s := &identityService{issuer: startIssuer(t), authority: newAuthority(t)}
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, s.authority.issue(t), cert, key)
	silent := startIssuer(t) // It never answers.
	silent.down.Store(true)
	roots := x509.NewCertPool()
	roots.AddCert(s.issuer.Certificate())
	s.Service = e2etest.Start(t, func(f *server.Config, _ *e2etest.SimConfig) {
		for _, l := range []*server.Listener{&f.GRPC, &f.HTTP} {
			l.TLSCert, l.TLSKey = cert, key
		}
		f.Identity = server.Identity{
			GRPCClientCA: s.authority.file, HTTPClientCA: s.authority.file,
			CertTenants: []string{"spiffe://example.org/tenant/{tenant}", "{tenant}.tenants.example.org"}, CertOperators: []string{"spiffe://example.org/operator/alice"},
			OIDCIssuers: []string{s.issuer.URL, silent.URL}, OIDCAudiences: []string{"refract"}, OIDCTenantClaim: "tenant", OIDCOperators: []string{"groups=video-operators"},
		}
		f.Tuning.Roots = roots
		for _, c := range configure {
			c(f)
		}
	})
	s.silentURL = silent.URL
	return s
}

// tls returns the client side of TLS of a caller.
func (s *identityService) tls(c credentialed) *tls.Config {
	config := &tls.Config{RootCAs: s.authority.pool(), MinVersion: tls.VersionTLS12}
	if c.cert != nil {
		config.Certificates = []tls.Certificate{*c.cert}
	}
	return config
}

// conn returns a connection for gRPC, and a context for calls over it.
func (s *identityService) conn(t *testing.T, c credentialed) (*grpc.ClientConn, context.Context) {
	t.Helper()
	conn, err := grpc.NewClient(s.GRPCAddr(), grpc.WithTransportCredentials(credentials.NewTLS(s.tls(c))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), e2etest.Hung)
	t.Cleanup(cancel)
	for _, header := range c.headers {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", header)
	}
	return conn, ctx
}

// view is what a caller sees: its tasks, by their prompts, or why it is refused.
type view struct {
	Prompts []string
	Code    codes.Code
	Reason  string
}

// overGRPC lists the tasks of a caller.
func (s *identityService) overGRPC(t *testing.T, c credentialed) view {
	t.Helper()
	conn, ctx := s.conn(t, c)
	resp, err := refractv1.NewTaskServiceClient(conn).ListTasks(ctx, &refractv1.ListTasksRequest{})
	return sight(resp, err)
}

// overREST does the same over REST, with headers that claim to be of another caller.
func (s *identityService) overREST(t *testing.T, c credentialed) view {
	t.Helper()
	status, body := s.restAs(t, c, http.MethodGet, "/v1/tasks", "")
	if status == http.StatusOK {
		resp := &refractv1.ListTasksResponse{}
		if err := protojson.Unmarshal(body, resp); err != nil {
			t.Fatal(err)
		}
		return sight(resp, nil)
	}
	e := e2etest.DecodeError(t, body)
	refused := view{Code: codes.Code(e.Code)}
	for _, d := range e.Details {
		if d.Reason != "" {
			refused.Reason = d.Reason
		}
	}
	return refused
}

func (s *identityService) restAs(t *testing.T, c credentialed, method, path, body string) (int, []byte) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: s.tls(c)}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), e2etest.Hung)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "https://"+s.HTTPAddr()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range c.headers {
		req.Header.Add("Authorization", header)
	}
	for _, name := range []string{"X-Refract-Caller", "Grpc-Metadata-X-Refract-Caller", "X-Forwarded-Client-Cert"} {
		req.Header.Set(name, "acme")
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, text
}

func sight(resp *refractv1.ListTasksResponse, err error) view {
	s := view{Code: status.Code(err)}
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			s.Reason = info.GetReason()
		}
	}
	for _, task := range resp.GetTasks() {
		s.Prompts = append(s.Prompts, task.GetPrompt())
	}
	return s
}

// TestIdentity_EachTenantSeesItsOwn has a tenant with an API token, one with JWTs and one with certificates at one service. It makes a
// table of calls over gRPC and REST: while the issuer works, after it has rotated its keys, and while it is out of reach.
func TestIdentity_EachTenantSeesItsOwn(t *testing.T) {
	t.Parallel()
	s := startIdentityService(t)
	i, a := s.issuer, s.authority
	cert := func(names ...string) *tls.Certificate { return new(a.issue(t, names...)) }
	bearer := func(headers ...string) credentialed { return credentialed{headers: headers} }
	apiToken := "Bearer " + s.Token
	withToken, withJWT := bearer(apiToken), bearer(i.token(t, "first", "films", nil))
	withCert := credentialed{cert: cert("spiffe://example.org/tenant/ads")}
	for prompt, c := range map[string]credentialed{"of acme": withToken, "of films": withJWT, "of ads": withCert} {
		conn, ctx := s.conn(t, c)
		req := e2etest.GoodRequest()
		req.Prompt = prompt
		if _, err := refractv1.NewTaskServiceClient(conn).SubmitTask(ctx, req); err != nil {
			t.Fatalf("submit %s: %v", prompt, err)
		}
	}
	sees := func(prompt string) view { return view{Prompts: []string{prompt}} }
	invalid := view{Code: codes.Unauthenticated, Reason: "CREDENTIALS_INVALID"}
	ambiguous := view{Code: codes.Unauthenticated, Reason: "CREDENTIALS_AMBIGUOUS"}
	unavailable := view{Code: codes.Unavailable, Reason: "ISSUER_UNAVAILABLE"}
	jwt := func(changes map[string]any) credentialed { return bearer(i.token(t, "first", "films", changes)) }
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	withdrawn := i.token(t, "curve", "films", nil)

	// A JWT that expired within the clock skew is made for each call: in the table it would wait for its turn until it is invalid.
	late := func() credentialed { return jwt(map[string]any{"exp": in(-time.Second)}) }
	if diff := cmp.Diff(sees("of films"), s.overGRPC(t, late())); diff != "" {
		t.Errorf("a JWT that expired a second ago, gRPC (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(sees("of films"), s.overREST(t, late())); diff != "" {
		t.Errorf("a JWT that expired a second ago, REST (-want +got):\n%s", diff)
	}

	type row struct {
		name string
		credentialed
		want view
	}
	for _, phase := range []struct {
		name  string
		begin func()
		rows  func() []row
	}{
		{"the issuer works", func() {}, func() []row {
			return []row{
				{"an API token", withToken, sees("of acme")},
				{"a JWT", withJWT, sees("of films")},
				{"a JWT of another kind of key", bearer(withdrawn), sees("of films")},
				{"a certificate with a URI", withCert, sees("of ads")},
				{"a certificate with a DNS name", credentialed{cert: cert("Ads.tenants.example.org")}, sees("of ads")},
				{"no credentials", bearer(), invalid},
				{"an empty header", bearer(""), invalid},
				{"a revoked or invented API token", bearer("Bearer refract_" + strings.Repeat("x", 43)), invalid},
				{"text", bearer("Bearer secret"), invalid},
				{"another scheme", bearer("Basic " + s.Token), invalid},

				{"an expired JWT", jwt(map[string]any{"exp": in(-2 * time.Minute)}), invalid},
				{"a JWT without an end", jwt(map[string]any{"exp": nil}), invalid},
				{"a JWT that is not valid yet", jwt(map[string]any{"nbf": in(24 * time.Hour), "exp": in(48 * time.Hour)}), invalid},
				{"a JWT that begins within the clock skew", jwt(map[string]any{"nbf": in(20 * time.Second)}), sees("of films")},
				{"a JWT for another audience", jwt(map[string]any{"aud": "other"}), invalid},
				{"a JWT for no audience", jwt(map[string]any{"aud": nil}), invalid},
				{"a JWT of an unknown issuer", jwt(map[string]any{"iss": "https://idp.example.com"}), invalid},
				{"a JWT without a subject", jwt(map[string]any{"sub": nil}), invalid},
				{"a JWT without a tenant", jwt(map[string]any{"tenant": nil}), invalid},
				{"a JWT whose tenant is no string", jwt(map[string]any{"tenant": []string{"films"}}), invalid},
				{"a JWT whose tenant is the default", jwt(map[string]any{"tenant": "-"}), invalid},
				{"a JWT whose tenant is a number", jwt(map[string]any{"tenant": 7}), invalid},
				{"a JWT whose tenant is null", bearer(i.token(t, "first", "films", map[string]any{"tenant": json.RawMessage("null")})), invalid},
				{"a JWT whose tenant is empty", jwt(map[string]any{"tenant": ""}), invalid},
				{"a JWT whose tenant has a NUL", jwt(map[string]any{"tenant": "films\x00"}), invalid},
				{"a JWT whose tenant has a line break", jwt(map[string]any{"tenant": "films\n"}), invalid},
				{"a JWT whose tenant looks as another one", jwt(map[string]any{"tenant": "films\u200b"}), invalid},
				{"a JWT whose tenant is nested", jwt(map[string]any{"tenant": nil, "claims": map[string]any{"tenant": "films"}}), invalid},
				{"a JWT whose tenant is too long", jwt(map[string]any{"tenant": strings.Repeat("x", 65)}), invalid},
				{"a JWT that is too long", jwt(map[string]any{"padding": strings.Repeat("x", 10<<10)}), invalid},
				{"a JWT signed by a stranger under a known key id", bearer(signed(t, newCurveKey(t), "curve", i.claims("films", nil))), invalid},
				{"a JWT with an unknown key id", bearer(signed(t, newCurveKey(t), "unknown", i.claims("films", nil))), invalid},
				{"a JWT with a symmetric signature", bearer(signed(t, []byte(strings.Repeat("k", 32)), "first", i.claims("films", nil))), invalid},
				{"a JWT without a signature", bearer(unsigned(withJWT.headers[0])), invalid},
				{"a JWT of another payload", bearer(swapped(withJWT.headers[0], i.token(t, "first", "acme", nil))), invalid},
				{"a JWT of an issuer that never answered", jwt(map[string]any{"iss": s.silentURL}), unavailable},
				{"an operator of JWT without a tenant", jwt(map[string]any{"tenant": nil, "groups": []string{"video-operators"}}), invalid},

				{"a token and a certificate of its tenant", credentialed{[]string{apiToken}, cert("acme.tenants.example.org")}, sees("of acme")},
				{"a token and a certificate of another tenant", credentialed{[]string{apiToken}, withCert.cert}, ambiguous},
				{"a JWT and a certificate of another tenant", credentialed{withJWT.headers, withCert.cert}, ambiguous},
				{"two headers", bearer(apiToken, withJWT.headers[0]), ambiguous},
				{"a certificate that names two tenants", credentialed{cert: cert("spiffe://example.org/tenant/ads", "acme.tenants.example.org")}, ambiguous},
				{"a certificate without a known name", credentialed{cert: cert("spiffe://example.org/service/ads", "ads.example.org")}, invalid},
				{"a certificate with a longer path", credentialed{cert: cert("spiffe://example.org/tenant/ads/x")}, invalid},
				{"a certificate without a known name, and a token", credentialed{[]string{apiToken}, cert("proxy.example.org")}, sees("of acme")},
				{"a certificate and a wrong token", credentialed{[]string{"Bearer secret"}, withCert.cert}, invalid},
				{"a certificate of an operator without a tenant", credentialed{cert: cert("spiffe://example.org/operator/alice")}, invalid},
			}
		}},
		{"the issuer has rotated its keys", func() { i.rotate(t, "second") }, func() []row {
			return []row{
				{"a JWT with the new key", bearer(i.token(t, "second", "films", nil)), sees("of films")},
				{"a JWT with a withdrawn key, after the new one is known", bearer(withdrawn), invalid},
			}
		}},
		{"the issuer is down", func() { i.down.Store(true) }, func() []row {
			return []row{
				{"a JWT with a known key", bearer(i.token(t, "second", "films", nil)), sees("of films")},
				{"an expired JWT with a known key", bearer(i.token(t, "second", "films", map[string]any{"exp": in(-time.Hour)})), invalid},
				{"a JWT with an unknown key", bearer(signed(t, newCurveKey(t), "third", i.claims("films", nil))), unavailable},
				{"an API token", withToken, sees("of acme")},
				{"a certificate", withCert, sees("of ads")},
			}
		}},
	} {
		phase.begin()
		rows := phase.rows()
		if phase.name == "the issuer has rotated its keys" { // The first JWT with the new key has it read.
			if got := s.overGRPC(t, rows[0].credentialed); !cmp.Equal(got, rows[0].want) {
				t.Fatalf("the first JWT with the new key: %+v", got)
			}
		}
		t.Run(phase.name, func(t *testing.T) {
			for _, r := range rows {
				t.Run(r.name, func(t *testing.T) { // Not parallel: a row would wait for its turn among all tests, and the service with it.
					if diff := cmp.Diff(r.want, s.overGRPC(t, r.credentialed)); diff != "" {
						t.Errorf("gRPC (-want +got):\n%s", diff)
					}
					if diff := cmp.Diff(r.want, s.overREST(t, r.credentialed)); diff != "" {
						t.Errorf("REST (-want +got):\n%s", diff)
					}
				})
			}
		})
	}
	if reads := int(i.reads.Load()); reads > 40 {
		t.Errorf("the keys were read %d times", reads)
	}
}

// swapped returns a JWT with the payload of another one.
func swapped(token, other string) string {
	parts, others := strings.Split(token, "."), strings.Split(other, ".")
	return strings.Join([]string{parts[0], others[1], parts[2]}, ".")
}

// unsigned returns a JWT with the algorithm none and without a signature.
func unsigned(token string) string {
	return "Bearer " + base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"first"}`)) + "." + strings.Split(token, ".")[1] + "."
}

// TestIdentity_OperatorsByJWTAndCertificate makes a call of operators.
func TestIdentity_OperatorsByJWTAndCertificate(t *testing.T) {
	t.Parallel()
	s := startIdentityService(t)
	jwt := func(changes map[string]any) credentialed {
		return credentialed{headers: []string{s.issuer.token(t, "first", "films", changes)}}
	}
	for name, tc := range map[string]struct {
		credentialed
		want codes.Code
	}{
		"a JWT with the group":                    {jwt(map[string]any{"groups": []string{"cooks", "video-operators"}}), codes.OK},
		"a JWT with the group and no tenant":      {jwt(map[string]any{"groups": "video-operators", "tenant": nil}), codes.OK},
		"a JWT with another group":                {jwt(map[string]any{"groups": []string{"video-operators-2"}}), codes.PermissionDenied},
		"a certificate of an operator":            {credentialed{cert: new(s.authority.issue(t, "spiffe://example.org/operator/alice"))}, codes.OK},
		"a certificate of a tenant":               {credentialed{cert: new(s.authority.issue(t, "spiffe://example.org/tenant/ads"))}, codes.PermissionDenied},
		"a certificate of an operator, and a JWT": {credentialed{jwt(nil).headers, new(s.authority.issue(t, "spiffe://example.org/operator/alice"))}, codes.OK},
	} {
		t.Run(name, func(t *testing.T) { //nolint:paralleltest // It would wait for its turn among all tests, and the service with it.
			conn, ctx := s.conn(t, tc.credentialed)
			_, err := refractv1.NewOperatorServiceClient(conn).ListTenants(ctx, &refractv1.ListTenantsRequest{})
			if status.Code(err) != tc.want {
				t.Errorf("gRPC: %v, want %v", err, tc.want)
			}
			want := map[codes.Code]int{codes.OK: http.StatusOK, codes.PermissionDenied: http.StatusForbidden}[tc.want]
			if got, body := s.restAs(t, tc.credentialed, http.MethodGet, "/v1/tenants", ""); got != want {
				t.Errorf("REST: %d %s, want %d", got, body, want)
			}
		})
	}
}

// TestIdentity_OperatorsWithoutATenantMayExplain asks for the story of a task of a tenant, with a JWT that names an operator and no
// tenant. Other calls of tenants are refused.
func TestIdentity_OperatorsWithoutATenantMayExplain(t *testing.T) {
	t.Parallel()
	s := startIdentityService(t)
	owner, ofTenant := s.conn(t, credentialed{headers: []string{s.issuer.token(t, "first", "films", nil)}})
	submitted, err := refractv1.NewTaskServiceClient(owner).SubmitTask(ofTenant, e2etest.GoodRequest())
	if err != nil {
		t.Fatal(err)
	}
	id := submitted.GetTask().GetId()
	operator := credentialed{headers: []string{s.issuer.token(t, "first", "", map[string]any{"groups": "video-operators", "tenant": nil})}}
	conn, ctx := s.conn(t, operator)
	tasks := refractv1.NewTaskServiceClient(conn)
	if _, err := tasks.ExplainTask(ctx, &refractv1.ExplainTaskRequest{TaskId: id}); err != nil {
		t.Errorf("gRPC: %v", err)
	}
	if got, body := s.restAs(t, operator, http.MethodGet, "/v1/tasks/"+id+":explain", ""); got != http.StatusOK {
		t.Errorf("REST: %d %s", got, body)
	}
	if _, err := tasks.GetTask(ctx, &refractv1.GetTaskRequest{TaskId: id}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("GetTask: %v, want Unauthenticated", err)
	}
}

// TestIdentity_UnverifiedCertificatesAreRefused shows certificates of a stranger's authority, and expired ones.
func TestIdentity_UnverifiedCertificatesAreRefused(t *testing.T) {
	t.Parallel()
	s := startIdentityService(t)
	for name, cert := range map[string]tls.Certificate{
		"of another authority": newAuthority(t).issue(t, "spiffe://example.org/tenant/ads"),
		"expired":              s.authority.issueUntil(t, time.Now().Add(-time.Minute), "spiffe://example.org/tenant/ads"),
	} {
		if got := s.overGRPC(t, credentialed{cert: &cert}); got.Code != codes.Unavailable || got.Reason != "" {
			t.Errorf("%s: %+v, want no connection", name, got)
		}
		transport := &http.Transport{TLSClientConfig: s.tls(credentialed{cert: &cert})}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.HTTPAddr()+"/v1/tasks", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(req)
		if err == nil {
			resp.Body.Close()
			t.Errorf("%s: REST answered %d, want no connection", name, resp.StatusCode)
		}
		transport.CloseIdleConnections()
	}
}

// TestIdentity_StreamsEndWithTheirJWT watches with a JWT that expires, over gRPC and REST.
func TestIdentity_StreamsEndWithTheirJWT(t *testing.T) {
	t.Parallel()
	s := startIdentityService(t)
	c := credentialed{headers: []string{s.issuer.token(t, "first", "films", map[string]any{"exp": time.Now().Add(-50 * time.Second).Unix()})}}
	conn, ctx := s.conn(t, c)
	stream, err := refractv1.NewTaskServiceClient(conn).WatchTasks(ctx, &refractv1.WatchTasksRequest{})
	for err == nil {
		_, err = stream.Recv()
	}
	if got := sight(nil, err); !cmp.Equal(got, view{Code: codes.Unauthenticated, Reason: "CREDENTIALS_INVALID"}) {
		t.Errorf("the stream ended with %v", err)
	}
	if got := s.overREST(t, c); got.Reason != "CREDENTIALS_INVALID" {
		t.Errorf("after the stream, the JWT is still accepted: %+v", got)
	}
}

// TestIdentity_TLSFilesAreReadAgain replaces the certificate of the service and the client CA, without a restart.
func TestIdentity_TLSFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	var cert, key string
	s := startIdentityService(t, func(f *server.Config) { cert, key = f.HTTP.TLSCert, f.HTTP.TLSKey })
	old := s.authority
	if got := s.overREST(t, credentialed{cert: new(old.issue(t, "spiffe://example.org/tenant/ads"))}); got.Code != codes.OK {
		t.Fatalf("before: %+v", got)
	}
	fresh := newAuthority(t)
	writeBytes(t, cert, []byte("half of a file"))
	e2etest.Eventually(t, "the log says that the files can't be used", func() bool { return strings.Count(s.Log.String(), "can't be used") >= 2 })
	if got := s.overREST(t, credentialed{cert: new(old.issue(t, "spiffe://example.org/tenant/ads"))}); got.Code != codes.OK {
		t.Fatalf("with a broken file: %+v", got)
	}
	writePair(t, fresh.issue(t), cert, key)
	content, err := os.ReadFile(fresh.file)
	if err != nil {
		t.Fatal(err)
	}
	writeBytes(t, old.file, content)
	s.authority = fresh
	mine := credentialed{cert: new(fresh.issue(t, "spiffe://example.org/tenant/ads"))}
	for _, address := range []string{s.GRPCAddr(), s.HTTPAddr()} {
		e2etest.Eventually(t, "new connections use the new files", func() bool { return s.handshakes(t, address, mine) })
	}
	if over, rest := s.overGRPC(t, mine), s.overREST(t, mine); over.Code != codes.OK || rest.Code != codes.OK {
		t.Errorf("with a certificate of the new authority: gRPC %+v, REST %+v", over, rest)
	}
	if got := s.overGRPC(t, credentialed{cert: new(old.issue(t, "spiffe://example.org/tenant/ads"))}); got.Code != codes.Unavailable {
		t.Errorf("with a certificate of the old authority: %+v", got)
	}
	if n := strings.Count(s.Log.String(), "can't be used"); n != 2 { // Once for each listener.
		t.Errorf("the broken file was logged %d times", n)
	}
	if _, metrics := s.restAs(t, mine, http.MethodGet, "/metrics", ""); !strings.Contains(string(metrics), `refract_tls_certificate_expiry_timestamp_seconds{`) {
		t.Error("there is no metric of the certificates")
	}
	if !strings.Contains(s.Log.String(), "a TLS certificate expires soon") { // In an hour.
		t.Error("the log does not warn about the end of the certificate")
	}
}

// handshakes reports whether a caller gets a connection that the server has not refused.
func (s *identityService) handshakes(t *testing.T, address string, c credentialed) bool {
	t.Helper()
	conn, err := (&tls.Dialer{Config: s.tls(c)}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}
