package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// TestSubmit_AFileIsUploadedModifiedAndDownloaded runs a local clip from end to end, for each way in which a provider
// can get it.
func TestSubmit_AFileIsUploadedModifiedAndDownloaded(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		provider string
		public   bool
		uploads  int // How many files were uploaded to the provider.
	}{
		"through the provider's uploads":   {"kie", false, 1},
		"by a link of Refract":             {"kie", true, 0},
		"by a link, where no uploads are":  {"luma", true, 0},
		"by a link, without any callbacks": {"luma-agents", true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ts := e2etest.Start(t, func(f *server.Config, sc *e2etest.SimConfig) {
				e2etest.EveryProvider(f, sc)
				e2etest.Fetching(f, sc)
				f.PublicSources = tc.public
			})
			clip := e2etest.DistinctClip(name)
			out := filepath.Join(t.TempDir(), "result.mp4")
			args := []string{"submit", "--video=" + writeFile(t, clip), "--prompt=A neon city", "--provider=" + tc.provider, "--wait", "-o", out, "--token=" + ts.Token}
			r := ts.GRPCAddr()
			exit, said, errs := e2etest.Command(t, r, args...)
			if exit != 0 || !strings.Contains(said, " uploaded: ") || !strings.Contains(said, "video/mp4, 1s") {
				t.Fatalf("exit %d: %s\n%s", exit, errs, said)
			}
			if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, clip) {
				t.Errorf("the result has %d bytes, %v, want the %d of the clip", len(got), err, len(clip))
			}
			uploads := 0
			for _, e := range ts.Sim.Ledger() {
				if e.Path == "/api/file-stream-upload" {
					uploads++
				}
			}
			if uploads != tc.uploads {
				t.Errorf("%d files were uploaded to the provider, want %d", uploads, tc.uploads)
			}
			if exit, said, errs = e2etest.Command(t, r, args...); exit != 0 || !strings.Contains(said, " was there already: ") {
				t.Errorf("the same clip again: exit %d: %s\n%s", exit, errs, said)
			}
			if strings.Contains(ts.Log.String(), "/v1/sources/") {
				t.Error("the log holds a link to a source")
			}
		})
	}
}

func TestProbe_RefusesBeforeAnythingIsPaid(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, e2etest.Fetching)
	large, err := os.ReadFile(paddedClip(t, 1_000_000))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		"/long.mp4": slowClip(t, 14), "/page.html": []byte("<!DOCTYPE html><html>"), "/cut.mp4": sim.TinyClip()[:3000],
		"/sound.mp4": bytes.Replace(sim.TinyClip(), []byte("vide"), []byte("soun"), 1), "/photo.mp4": []byte("\x00\x00\x00\x10ftypheic\x00\x00\x00\x00\x00\x00\x00\x0cmeta\x00\x00\x00\x00"),
	}
	huge := paddedClip(t, 612_345_678)
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/huge.mp4" {
			http.ServeFile(w, r, huge)
			return
		}
		content, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "video/mp4")
		_, _ = w.Write(content)
	}))
	t.Cleanup(host.Close)
	uploaded, err := ts.Send(t, ts.Token, &refractv1.UploadSourceHeader{UploadId: uuid.NewString(), SizeBytes: int64(len(large))}, large)
	if err != nil {
		t.Fatal(err)
	}
	long, err := ts.Send(t, ts.Token, &refractv1.UploadSourceHeader{UploadId: uuid.NewString(), SizeBytes: int64(len(files["/long.mp4"]))}, files["/long.mp4"])
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		provider string
		source   func(*refractv1.SubmitTaskRequest)
		reason   refractv1.FailureReason
		says     string
	}{
		"missing":       {"kie", e2etest.ByURI(host.URL + "/no.mp4"), refractv1.FailureReason_FAILURE_REASON_INPUT_UNREACHABLE, "status 404"},
		"no listener":   {"kie", e2etest.ByURI("http://127.0.0.1:1/a.mp4?secret"), refractv1.FailureReason_FAILURE_REASON_INPUT_UNREACHABLE, "connection refused"},
		"too long":      {"kie", e2etest.ByURI(host.URL + "/long.mp4"), refractv1.FailureReason_FAILURE_REASON_INPUT_TOO_LONG, "the source has 14"},
		"too large":     {"kie", e2etest.ByURI(host.URL + "/huge.mp4"), refractv1.FailureReason_FAILURE_REASON_INPUT_TOO_LARGE, "the source has 612.346 MB; provider kie takes at most 500 MB"},
		"web page":      {"kie", e2etest.ByURI(host.URL + "/page.html"), refractv1.FailureReason_FAILURE_REASON_INPUT_UNSUPPORTED, "the source is no video but text/html"},
		"damaged":       {"kie", e2etest.ByURI(host.URL + "/cut.mp4"), refractv1.FailureReason_FAILURE_REASON_INPUT_UNSUPPORTED, "the source can't be used"},
		"sound":         {"kie", e2etest.ByURI(host.URL + "/sound.mp4"), refractv1.FailureReason_FAILURE_REASON_INPUT_UNSUPPORTED, "it has no video track, only sound"},
		"photo":         {"luma", e2etest.ByURI(host.URL + "/photo.mp4"), refractv1.FailureReason_FAILURE_REASON_INPUT_UNSUPPORTED, "it is a photo"},
		"no way to it":  {"luma", e2etest.BySource(uploaded.GetSource().GetId()), refractv1.FailureReason_FAILURE_REASON_INPUT_UNREACHABLE, "--public-sources"},
		"uploaded long": {"kie", e2etest.BySource(long.GetSource().GetId()), refractv1.FailureReason_FAILURE_REASON_INPUT_TOO_LONG, "takes at most 10 s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			task := ts.Submit(t, name, tc.source, func(r *refractv1.SubmitTaskRequest) { r.Provider = tc.provider })
			last := ts.End(t, task.GetId())
			f := last.GetFailure()
			if f.GetReason() != tc.reason || f.GetPayment() != refractv1.Payment_PAYMENT_NONE || !strings.Contains(f.GetMessage(), tc.says) || strings.Contains(f.GetMessage(), "secret") {
				t.Errorf("ended with %v, want %v with %q", f, tc.reason, tc.says)
			}
			if asked := sim.CountPaid(ts.Sim.Ledger(), sim.ByPrompt)[task.GetPrompt()]; asked != 0 {
				t.Errorf("the provider was asked %d times", asked)
			}
		})
	}
}

