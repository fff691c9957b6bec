package operation_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/expiry"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/retention"
)

// These statements insert tasks that ended a number of days ago, each with an output of 3 bytes and a callback.
const (
	insertEnded = `
WITH ended AS (
    INSERT INTO task (id, tenant, request_id, prompt, source_uri, watermark, strength, model, first_frame_uri, asked_provider, fallbacks,
                      route, provider, priority, labels, deadline, max_attempts, state, revision, allowance, result_attempt, deadline_time,
                      create_time, update_time)
    SELECT gen_random_uuid(), $1, gen_random_uuid(), '', '', '', '', '', '', '', '{}', '{kie}', 'kie', 0, '{}', '1 hour', 1, 'SUCCEEDED', 1, 1,
           gen_random_uuid(), now(), now() - make_interval(days => $2), now() - make_interval(days => $2)
    FROM generate_series(1, $3::int)
    RETURNING id, result_attempt
), tried AS (
    INSERT INTO attempt (id, task_id, number, provider, account, state, sent, answer_time)
    SELECT result_attempt, id, 1, 'kie', 'kie', 'SUCCEEDED', true, now() FROM ended
    RETURNING id, task_id
), saved AS (
    INSERT INTO output (attempt_id, index, key, content_type, size_bytes, sha256, create_time)
    SELECT id, 0, 'outputs/' || task_id || '/1-0', 'video/mp4', 3, sha256(''), now() - make_interval(days => $2) FROM tried
)
INSERT INTO callback (attempt_id, account, provider_task_id, verdict, body, receive_time)
SELECT id, 'kie', '', 'applied', '{}', now() - make_interval(days => $2) FROM tried`

	insertSource = `
INSERT INTO source (id, tenant, sha256, size_bytes, content_type, duration_us, width, height, flaw, key, last_use_time)
VALUES (gen_random_uuid(), $1, sha256($2::text::bytea), 4, '', 0, 0, 0, '', $2, now() - make_interval(days => $3))`

	insertUpload = `
WITH begun AS (
    INSERT INTO source_upload (tenant, id, size_bytes, sha256, received_bytes, parts, update_time)
    VALUES ($1, gen_random_uuid(), 5, '', 5, 1, now() - make_interval(days => $3))
    RETURNING tenant, id
)
INSERT INTO source_part (tenant, upload_id, start_byte, size_bytes, key) SELECT tenant, id, 0, 5, $2 FROM begun`
)

// retentionTest is a database and a bucket with rows and files of all kinds and ages.
type retentionTest struct {
	url, bucketURL, folder string
	pool                   *pgxpool.Pool
}

func retentionSetup(t *testing.T) *retentionTest {
	t.Helper()
	r := &retentionTest{url: postgrestest.URL(t), folder: filepath.Join(t.TempDir(), "bucket")}
	r.bucketURL = "file://" + r.folder
	var err error
	if r.pool, err = dbpool.Open(t.Context(), r.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.pool.Close)
	for _, tenant := range []string{"films", "archive"} {
		for _, days := range []int{1, 40, 100} {
			r.exec(t, insertEnded, tenant, days, 1)
			r.exec(t, insertSource, tenant, fmt.Sprintf("sources/%s-%d", tenant, days), days)
			r.exec(t, insertUpload, tenant, fmt.Sprintf("uploads/%s-%d", tenant, days), days)
		}
	}
	r.exec(t, `INSERT INTO tenant (tenant, keep_outputs, keep_sources, keep_callbacks, keep_tasks) VALUES ('archive', '50 days', '50 days', '0', '0')`)
	r.exec(t, `INSERT INTO tenant_day VALUES ('films', now()::date - 30, 1), ('films', now()::date, 1)`)
	r.putAll(t)
	return r
}

func (r *retentionTest) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := r.pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// putAll creates the files that the rows name.
func (r *retentionTest) putAll(t *testing.T) {
	t.Helper()
	bucket := r.bucket(t)
	for _, key := range r.keys(t, `SELECT key FROM output UNION SELECT key FROM source UNION SELECT key FROM source_part`) {
		if err := bucket.Put(t.Context(), key, "video/mp4", strings.NewReader("abc")); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *retentionTest) bucket(t *testing.T) *media.Bucket {
	t.Helper()
	bucket, err := media.OpenBucket(t.Context(), r.bucketURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bucket.Close() })
	return bucket
}

