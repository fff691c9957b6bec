package promises_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

// sourceSecret is the signature of the link to a source.
const sourceSecret = "9f86d081884c7d659a2feaa0c55ad015"

// TestPromise11_NoSecretLeaks provokes every kind of error with a provider that repeats what it received. Then it looks
// for secrets in everything that the service has produced: its log, metrics, traces, answers, and every row that it has
// stored.
//
// It fails when Redact (internal/provider/wire/redact.go) or redactBody (internal/callback/receive.go) returns its argument
// unchanged, and when dbpool.Open quotes the URL.
func TestPromise11_NoSecretLeaks(t *testing.T) {
	t.Parallel()
	provider, err := sim.Start(sim.Config{APIKeys: []string{e2etest.APIKey}}, simkie.Profile{WebhookKey: e2etest.WebhookKey, SubmitLimit: sim.Limit{N: -1}, QueryLimit: sim.Limit{N: -1}, CallbackSpacing: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Close() })
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { echoRequest(w, r, provider.URL()) }))
	t.Cleanup(echo.Close)
	traces := startCollector(t)
	databaseURL := postgrestest.URL(t)
	pool := postgrestest.Connect(t, databaseURL)
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	wire := e2etest.StartWiretap(t, u.Host)
	u.Host = wire.Address
	token := e2etest.CreateToken(t, pool, "acme")
	const headerSecret, callbackPassword, basePassword = "collector-9d1e77", "callback-password-51c", "base-password-90aa"
	g := e2etest.StartGate(t)
	p := e2etest.StartProcessIn(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + traces.url, "OTEL_EXPORTER_OTLP_HEADERS=authorization=" + headerSecret + ",broken=" + headerSecret + "%zz"},
		"--callback-url="+strings.Replace(g.URL, "://", "://refract:"+callbackPassword+"@", 1), "--base-url=http://refract:"+basePassword+"@files.example.com",
		"--database-url="+e2etest.FewConnections(u.String()), "--bucket=file://"+filepath.Join(t.TempDir(), "bucket"), "--allow-private", "--log-level=debug",
		"--grpc-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--ingress-address=127.0.0.1:0",
		"--kie-url="+echo.URL, "--kie-api-key="+e2etest.APIKey, "--kie-webhook-key="+e2etest.WebhookKey, "--kie-limit=1000/1s/1000")

	g.ToAddress(p.Ingress)
	g.Open.Store(true)
	said := &swept{}
	ids := provoke(t, p, pool, token, said)
	operatorToken, madeToken := e2etest.NewToken(t, pool, "ops", true), struct{ Secret string }{}
	_, _, answer := e2etest.Request(t, http.MethodPost, "http://"+p.HTTP+"/v1/apiTokens", `{"tenant":"films"}`, "Authorization", "Bearer "+operatorToken)
	if err := json.Unmarshal(answer, &madeToken); err != nil || len(madeToken.Secret) < 40 {
		t.Fatalf("the answer with a new API token is %q: %v", answer, err)
	}
	wire.SetCut(true) // The database is unreachable for a while.
	e2etest.Eventually(t, "the service to miss its database", func() bool { return wire.Refused.Load() > 3 })
	said.get(t, "http://"+p.HTTP+"/v1/tasks/"+ids[0], token)
	wire.SetCut(false)
	for _, id := range ids {
		said.get(t, "http://"+p.HTTP+"/v1/tasks/"+id, token)
		said.get(t, "http://"+p.HTTP+"/v1/tasks/"+id+"/events", token)
	}
	abuseCallbacks(t, provider, p.Ingress, said)
	said.get(t, "http://"+p.HTTP+"/metrics", "")
	said.get(t, "http://"+p.HTTP+"/v1/tasks", "refract_wrong")
	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-p.Drained
	said.add("the log", p.Log.String())
	said.add("the traces", traces.text())
	said.addRows(t, pool)
	_, err = dbpool.Open(t.Context(), "postgres://refract:"+password+"@%zz")
	said.add("a broken database URL", fmt.Sprint(err))

	secrets := map[string]string{
		"the API key": e2etest.APIKey, "the signing key": e2etest.WebhookKey, "the password of the database": password,
		"a caller's token": token, "an operator's token": operatorToken, "a token that an operator made": madeToken.Secret, "the signature of a source": sourceSecret, "a result link": "/results/",
		"the password of the callback URL": callbackPassword, "the password of the base URL": basePassword, "the header of the collector": headerSecret,
	}
	for _, e := range provider.Ledger() {
		if _, urlToken, ok := strings.Cut(e.CallbackURL, "/v1/callbacks/kie/"); ok {
			secrets["a URL token of "+e.Prompt] = urlToken
		}
	}
	if len(secrets) < 16 || !strings.Contains(said.all["the traces"], "provider submit") {
		t.Fatalf("%d secrets and traces of %d bytes are too few to prove anything", len(secrets), len(said.all["the traces"]))
	}
	said.sweep(t, secrets)
}