func TestProbe_LetsGoodSourcesThrough(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, e2etest.Fetching)
	last := ts.End(t, ts.Submit(t, "", e2etest.ByURI(ts.Sim.URL()+"/clips/sample.mp4")).GetId())
	if last.GetState() != e2etest.Succeeded {
		t.Errorf("ended %v", last)
	}
}

// TestProbe_MovesOnWhereTheLimitIsTheProviders sends a clip that the first provider finds too large.
func TestProbe_MovesOnWhereTheLimitIsTheProviders(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, e2etest.Fetching)
	path := paddedClip(t, 120_000_000)
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) }))
	t.Cleanup(host.Close)
	id := ts.Submit(t, "[sim:fail]", e2etest.ByURI(host.URL), func(r *refractv1.SubmitTaskRequest) {
		r.Provider, r.FallbackProviders = "luma", []string{"kie"}
	}).GetId()
	var movedOn bool
	for _, e := range ts.Await(t, id, func(e *refractv1.TaskEvent) bool { return e2etest.Terminal(e.GetState()) }) {
		movedOn = movedOn || strings.Contains(e.GetMessage(), "provider luma takes at most 100 MB (luma/ray-2-modify); moving on to kie")
	}
	// Where the host answers too late, as on a slow machine, there are attempts in between that are not sent.
	if got := ts.Get(t, id); !movedOn || got.GetProvider() != "kie" || got.GetAttempt().GetNumber() < 2 {
		t.Errorf("movedOn %t, ended as %v", movedOn, got)
	}
	if n := sim.CountPaid(ts.Sim.Ledger(), sim.ByPrompt)["A neon city [sim:fail]"]; n != 1 {
		t.Errorf("the task was paid for %d times, want once", n)
	}
}

