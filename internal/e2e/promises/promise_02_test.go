package promises_test

import (
	"net/http"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider/kie"
	"github.com/refract-video/refract/internal/provider/luma"
	"github.com/refract-video/refract/internal/provider/lumaagents"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/task"
)

// TestPromise02_IdempotentSubmit submits one request id 64 times at once, over two replicas, gRPC and REST.
//
// It fails without ON CONFLICT in internal/postgres/insert_tasks.go.
func TestPromise02_IdempotentSubmit(t *testing.T) {
	t.Parallel()
	f := e2etest.StartFleet(t, e2etest.Unlimited)
	replicas := f.StartAll(t, 2)
	req := e2etest.GoodRequest()
	body, err := protojson.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]string, 64)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			<-start
			ts := replicas[i%2]
			if i%4 < 2 {
				resp, err := ts.Tasks.SubmitTask(ts.Ctx(t), proto.CloneOf(req))
				if err != nil {
					t.Errorf("gRPC: %v", err)
				}
				ids[i] = resp.GetTask().GetId()
				return
			}
			var resp refractv1.SubmitTaskResponse
			status, answer := ts.Rest(t, http.MethodPost, "/v1/tasks", string(body))
			if err := protojson.Unmarshal(answer, &resp); err != nil || status != http.StatusOK {
				t.Errorf("REST answered %d %s, %v", status, answer, err)
			}
			ids[i] = resp.GetTask().GetId()
		})
	}
	close(start)
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] || id == "" {
			t.Fatalf("one request id made tasks %q and %q", ids[0], id)
		}
	}
	replicas[0].End(t, ids[0])
	if n := postgrestest.Value[int](t, f.Pool, "SELECT count(*) FROM task"); n != 1 {
		t.Errorf("%d tasks are stored, want 1", n)
	}
	if paid := sim.CountPaid(f.Sim.Ledger(), sim.ByPrompt)[req.GetPrompt()]; paid != 1 {
		t.Errorf("paid %d times, want once", paid)
	}
}

// TestPromise02_AnotherPayloadIsRefused changes each field that a request can have, one at a time.
//
// It fails without any one line of Spec.Differences in internal/task/task.go.
func TestPromise02_AnotherPayloadIsRefused(t *testing.T) {
	t.Parallel()
	models := e2etest.CatalogFile(t, e2etest.OwnModel)
	f := e2etest.StartFleet(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.EveryProvider(f, c)
		f.Catalog = []string{models}
	})
	replicas := f.StartAll(t, 2)
	everywhere := map[string]func(*refractv1.SubmitTaskRequest){
		"prompt": func(r *refractv1.SubmitTaskRequest) { r.Prompt += "!" },
		"source.uri": func(r *refractv1.SubmitTaskRequest) {
			r.Source.Location = &refractv1.SubmitTaskSource_Uri{Uri: "https://example.com/another.mp4"}
		},
		"priority":     func(r *refractv1.SubmitTaskRequest) { r.Priority++ },
		"labels":       func(r *refractv1.SubmitTaskRequest) { r.Labels = map[string]string{"team": "films"} },
		"deadline":     func(r *refractv1.SubmitTaskRequest) { r.Deadline = durationpb.New(time.Hour) },
		"max_attempts": func(r *refractv1.SubmitTaskRequest) { r.MaxAttempts = 2 },
		"webhook_uri":  func(r *refractv1.SubmitTaskRequest) { r.WebhookUri = "https://example.com/hook" },
	}
	var sources [2]string
	for i := range sources {
		clip := e2etest.DistinctClip(strconv.Itoa(i))
		uploaded, err := replicas[0].Send(t, f.Token, &refractv1.UploadSourceHeader{UploadId: uuid.NewString(), SizeBytes: int64(len(clip))}, clip)
		if err != nil {
			t.Fatal(err)
		}
		sources[i] = uploaded.GetSource().GetId()
	}
	changed := map[string]bool{}
	for _, tc := range []struct {
		provider string
		fields   map[string]func(*refractv1.SubmitTaskRequest)
	}{
		{"", map[string]func(*refractv1.SubmitTaskRequest){"source.source_id": e2etest.BySource(sources[1])}},
		{kie.Name, everywhere},
		{kie.Name, map[string]func(*refractv1.SubmitTaskRequest){
			"watermark":          func(r *refractv1.SubmitTaskRequest) { r.Watermark = "wm" },
			"provider":           func(r *refractv1.SubmitTaskRequest) { r.Provider = luma.Name },
			"fallback_providers": func(r *refractv1.SubmitTaskRequest) { r.FallbackProviders = []string{luma.Name} },
		}},
		{"own model", map[string]func(*refractv1.SubmitTaskRequest){
			"parameters": e2etest.WithParameters(map[string]any{"resolution": "1080p"}),
		}},
		{luma.Name, map[string]func(*refractv1.SubmitTaskRequest){
			"strength":           func(r *refractv1.SubmitTaskRequest) { r.Strength = refractv1.Strength_STRENGTH_FLEX_2 },
			"model":              func(r *refractv1.SubmitTaskRequest) { r.Model = "ray-flash-2" },
			"first_frame_uri":    func(r *refractv1.SubmitTaskRequest) { r.FirstFrameUri = "https://example.com/frame.png" },
			"fallback_providers": func(r *refractv1.SubmitTaskRequest) { r.FallbackProviders = []string{lumaagents.Name} },
		}},
	} {
		base := e2etest.GoodRequest()
		switch tc.provider {
		case "":
			e2etest.BySource(sources[0])(base)
		case "own model":
			e2etest.WithParameters(map[string]any{"resolution": "720p"})(base)
		default:
			base.Provider = tc.provider
		}
		first, err := replicas[0].Tasks.SubmitTask(replicas[0].Ctx(t), base)
		if err != nil {
			t.Fatal(err)
		}
		for field, change := range tc.fields {
			changed[field] = true
			other := proto.CloneOf(base)
			change(other)
			_, err := replicas[1].Tasks.SubmitTask(replicas[1].Ctx(t), other)
			want := e2etest.Refusal{Code: codes.AlreadyExists, Reason: "REQUEST_ID_CONFLICT", Fields: []string{field}, TaskID: first.GetTask().GetId()}
			if diff := cmp.Diff(want, e2etest.RefusalOf(err)); diff != "" {
				t.Errorf("another %s (-want +got):\n%s", field, diff)
			}
		}
	}
	if all := reflect.TypeFor[task.Spec]().NumField(); len(changed) != all {
		t.Errorf("%d fields were changed, and a task has %d: %v", len(changed), all, changed)
	}
}