// echoRequest answers submissions whose prompt requests it with the request itself, including its headers.
func echoRequest(w http.ResponseWriter, r *http.Request, provider string) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	_, rest, asked := strings.Cut(promptIn(body), "echo=")
	if !asked {
		e2etest.Forward(w, r, provider)
		return
	}
	code, spelling, _ := strings.Cut(rest, ",")
	status, _ := strconv.Atoi(code)
	words, _ := json.Marshal(r.Header.Get("Authorization") + " sent " + string(body))
	switch spelling {
	case "percent":
		words = []byte(`"` + strings.ToUpper(spellEach("%%%02x", string(words))) + `"`)
	case "json":
		words = []byte(`"` + spellEach(`\u%04x`, string(words)) + `"`)
	case "base64":
		words = []byte(`"` + base64.StdEncoding.EncodeToString(words) + `"`)
	}
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"code":%d,"msg":%s}`, status, words)
}

// provoke submits a task for each kind of failure, waits until each has happened, and returns the tasks.
func provoke(t *testing.T, p *e2etest.Process, pool *pgxpool.Pool, token string, said *swept) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(e2etest.As(t.Context(), token), e2etest.Hung)
	defer cancel()
	var ids []string
	for _, trouble := range []string{
		"", "[sim:fail,reason=calling+back]", "[sim:drop-after]", "[sim:truncate]", "[sim:bad-signature]", "[sim:stale]", "[sim:null-data]",
		"[sim:prompt-object]", "[sim:conflict]", "[sim:forge-urls]", "[sim:html-result]", "[sim:gone]", "[sim:once]", "[sim:html403]",
		"echo=400", "echo=401", "echo=402", "echo=404", "echo=422", "echo=429", "echo=455", "echo=500", "echo=501", "echo=302",
		"echo=500,percent", "echo=422,json", "echo=422,base64",
	} {
		req := e2etest.GoodRequest()
		req.Prompt = trouble
		req.Source.Location = &refractv1.SubmitTaskSource_Uri{Uri: "https://me:" + sourceSecret + "@example.com/clip.mp4?X-Amz-Signature=" + sourceSecret}
		if trouble == "" {
			req.Prompt = "nothing"
		}
		if _, err := p.Tasks.SubmitTask(ctx, req); err != nil {
			said.add("a refusal of "+trouble, err.Error())
			req.Source.Location = &refractv1.SubmitTaskSource_Uri{Uri: "https://example.com/clip.mp4?X-Amz-Signature=" + sourceSecret}
		}
		var resp *refractv1.SubmitTaskResponse
		e2etest.Eventually(t, "a task to be accepted after "+strings.Join(ids, " "), func() bool {
			_, err := pool.Exec(ctx, "DELETE FROM offering_closure") // Some answers withdraw the model.
			if err == nil {
				resp, err = p.Tasks.SubmitTask(ctx, req)
			}
			return err == nil
		})
		ids = append(ids, resp.GetTask().GetId())
		// One by one, and without pauses of the account, so that each task has its own failure.
		e2etest.Eventually(t, "an answer to "+req.GetPrompt(), func() bool {
			postgrestest.Exec(t, pool, "UPDATE provider_account SET paused_until_time = NULL, pauses = 0, unknowns = 0")
			return postgrestest.Value[bool](t, pool, "SELECT EXISTS (SELECT FROM attempt WHERE task_id = $1 AND answer_time IS NOT NULL)", ids[len(ids)-1])
		})
		if _, err := p.Tasks.CancelTask(ctx, &refractv1.CancelTaskRequest{TaskId: ids[len(ids)-1]}); err != nil && trouble != "" {
			t.Fatal(err)
		}
	}
	e2etest.Eventually(t, "callbacks of the kinds that there are", func() bool {
		return postgrestest.Value[int](t, pool, "SELECT count(DISTINCT verdict) FROM callback") >= 4
	})
	return ids
}

// abuseCallbacks posts hostile callbacks to the URL of an attempt.
func abuseCallbacks(t *testing.T, provider *sim.Server, ingress string, said *swept) {
	t.Helper()
	for _, e := range provider.Ledger() {
		if e.CallbackURL == "" {
			continue
		}
		for _, body := range []string{
			`{"code":500,"msg":"` + e.CallbackURL + `"}`, e.CallbackURL, `{"code":200,"data":{"taskId":"x","u":"` + e.CallbackURL + `"}}`,
			`{"code":200,"data":{"taskId":"x","u":"` + spellEach("%%%02x", e.CallbackURL) + `","v":"` + base64.StdEncoding.EncodeToString([]byte(e.CallbackURL)) + `"}}`,
			`{"code":200,"data":{"taskId":"x","u":"` + spellEach(`\u%04X`, e.CallbackURL) + `","v":"` + url.QueryEscape(url.QueryEscape(e.CallbackURL)) + `"}}`,
		} {
			_, _, answer := e2etest.Request(t, http.MethodPost, e.CallbackURL, body)
			said.add("the answer to a callback", string(answer))
		}
		_, _, answer := e2etest.Request(t, http.MethodPost, e.CallbackURL+"x", "{}")
		said.add("the answer to a wrong callback", string(answer))
		_, _, answer = e2etest.Request(t, http.MethodGet, strings.Replace(e.CallbackURL, "/kie/", "/unknown/", 1), "")
		said.add("the answer at "+ingress, string(answer))
	}
}

// swept is everything that the service has produced, by origin.
type swept struct{ all map[string]string }

func (s *swept) add(where, text string) {
	if s.all == nil {
		s.all = map[string]string{}
	}
	s.all[where] += text + "\n"
}

// get requests a path of the HTTP listener. Callers see the signature of their own source again, which is their own
// secret.
func (s *swept) get(t *testing.T, url, token string) {
	t.Helper()
	_, _, answer := e2etest.Request(t, http.MethodGet, url, "", "Authorization", "Bearer "+token)
	s.add(url, strings.ReplaceAll(string(answer), "https://example.com/clip.mp4?X-Amz-Signature="+sourceSecret, ""))
}

// addRows adds every row of every table. Exceptions are the source of a task, which is needed to submit it, and the
// service's own keys.
func (s *swept) addRows(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_name <> 'secret'`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		name := pgx.Identifier{table}.Sanitize()
		s.add("table "+table, postgrestest.Value[string](t, pool, `SELECT coalesce(string_agg((to_jsonb(t) - 'source_uri')::text, E'\n'), '') FROM `+name+` AS t`))
	}
}