func TestUploadSource_BelongsToItsTenant(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	clip := e2etest.DistinctClip("mine")
	h := &refractv1.UploadSourceHeader{UploadId: uuid.NewString(), SizeBytes: int64(len(clip))}
	mine, err := ts.Send(t, ts.Token, h, clip)
	if err != nil {
		t.Fatal(err)
	}
	other := e2etest.CreateToken(t, ts.Pool, "ads")
	theirs, err := ts.Send(t, other, h, nil)
	if err != nil || theirs.GetReceivedBytes() != 0 || theirs.GetSource() != nil {
		t.Errorf("another tenant sees %v, %v under the same upload id", theirs, err)
	}
	req := e2etest.GoodRequest()
	e2etest.BySource(mine.GetSource().GetId())(req)
	_, err = ts.Tasks.SubmitTask(e2etest.As(t.Context(), other), req)
	if info := e2etest.InfoOf(status.Convert(err)); status.Code(err) != codes.NotFound || info.GetReason() != "SOURCE_NOT_FOUND" || info.GetMetadata()["source_id"] != mine.GetSource().GetId() {
		t.Errorf("another tenant submits it: %v", err)
	}
	if _, err := ts.Send(t, "", h, nil); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a token: %v", err)
	}
}

func TestUploadSource_RefusesWhatNoProviderTakes(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	_, err := ts.Send(t, ts.Token, &refractv1.UploadSourceHeader{UploadId: uuid.NewString(), SizeBytes: 500_000_001}, nil)
	if info := e2etest.InfoOf(status.Convert(err)); status.Code(err) != codes.ResourceExhausted || info.GetReason() != "SOURCE_TOO_LARGE" || info.GetMetadata()["limit_bytes"] != "500000000" {
		t.Errorf("got %v", err)
	}
	code, body := ts.Rest(t, http.MethodPut, "/v1/sources/"+uuid.NewString(), "", "Content-Range", "bytes */500000001")
	if e := e2etest.DecodeError(t, body); code != http.StatusRequestEntityTooLarge || e.Details[0].Reason != "SOURCE_TOO_LARGE" {
		t.Errorf("over HTTP: %d %s", code, body)
	}
	_, err = ts.Send(t, ts.Token, &refractv1.UploadSourceHeader{UploadId: "x"}, nil)
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("an id that is none: %v", err)
	}
}

// replicaArgs returns the arguments of services that share a database and a bucket, with a simulated provider.
func replicaArgs(t *testing.T) []string {
	t.Helper()
	provider, err := sim.Start(sim.Config{}, simkie.Profile{WebhookKey: e2etest.WebhookKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Close() })
	return []string{
		"--database-url=" + postgrestest.URL(t), "--bucket=file://" + filepath.Join(t.TempDir(), "bucket"), "--auth=none", "--allow-private",
		"--grpc-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--ingress-address=127.0.0.1:0",
		"--kie-url=" + provider.URL(), "--kie-api-key=any", "--kie-webhook-key=" + e2etest.WebhookKey,
	}
}

// TestUploadSource_GoesOnAtAnotherReplica cuts uploads over gRPC and HTTP, kills the replica that took them, and
// continues at another one.
func TestUploadSource_GoesOnAtAnotherReplica(t *testing.T) {
	t.Parallel()
	args := replicaArgs(t)
	first := e2etest.StartProcess(t, args...)
	second := e2etest.StartProcess(t, args...)
	clip, err := os.ReadFile(paddedClip(t, 20_000_000))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	h := &refractv1.UploadSourceHeader{UploadId: uuid.NewString(), SizeBytes: int64(len(clip))}
	stream, err := first.Tasks.UploadSource(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&refractv1.UploadSourceRequest{Part: &refractv1.UploadSourceRequest_Header{Header: h}}); err != nil {
		t.Fatal(err)
	}
	for chunk := range e2etest.BytesOf(clip[:18_000_000], 512<<10) {
		if err := stream.Send(&refractv1.UploadSourceRequest{Part: &refractv1.UploadSourceRequest_Chunk{Chunk: chunk}}); err != nil {
			t.Fatal(err)
		}
	}
	received := awaitReceived(t, second, h.GetUploadId(), 16<<20)
	first.Kill()
	cancel()
	if received > 18_000_000 {
		t.Fatalf("received %d bytes of 18000000", received)
	}
	h.Offset = received
	resp, err := e2etest.UploadTo(t.Context(), second.Tasks, h, clip[received:])
	if err != nil || resp.GetSource().GetSizeBytes() != int64(len(clip)) {
		t.Fatalf("at the second replica: %v, %v", resp, err)
	}
}