// keys returns the strings that a query selects.
func (r *retentionTest) keys(t *testing.T, sql string) []string {
	t.Helper()
	var keys []string
	if err := r.pool.QueryRow(t.Context(), `SELECT coalesce(array_agg(key ORDER BY key), '{}') FROM (`+sql+`) AS keys (key)`).Scan(&keys); err != nil {
		t.Fatal(err)
	}
	return keys
}

// files returns the keys of the files in the bucket.
func (r *retentionTest) files(t *testing.T) []string {
	t.Helper()
	keys, err := r.bucket(t).Keys(t.Context(), "", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// kept selects the keys of files that rows still name.
const kept = `SELECT key FROM output WHERE remove_time IS NULL UNION SELECT key FROM source WHERE state = 'READY' UNION SELECT key FROM source_part`

// retainer returns a retainer like that of serve.
func (r *retentionTest) retainer(t *testing.T, pool *pgxpool.Pool) *retention.Retainer {
	t.Helper()
	store := expiry.New(pool, pool, retention.Periods{
		Outputs: 720 * time.Hour, Sources: 168 * time.Hour, Callbacks: 720 * time.Hour, Tasks: 2160 * time.Hour,
	})
	return &retention.Retainer{Store: store, Bucket: r.bucket(t), Log: slog.New(slog.DiscardHandler)}
}

// columns removes the padding of a table.
func columns(table string) string {
	lines := strings.Split(table, "\n")
	for i, l := range lines {
		lines[i] = strings.Join(strings.Fields(l), " ")
	}
	return strings.Join(lines, "\n")
}

// TestRetain_RemovesWhatTheDryRunCounts runs the command with and without --dry-run, for defaults and a tenant's own terms.
func TestRetain_RemovesWhatTheDryRunCounts(t *testing.T) {
	t.Parallel()
	r := retentionSetup(t)
	command := func(args ...string) string {
		code, out, errs := e2etest.Run(t, append([]string{"retain", "--database-url=" + r.url, "--bucket=" + r.bucketURL}, args...)...)
		if code != 0 {
			t.Fatalf("%v: exit %d: %s", args, code, errs)
		}
		return columns(out)
	}
	before := r.files(t)
	want := `KIND TENANT ROWS BYTES
output archive 1 3
output films 2 6
source archive 1 4
source films 2 8
upload archive 1 5
upload films 2 10
callback films 2 4
task films 1 3
`
	if diff := cmp.Diff(want, command("--dry-run")); diff != "" {
		t.Errorf("--dry-run (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, r.files(t)); diff != "" {
		t.Errorf("the dry run changed the bucket:\n%s", diff)
	}
	// The output and the callback of the task are removed before the task.
	want = "KIND ROWS BYTES\noutput 3 9\nsource 3 12\nupload 3 15\ncallback 2 4\ntask 1 0\nfile 9\n"
	if diff := cmp.Diff(want, command()); diff != "" {
		t.Errorf("retain (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(r.keys(t, kept), r.files(t)); diff != "" || len(before)-len(r.files(t)) != 9 {
		t.Errorf("files in the bucket (-named by rows +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"archive 3", "films 2"}, r.keys(t, `SELECT tenant || ' ' || count(*) FROM task GROUP BY tenant`)); diff != "" {
		t.Errorf("tasks that are left (-want +got):\n%s", diff)
	}
	if n := len(r.keys(t, `SELECT tenant FROM tenant_day`)); n != 1 {
		t.Errorf("%d counts of days are left, want today's", n)
	}
	if diff := cmp.Diff("KIND ROWS BYTES\nfile 0\n", command()); diff != "" {
		t.Errorf("a second time (-want +got):\n%s", diff)
	}
}

// TestRetention_GoesOnAfterACrashBetweenRowsAndFiles simulates a crash before the file is deleted with a read-only
// bucket, and one after that with a file that is already gone.
func TestRetention_GoesOnAfterACrashBetweenRowsAndFiles(t *testing.T) {
	t.Parallel()
	r := retentionSetup(t)
	bucket := r.bucket(t)
	if err := bucket.Delete(t.Context(), "sources/films-40"); err != nil {
		t.Fatal(err)
	}
	broken := r.retainer(t, r.pool)
	broken.Bucket = r.bucket(t)
	if err := broken.Bucket.Close(); err != nil {
		t.Fatal(err)
	}
	if _, files, _, err := broken.Round(t.Context()); err == nil || files != 0 {
		t.Errorf("a round on a closed bucket deleted %d files with error %v, want none and an error", files, err)
	}
	if n := len(r.keys(t, `SELECT key FROM unkept_file`)); n != 9 {
		t.Errorf("%d files are to be deleted, want 9", n)
	}
	removed, files, held, err := r.retainer(t, r.pool).Round(t.Context())
	if err != nil || !held || files != 9 || len(removed) != 0 {
		t.Errorf("the next round removed %v and deleted %d files, held %t, %v; want 9 files", removed, files, held, err)
	}
	if diff := cmp.Diff(r.keys(t, kept), r.files(t)); diff != "" {
		t.Errorf("files in the bucket (-named by rows +got):\n%s", diff)
	}
}

// TestRetention_OneReplicaAtATimeInBatches makes two replicas remove more than a batch, one batch per round.
func TestRetention_OneReplicaAtATimeInBatches(t *testing.T) {
	t.Parallel()
	r := retentionSetup(t)
	r.exec(t, insertEnded, "films", 60, expiry.Batch*2)
	ctx, cancel := context.WithTimeout(t.Context(), e2etest.Hung)
	defer cancel()
	results := make(chan error, 2)
	sums := make(chan int64, 100)
	for range 2 {
		one := r.retainer(t, r.pool)
		one.Batches = 1
		one.Removed = func(_ context.Context, kind retention.Kind, removed retention.Removed) {
			if removed.Rows > expiry.Batch {
				results <- fmt.Errorf("a batch removed %d", removed.Rows)
			}
			if kind == retention.OutputKind {
				sums <- removed.Rows
			}
		}
		go func() {
			var errs []error
			for rounds := 0; rounds < 6 && ctx.Err() == nil; {
				_, _, held, err := one.Round(ctx)
				errs = append(errs, err)
				if held {
					rounds++
				}
			}
			results <- errors.Join(errs...)
		}()
	}
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	close(sums)
	var sum int64
	for n := range sums {
		sum += n
	}
	if want := int64(expiry.Batch*2 + 3); sum != want {
		t.Errorf("both removed %d outputs, want %d in all", sum, want)
	}
	release, held, err := r.hold(t)
	if err != nil || !held {
		t.Fatalf("HoldRetention = %t, %v, want it to be free", held, err)
	}
	defer release()
	if removed, _, held, err := r.retainer(t, r.pool).Round(t.Context()); held || removed != nil || err != nil {
		t.Errorf("a round during another one removed %v, held %t, %v", removed, held, err)
	}
}

func (r *retentionTest) hold(t *testing.T) (func(), bool, error) {
	t.Helper()
	return r.retainer(t, r.pool).Store.HoldRetention(t.Context())
}

// TestRetain_RefusesTimesThatAreTooShort checks the minimum times.
func TestRetain_RefusesTimesThatAreTooShort(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]string{
		"--keep-outputs=1m": "outputs can be kept for 1h0m0s", "--keep-tasks=1h": "tasks can be kept for 24h0m0s", "--keep-sources=-24h": "sources can be kept",
	} {
		if code, _, errs := e2etest.Run(t, "retain", "--dry-run", "--database-url=postgres://x", flag); code != 1 || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d, %q, want 1 and %q", flag, code, errs, want)
		}
	}
}

// TestRetention_GetsPastWhatATenantKeepsForLonger puts more than a batch of older rows that are kept before rows that have expired.
func TestRetention_GetsPastWhatATenantKeepsForLonger(t *testing.T) {
	t.Parallel()
	r := retentionSetup(t)
	r.exec(t, insertEnded, "archive", 45, expiry.Batch+50)
	one := r.retainer(t, r.pool)
	one.Batches = 1
	for range 2 {
		if _, _, held, err := one.Round(t.Context()); err != nil || !held {
			t.Fatalf("Round: held %t, %v", held, err)
		}
	}
	if due := r.keys(t, `SELECT key FROM output JOIN attempt ON attempt.id = attempt_id JOIN task ON task.id = task_id
		WHERE tenant = 'films' AND remove_time IS NULL AND output.create_time < now() - interval '30 days'`); len(due) > 0 {
		t.Errorf("after two rounds of a batch each %v are still there", due)
	}
}
