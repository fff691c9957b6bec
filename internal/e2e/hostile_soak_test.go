//go:build soak

package e2e_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

const (
	// hostileRounds is how many services are started. In each, goodTasks tasks of the good tenant are measured alone,
	// and as many during the attack.
	hostileRounds, goodTasks = 2, 20
	// hostileRatio is how many times as long the good tenant's tasks may take during the attack.
	hostileRatio = 3.0
	// hostileMemory bounds the peak memory of the process: twice what was measured, since the garbage collector lets
	// the heap double.
	hostileMemory = 1 << 30
	// hostilePace is how often each hostile tenant makes each of its calls, one at a time. The service does not limit
	// the rate of calls, so a tenant without pauses would take the processors from all.
	hostilePace = time.Second
	// longTasks is how many tasks with the longest prompt each hostile tenant has at first, and slowTasks how many it
	// submits with each later call. heldOfEach is how many connections of each kind are held open, and heldBody how
	// many bytes of a body are sent on them.
	longTasks, slowTasks, heldOfEach, heldBody = 200, 25, 50, 900_000
)

// TestSoak_HostileTenantsDelayNoOther measures how long a good tenant's tasks take alone, and while two other tenants
// and strangers do what they can to stop it. It needs a machine that does nothing else, and a service without the race
// detector, which would take several times the memory and the time:
//
//	go test -tags soak -run TestSoak_HostileTenantsDelayNoOther -v ./internal/e2e
func TestSoak_HostileTenantsDelayNoOther(t *testing.T) {
	var alone, attacked goodTimes
	var peak int
	for range hostileRounds {
		r := startHostileRound(t)
		alone.add(r.measure(t))
		r.attack(t)
		attacked.add(r.measure(t))
		peak = max(peak, e2etest.PeakMemory(t, r.Cmd.Process.Pid))
		r.end(t)
	}
	t.Logf("%-24s %6s %10s %10s %6s", "of the good tenant", "", "alone", "attacked", "ratio")
	for i, what := range goodTimeNames {
		for _, q := range hostileQuantiles {
			a, b := e2etest.Quantile(alone[i], q.q), e2etest.Quantile(attacked[i], q.q)
			ratio := float64(b) / float64(a)
			t.Logf("%-24s %6s %10s %10s %6.2f", what, q.name, a.Round(time.Microsecond), b.Round(time.Microsecond), ratio)
			if ratio > hostileRatio && q.bounds(what) {
				t.Errorf("%s of %s is %.2f times as long during the attack, want at most %.0f", q.name, what, ratio, hostileRatio)
			}
		}
	}
	t.Logf("peak memory: %d MiB", peak>>20)
	if peak > hostileMemory {
		t.Errorf("the service took %d MiB, want at most %d", peak>>20, hostileMemory>>20)
	}
}

// goodTimes are the times of the good tenant's tasks, by goodTimeNames.
type goodTimes [len(goodTimeNames)][]time.Duration

const watchBegins, wholeTask = "watch until it begins", "submit until SUCCEEDED"

var goodTimeNames = [...]string{"submit", watchBegins, "save", wholeTask}

func (g *goodTimes) add(other goodTimes) {
	for i := range g {
		g[i] = append(g[i], other[i]...)
	}
}

// hostileQuantiles are the quantiles to compare, and for which times they are bounded. The first event comes within a
// few milliseconds, so a single delay of a busy processor decides its ratio. The same holds for the slowest tenth of
// other short times, but not for a whole task, which mostly waits for other parts.
var hostileQuantiles = [...]struct {
	name   string
	q      float64
	bounds func(what string) bool
}{
	{"50 %", 0.5, func(what string) bool { return what != watchBegins }},
	{"90 %", 0.9, func(what string) bool { return what == wholeTask }},
	{"100 %", 1, func(string) bool { return false }},
}

// hostileRound is one service, the good tenant and the attackers.
type hostileRound struct {
	*e2etest.Process
	sim     *sim.Server
	pool    *pgxpool.Pool
	good    string // An API token, as the next fields.
	bad     [2]string
	bucket  string
	ids     []string // The good tenant's tasks.
	ctx     context.Context
	stop    context.CancelFunc
	hostile sync.WaitGroup

	hanging    string       // The address of a host that never answers.
	hangs      atomic.Int64 // Requests that it has now.
	held       atomic.Int64 // Connections that are open now.
	mu         sync.Mutex
	operations map[string]int
}