// awaitReceived polls a replica until an upload has a minimum of bytes.
func awaitReceived(t *testing.T, p *e2etest.Process, uploadID string, least int64) int64 {
	t.Helper()
	for {
		resp, err := e2etest.UploadTo(t.Context(), p.Tasks, &refractv1.UploadSourceHeader{UploadId: uploadID}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.GetReceivedBytes() >= least {
			return resp.GetReceivedBytes()
		}
	}
}

func TestUploadSource_GoesOnOverHTTP(t *testing.T) {
	t.Parallel()
	args := replicaArgs(t)
	first, second := e2etest.StartProcess(t, args...), e2etest.StartProcess(t, args...)
	clip := append(e2etest.DistinctClip("http"), make([]byte, 300_000)...)
	path := "/v1/sources/" + uuid.NewString()
	body := io.MultiReader(bytes.NewReader(clip[:200_000]), failing{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+first.HTTP+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(clip))
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
		t.Fatalf("the cut upload was answered %d", resp.StatusCode)
	}
	var offset string
	for offset != "200000" { // The bytes in the network still arrive.
		code, header, _ := e2etest.Request(t, http.MethodHead, "http://"+second.HTTP+path, "")
		if offset = header.Get("Upload-Offset"); code != http.StatusOK || offset == "" {
			t.Fatalf("HEAD answered %d, Upload-Offset %q", code, offset)
		}
	}
	code, _, answer := e2etest.Request(t, http.MethodPut, "http://"+second.HTTP+path, string(clip[200_000:]),
		"Content-Range", "bytes 200000-"+strconv.Itoa(len(clip)-1)+"/"+strconv.Itoa(len(clip)))
	if code != http.StatusCreated || !strings.Contains(string(answer), `"sizeBytes":"`+strconv.Itoa(len(clip))+`"`) {
		t.Errorf("the rest was answered %d %s", code, answer)
	}
	code, _, answer = e2etest.Request(t, http.MethodPut, "http://"+second.HTTP+"/v1/sources/"+uuid.NewString(), string(clip))
	if code != http.StatusOK || !strings.Contains(string(answer), `"duplicate":true`) {
		t.Errorf("the same clip again was answered %d %s", code, answer)
	}
}

// failing is a body that breaks off.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the network broke") }

func TestPublicSources_AreServedByTheirLinkAlone(t *testing.T) {
	t.Parallel()
	const key = "a key of links that has 32 bytes and more"
	ts := e2etest.Start(t, func(f *server.Config, sc *e2etest.SimConfig) {
		e2etest.Fetching(f, sc)
		f.PublicSources, f.CallbackKeys = true, []redact.Secret{key}
	})
	clip := e2etest.DistinctClip("public")
	resp, err := ts.Send(t, ts.Token, &refractv1.UploadSourceHeader{UploadId: uuid.NewString(), SizeBytes: int64(len(clip))}, clip)
	if err != nil {
		t.Fatal(err)
	}
	ts.End(t, ts.Submit(t, "", e2etest.BySource(resp.GetSource().GetId())).GetId())
	ledger := ts.Sim.Ledger()
	link := ledger[len(ledger)-1].VideoURL
	base, token, ok := strings.Cut(link, "/v1/sources/")
	if !ok || base != "http://"+ts.IngressAddr() {
		t.Fatalf("the provider was given %q, want a link to the ingress listener", link)
	}
	code, header, body := e2etest.Request(t, http.MethodGet, link, "", "Range", "bytes=10-19")
	if code != http.StatusPartialContent || !bytes.Equal(body, clip[10:20]) || header.Get("Content-Type") != "video/mp4" {
		t.Errorf("a range: %d, %d bytes, %s", code, len(body), header.Get("Content-Type"))
	}
	forged := "A" + token[1:]
	if token[0] == 'A' {
		forged = "B" + token[1:]
	}
	links, err := source.NewLinks([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	stale, err := links.Make(task.SourceID(resp.GetSource().GetId()), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{"forged": forged, "expired": stale, "none": "", "a source id": resp.GetSource().GetId()} {
		if code, _, body := e2etest.Request(t, http.MethodGet, base+"/v1/sources/"+token, ""); code != http.StatusNotFound {
			t.Errorf("%s: %d %s, want 404", name, code, body)
		}
	}
	if code, _, _ := e2etest.Request(t, http.MethodPut, base+"/v1/sources/"+uuid.NewString(), "x"); code != http.StatusNotFound {
		t.Errorf("an upload at the public listener: %d, want 404", code)
	}
	off := e2etest.Start(t, nil)
	if code, _, _ := e2etest.Request(t, http.MethodGet, "http://"+off.IngressAddr()+"/v1/sources/"+token, ""); code != http.StatusNotFound {
		t.Errorf("where sources are not public: %d, want 404", code)
	}
}
