package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
)

// Sources are the sources of the facts of a run.
type Sources struct {
	SimURL      string   // The simulator.
	DatabaseURL string   // The database, reached without the faults of the run.
	Bucket      string   // The folder of the bucket.
	Logs        []string // The log files of all processes.
	// Original returns result n of a task at the provider.
	Original func(providerTaskID string, n int) []byte
}

// Load completes the facts of a run from its sources.
func (f *Facts) Load(ctx context.Context, s Sources) error {
	if err := f.askSimulator(ctx, s.SimURL); err != nil {
		return fmt.Errorf("ask the simulator: %w", err)
	}
	if err := f.readDatabase(ctx, s.DatabaseURL); err != nil {
		return fmt.Errorf("read the database: %w", err)
	}
	if err := f.readFiles(s); err != nil {
		return fmt.Errorf("read the files: %w", err)
	}
	return nil
}

func (f *Facts) askSimulator(ctx context.Context, base string) error {
	var ledger struct {
		Entries []Post `json:"entries"`
	}
	var limits struct {
		Submissions []Arrivals    `json:"submissions"`
		Concurrency []Concurrency `json:"concurrency"`
	}
	for path, into := range map[string]any{
		"/sim/ledger": &ledger, "/sim/limits": &limits, "/sim/deliveries": &f.Deliveries, "/sim/downloads": &f.Downloads,
	} {
		if err := get(ctx, base+path, into); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	f.Posts, f.Arrivals, f.Concurrency = ledger.Entries, limits.Submissions, limits.Concurrency
	return nil
}

func get(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// readDatabase reads all tables in one snapshot.
func (f *Facts) readDatabase(ctx context.Context, databaseURL string) (err error) {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return errors.New("it can't be reached") // The cause may quote the password.
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		return errors.Join(
			rows(ctx, tx, &f.Tasks, `SELECT id::text, tenant, request_id, prompt, state, revision, max_attempts, allowance,
				coalesce(result_attempt::text, ''), coalesce(failure_reason, ''), coalesce(failure_message, ''), webhook_uri FROM task`),
			rows(ctx, tx, &f.Attempts, `SELECT id::text, task_id::text, number, provider, provider_task_id, state, message, sent FROM attempt`),
			rows(ctx, tx, &f.Events, `SELECT task_id::text, revision, state, message, create_time FROM task_event`),
			rows(ctx, tx, &f.Outputs, `SELECT attempt_id::text, index, key, size_bytes, encode(sha256, 'hex') FROM output`),
			rows(ctx, tx, &f.Callbacks, `SELECT attempt_id::text, verdict, convert_from(body, 'LATIN1') FROM callback`),
		)
	})
}

func rows[T any](ctx context.Context, tx pgx.Tx, into *[]T, sql string) error {
	found, err := tx.Query(ctx, sql)
	if err != nil {
		return err
	}
	*into, err = pgx.CollectRows(found, pgx.RowToStructByPos[T])
	return err
}

// readFiles reads the logs and, for each output, its file in the bucket and the provider's file.
func (f *Facts) readFiles(s Sources) error {
	f.Logs = make(map[string]string, len(s.Logs))
	for _, name := range s.Logs {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		f.Logs[filepath.Base(name)] = string(text)
	}
	providerTasks := make(map[string]string, len(f.Attempts))
	for _, a := range f.Attempts {
		providerTasks[a.ID] = a.ProviderTaskID
	}
	f.Bucket, f.Original = map[string]Content{}, map[File]Content{}
	for _, o := range f.Outputs {
		content, err := sum(filepath.Join(s.Bucket, filepath.FromSlash(o.Key)))
		if err == nil {
			f.Bucket[o.Key] = content
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		file := File{providerTasks[o.AttemptID], o.Index}
		original := s.Original(file.ProviderTaskID, file.Index)
		hash := sha256.Sum256(original)
		f.Original[file] = Content{int64(len(original)), hex.EncodeToString(hash[:])}
	}
	return nil
}

func sum(name string) (Content, error) {
	file, err := os.Open(name)
	if err != nil {
		return Content{}, err
	}
	defer file.Close() //nolint:errcheck // It was only read.
	hash := sha256.New()
	n, err := io.Copy(hash, file)
	return Content{n, hex.EncodeToString(hash.Sum(nil))}, err
}