func startHostileRound(t *testing.T) *hostileRound {
	t.Helper()
	provider, err := sim.Start(sim.Config{Credits: 1_000_000}, simkie.Profile{
		WebhookKey: e2etest.WebhookKey, SubmitLimit: sim.Limit{N: -1}, QueryLimit: sim.Limit{N: -1},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Close() })
	database, bucket := postgrestest.URL(t), filepath.Join(t.TempDir(), "bucket")
	pool := postgrestest.Connect(t, database)
	r := &hostileRound{
		sim: provider, pool: pool, bucket: bucket, operations: map[string]int{},
		good: e2etest.CreateToken(t, pool, "good"), bad: [2]string{e2etest.CreateToken(t, pool, "bad-1"), e2etest.CreateToken(t, pool, "bad-2")},
	}
	r.ctx, r.stop = context.WithCancel(t.Context())
	r.hanging = e2etest.ClipServer(t, func(_ http.ResponseWriter, req *http.Request) {
		r.hangs.Add(1)
		defer r.hangs.Add(-1)
		select {
		case <-r.ctx.Done():
		case <-req.Context().Done():
		}
	}).URL
	t.Cleanup(r.stop) // Before the host closes.
	r.Process = e2etest.StartProcess(t, e2etest.ProcessArgs(t, database, provider.URL(), "--auth=tokens", "--probe=on", "--bucket=file://"+bucket)...)
	return r
}

// measure runs tasks of the good tenant, one after the other.
func (r *hostileRound) measure(t *testing.T) (times goodTimes) {
	t.Helper()
	ctx, cancel := context.WithTimeout(e2etest.As(t.Context(), r.good), e2etest.Hung)
	defer cancel()
	for range goodTasks {
		req := e2etest.GoodRequest()
		e2etest.ByURI(r.sim.URL() + "/clips/tiny.mp4")(req)
		start := time.Now()
		resp, err := r.Tasks.SubmitTask(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		submitted := time.Now()
		events := followToItsEnd(ctx, t, r.Tasks, resp.GetTask().GetId())
		end := time.Now()
		last := events[len(events)-1]
		if last.GetState() != e2etest.Succeeded {
			t.Fatalf("a task of the good tenant ended %v", last)
		}
		if end.Sub(start) > time.Second {
			t.Logf("a task of the good tenant took %s: %s", end.Sub(start).Round(time.Millisecond), timeline(start, events))
		}
		saving := events[slices.IndexFunc(events, func(e followed) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_SAVING })]
		for i, d := range []time.Duration{
			submitted.Sub(start), events[0].at.Sub(submitted), last.GetCreateTime().AsTime().Sub(saving.GetCreateTime().AsTime()), end.Sub(start),
		} {
			times[i] = append(times[i], d)
		}
		r.ids = append(r.ids, resp.GetTask().GetId())
	}
	return times
}

// timeline returns the times of a task's events, by the database's clock.
func timeline(start time.Time, events []followed) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%s after %s, ", strings.TrimPrefix(e.GetState().String(), "TASK_STATE_"), e.GetCreateTime().AsTime().Sub(start).Round(time.Millisecond))
	}
	return strings.TrimSuffix(b.String(), ", ")
}

// followed is an event and the time of its arrival.
type followed struct {
	*refractv1.TaskEvent
	at time.Time
}

func followToItsEnd(ctx context.Context, t *testing.T, tasks refractv1.TaskServiceClient, id string) (events []followed) {
	t.Helper()
	stream, err := tasks.WatchTask(ctx, &refractv1.WatchTaskRequest{TaskId: id, AfterRevision: new(int64)})
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			t.Fatalf("watch ended after %v: %v", events, err)
		}
		if e := m.GetEvent(); e != nil {
			events = append(events, followed{e, time.Now()})
			if e2etest.Terminal(e.GetState()) {
				return events
			}
		}
	}
}