// sweep fails the test for each secret that it finds, as text, in JSON, in a URL or as hexadecimal bytes.
func (s *swept) sweep(t *testing.T, secrets map[string]string) {
	t.Helper()
	for where, text := range s.all {
		for what, secret := range secrets {
			for _, form := range spellings(secret) {
				if i := strings.Index(text, form); i >= 0 {
					t.Errorf("%s is in %s: …%s…", what, where, text[max(0, i-150):min(len(text), i+len(form)+50)])
					break
				}
			}
		}
	}
}

// spellEach formats each byte of s.
func spellEach(format, s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

// spellings returns the spellings of a secret in text, and in the hexadecimal text of bytes in rows.
func spellings(secret string) []string {
	encoded := base64.RawStdEncoding.EncodeToString([]byte(secret))
	forms := []string{
		secret, url.QueryEscape(secret), strings.ReplaceAll(secret, "/", `\/`), encoded[:len(encoded)-2],
		spellEach("%%%02x", secret), spellEach("%%%02X", secret), spellEach(`\u%04x`, secret), spellEach(`\u%04X`, secret),
	}
	for _, form := range slices.Clone(forms) {
		forms = append(forms, hex.EncodeToString([]byte(form)))
	}
	return forms
}

// collector receives the traces.
type collector struct {
	url string
	mu  sync.Mutex
	buf bytes.Buffer
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, _ = io.Copy(&c.buf, r.Body)
	}))
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

func (c *collector) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.String()
}