// attack starts the calls of hostile tenants and strangers, and waits until all of them are running.
func (r *hostileRound) attack(t *testing.T) {
	t.Helper()
	for i, token := range r.bad {
		r.submitHostileTasks(t, i, token)
		r.repeat("batch of slow sources, gRPC", r.slowSubmitter(t, i, token))
		grpcCall := r.grpcCaller(t, token)
		// More items than a batch may have, and as many invalid ones as it may have.
		many := make([]byte, 0, 200_000)
		for range 100_000 {
			many = append(many, 1<<3|2, 0)
		}
		wrong := many[:2000]
		r.repeat("batch of 100,000, gRPC", func() string { return grpcCall("BatchSubmitTasks", many) })
		r.repeat("batch of 1000 wrong, gRPC", func() string { return grpcCall("BatchSubmitTasks", wrong) })
		manyJSON := `{"requests":[` + strings.Repeat("{},", 99_999) + `{}]}`
		wrongJSON := `{"requests":[` + strings.Repeat("{},", 999) + `{}]}`
		bearer := []string{"Authorization", "Bearer " + token}
		rest := "http://" + r.HTTP
		r.repeat("batch of 100,000, REST", r.httpCaller(http.MethodPost, rest+"/v1/tasks:batchSubmit", manyJSON, bearer))
		r.repeat("batch of 1000 wrong, REST", r.httpCaller(http.MethodPost, rest+"/v1/tasks:batchSubmit", wrongJSON, bearer))
		page, err := proto.Marshal(&refractv1.ListTasksRequest{PageSize: 500})
		if err != nil {
			t.Fatal(err)
		}
		r.repeat("page, gRPC", func() string { return grpcCall("ListTasks", page) })
		r.repeat("page, REST", r.httpCaller(http.MethodGet, rest+"/v1/tasks?page_size=500", "", bearer))
		for range 8 { // As many as a tenant may have, over gRPC and REST.
			r.repeat("stalled upload, gRPC", r.stallUpload(t, token))
			r.hold("stalled upload, REST", r.HTTP, "PUT /v1/sources/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+token+
				"\r\nContent-Length: 1000000\r\n\r\nhello")
		}
		r.replay(t)
	}
	for name, head := range map[string]string{
		"silent":                     "",
		"no end of the header":       "POST /v1/tasks HTTP/1.1\r\nHost: x\r\nX-Pad: ",
		"body without credentials":   "POST /v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 250000\r\n\r\n" + strings.Repeat("x", 1000),
		"body with credentials":      "POST /v1/tasks:batchSubmit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + r.bad[0] + "\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat(" ", heldBody),
		"callback with a URL token":  "POST " + r.callbackPath(t) + " HTTP/1.1\r\nHost: x\r\nContent-Length: 250000\r\n\r\n" + strings.Repeat("x", 200_000),
		"callback with no URL token": "POST /v1/callbacks/kie/nonsense HTTP/1.1\r\nHost: x\r\nContent-Length: 250000\r\n\r\n" + strings.Repeat("x", 1000),
	} {
		for _, address := range []string{r.HTTP, r.Ingress} {
			for range heldOfEach {
				r.hold("held connection, "+name, address, head)
			}
		}
	}
	for range heldOfEach {
		r.hold("held connection, silent", r.GRPC, "")
	}
	e2etest.Eventually(t, "the attack to be under way", func() bool {
		files, err := filepath.Glob(filepath.Join(r.bucket, "uploads", "*", "*", "*.tmp"))
		if err != nil {
			t.Fatal(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		ready := len(files) >= 4 && r.hangs.Load() >= 16 && r.held.Load() >= 6*heldOfEach
		for _, n := range r.operations {
			ready = ready && n >= 2
		}
		return ready && len(r.operations) >= 16
	})
}

// submitHostileTasks submits the tasks of a hostile tenant: tasks with the longest prompts, whose sources hang, and
// tasks whose results hang.
func (r *hostileRound) submitHostileTasks(t *testing.T, tenant int, token string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(e2etest.As(t.Context(), token), e2etest.Hung)
	defer cancel()
	batch := &refractv1.BatchSubmitTasksRequest{}
	submit := func() {
		resp, err := r.Tasks.BatchSubmitTasks(ctx, batch)
		if err != nil {
			t.Fatal(err)
		}
		for _, result := range resp.GetResults() {
			if result.GetTask() == nil {
				t.Fatalf("a hostile task was refused: %v", result.GetStatus())
			}
		}
		batch.Requests = nil
	}
	for _, prompt := range []string{"[sim:redirect=" + r.hanging + "]", "[sim:loris=1s]", "[sim:slow=1h]", "[sim:processing=1h]"} {
		for range 20 {
			req := e2etest.GoodRequest()
			req.Prompt += " " + prompt
			e2etest.ByURI(r.sim.URL() + "/clips/tiny.mp4")(req)
			batch.Requests = append(batch.Requests, req)
		}
	}
	submit()
	for range longTasks {
		if batch.Requests = append(batch.Requests, r.slowRequest(tenant)); len(batch.Requests) == 100 {
			submit()
		}
	}
}

// slowRequest returns a task of a hostile tenant with the longest prompt, and a hanging source that no other task has.
func (r *hostileRound) slowRequest(tenant int) *refractv1.SubmitTaskRequest {
	req := e2etest.GoodRequest()
	req.Prompt = []string{strings.Repeat("\U0001F3AC", 6000), strings.Repeat("\x01", 5999) + "x"}[tenant]
	e2etest.ByURI(r.hanging + "/" + uuid.NewString() + ".mp4")(req)
	return req
}

// slowSubmitter submits tasks whose sources hang. An attempt waits only once for a source, so it needs new tasks to
// keep submissions busy.
func (r *hostileRound) slowSubmitter(t *testing.T, tenant int, token string) func() string {
	t.Helper()
	tasks := refractv1.NewTaskServiceClient(e2etest.Dial(t, r.GRPC))
	return func() string {
		batch := &refractv1.BatchSubmitTasksRequest{}
		for range slowTasks {
			batch.Requests = append(batch.Requests, r.slowRequest(tenant))
		}
		_, err := tasks.BatchSubmitTasks(e2etest.As(r.ctx, token), batch)
		return status.Code(err).String()
	}
}

// repeat repeats a call until the round ends, and counts the answers.
func (r *hostileRound) repeat(name string, call func() string) {
	r.hostile.Go(func() {
		again := time.NewTicker(hostilePace)
		defer again.Stop()
		for r.ctx.Err() == nil {
			if answer := call(); r.ctx.Err() == nil {
				r.count(name + ": " + answer)
			}
			select {
			case <-again.C:
			case <-r.ctx.Done():
			}
		}
	})
}

func (r *hostileRound) count(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.operations[name]++
}

// bytesCodec sends encoded requests and drops responses, so that the caller costs little processor time.
type bytesCodec struct{}

func (bytesCodec) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (bytesCodec) Unmarshal([]byte, any) error   { return nil }
func (bytesCodec) Name() string                  { return "proto" }

func (r *hostileRound) grpcCaller(t *testing.T, token string) func(method string, request []byte) string {
	t.Helper()
	conn := e2etest.Dial(t, r.GRPC)
	return func(method string, request []byte) string {
		err := conn.Invoke(e2etest.As(r.ctx, token), "/refract.v1.TaskService/"+method, request, new([]byte), grpc.ForceCodec(bytesCodec{}))
		return status.Code(err).String()
	}
}

func (r *hostileRound) httpCaller(method, url, body string, header []string) func() string {
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	return func() string {
		req, err := http.NewRequestWithContext(r.ctx, method, url, strings.NewReader(body))
		if err != nil {
			return err.Error()
		}
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := client.Do(req)
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err.Error()
		}
		return strconv.Itoa(resp.StatusCode)
	}
}

// stallUpload starts an upload that stops after some bytes.
func (r *hostileRound) stallUpload(t *testing.T, token string) func() string {
	t.Helper()
	tasks := refractv1.NewTaskServiceClient(e2etest.Dial(t, r.GRPC))
	again := time.NewTicker(100 * time.Millisecond)
	t.Cleanup(again.Stop)
	return func() string {
		select {
		case <-again.C:
		case <-r.ctx.Done():
		}
		stream, err := tasks.UploadSource(e2etest.As(r.ctx, token))
		if err != nil {
			return status.Code(err).String()
		}
		for _, m := range []*refractv1.UploadSourceRequest{
			{Part: &refractv1.UploadSourceRequest_Header{Header: &refractv1.UploadSourceHeader{UploadId: uuid.NewString(), SizeBytes: 1000}}},
			{Part: &refractv1.UploadSourceRequest_Chunk{Chunk: []byte("hello")}},
		} {
			if err := stream.Send(m); err != nil {
				break // The answer says why.
			}
		}
		r.count("stalled upload, gRPC: begun")
		return status.Code(stream.RecvMsg(&refractv1.UploadSourceResponse{})).String()
	}
}

// hold keeps a connection open that sends only a request header. If it is closed, hold opens it again a second later.
func (r *hostileRound) hold(name, address, head string) {
	r.hostile.Go(func() {
		again := time.NewTicker(time.Second)
		defer again.Stop()
		for r.ctx.Err() == nil {
			r.holdOnce(name, address, head)
			select {
			case <-again.C:
			case <-r.ctx.Done():
			}
		}
	})
}

func (r *hostileRound) holdOnce(name, address, head string) {
	conn, err := new(net.Dialer).DialContext(r.ctx, "tcp", address)
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(r.ctx, func() { _ = conn.Close() })()
	if strings.Contains(head, "%s") {
		head = fmt.Sprintf(head, uuid.NewString())
	}
	r.held.Add(1)
	defer r.held.Add(-1)
	_, _ = io.WriteString(conn, head)
	r.count(name)
	_, _ = io.Copy(io.Discard, conn)
}

// callbackPath returns the callback path of an open attempt.
func (r *hostileRound) callbackPath(t *testing.T) string {
	t.Helper()
	return r.openAttempt(t).CallbackURL[len("http://")+len(r.Ingress):]
}

func (r *hostileRound) openAttempt(t *testing.T) (found sim.Entry) {
	t.Helper()
	e2etest.Eventually(t, "an attempt to be open", func() bool {
		for _, e := range r.sim.Ledger() {
			if strings.Contains(e.Prompt, "[sim:processing=1h]") {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

// replay posts one captured signature repeatedly, with other bodies.
func (r *hostileRound) replay(t *testing.T) {
	t.Helper()
	entry := r.openAttempt(t)
	now := strconv.FormatInt(time.Now().Unix(), 10)
	body := `{"code":500,"data":{"taskId":"` + entry.TaskID + `"},"pad":"` + strings.Repeat("x", 250_000) + `"}`
	r.repeat("replayed callback", r.httpCaller(http.MethodPost, entry.CallbackURL, body,
		[]string{"X-Webhook-Timestamp", now, "X-Webhook-Signature", simkie.Sign(e2etest.WebhookKey, entry.TaskID, now)}))
}

// end stops the attack, and checks the verdicts on the good tenant's callbacks.
func (r *hostileRound) end(t *testing.T) {
	t.Helper()
	t.Logf("%d connections were held, and %d requests hung, at the end", r.held.Load(), r.hangs.Load())
	r.stop()
	r.hostile.Wait()
	good := map[string]bool{}
	for _, id := range r.ids {
		good[postgrestest.Value[string](t, r.pool, "SELECT provider_task_id FROM attempt WHERE task_id = $1", id)] = true
	}
	answered := 0
	for _, d := range r.sim.Deliveries() {
		if !good[d.TaskID] {
			continue
		}
		if d.Attempt != 1 || d.Status != http.StatusOK {
			t.Errorf("try %d of a callback was answered %d %s, want 200 at the first", d.Attempt, d.Status, d.Error)
		}
		answered++
	}
	if answered != len(r.ids) {
		t.Errorf("%d callbacks were answered about %d tasks", answered, len(r.ids))
	}
	r.Kill()
	for _, name := range slices.Sorted(maps.Keys(r.operations)) {
		t.Logf("%7d × %s", r.operations[name], name)
	}
}
