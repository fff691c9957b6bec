package simtest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// GeneratePath is the path of a submission to kie.ai.
const GeneratePath = "/api/v1/modify/generate"

// Request is a body of generate.
func (w *Fixture) Request(prompt string) map[string]string {
	return map[string]string{"prompt": prompt, "videoUrl": SourceURL, "callBackUrl": w.Hook.Server.URL + "/cb?token=a&b=c"}
}

// Submit creates a task and returns its id.
func (w *Fixture) Submit(prompt string) string {
	w.Helper()
	e := w.Post("/api/v1/modify/generate", w.Request(prompt))
	var data struct{ TaskID string }
	if err := json.Unmarshal(e.Data, &data); err != nil || e.Code != 200 {
		w.Fatalf("generate %q: got %s", prompt, e.Raw)
	}
	return data.TaskID
}

// MarketModel is a model of the market that the simulator knows.
const MarketModel = "wan/2-7-videoedit"

// Job is a body of createTask.
func (w *Fixture) Job(model string, input Object) Object {
	return Object{"model": model, "callBackUrl": w.Hook.Server.URL + "/cb?token=a&b=c", "input": input}
}

// SubmitJob creates a task of the market and returns its id.
func (w *Fixture) SubmitJob(prompt string) string {
	w.Helper()
	e := w.Post("/api/v1/jobs/createTask", w.Job(MarketModel, Object{"prompt": prompt, "video_url": SourceURL}))
	var data struct{ TaskID string }
	if err := json.Unmarshal(e.Data, &data); err != nil || e.Code != 200 {
		w.Fatalf("createTask %q: got %s", prompt, e.Raw)
	}
	return data.TaskID
}

// JobInfo returns the record of a task of the market.
func (w *Fixture) JobInfo(id string) Answer {
	w.Helper()
	return w.Get(w.Sim.URL() + "/api/v1/jobs/recordInfo?taskId=" + id)
}

// JobReached waits until a task of the market has a state, and returns data of its record.
func (w *Fixture) JobReached(id, state string) Object {
	w.Helper()
	var rec Object
	w.Await("job "+id+" "+state, func() bool {
		rec = nil
		return json.Unmarshal(w.JobInfo(id).Data, &rec) == nil && rec["state"] == state
	})
	return rec
}

// Record is data of record-info.
type Record struct {
	TaskID       string
	ParamJSON    string
	CreateTime   int64
	CompleteTime *int64
	SuccessFlag  int
	ErrorCode    *int
	ErrorMessage *string
	Response     *struct {
		TaskID     string
		OriginURLs []string
		ResultURLs []string
	}
}

// Info returns the record of a task.
func (w *Fixture) Info(id string) Answer {
	w.Helper()
	return w.Get(w.Sim.URL() + "/api/v1/modify/record-info?taskId=" + id)
}

// Finished waits until a task has the flag, and returns its record.
func (w *Fixture) Finished(id string, flag int) Record {
	w.Helper()
	var rec Record
	w.Await("task "+id+" finished", func() bool {
		rec = Record{}
		e := w.Info(id)
		return json.Unmarshal(e.Data, &rec) == nil && rec.SuccessFlag == flag
	})
	return rec
}

// Result submits a task and returns its id and its result URLs.
func (w *Fixture) Result(directives string) (string, []string) {
	w.Helper()
	id := w.Submit("p [sim:" + directives + "]")
	return id, w.Finished(id, 1).Response.ResultURLs
}

// DownloadURL asks for a fresh link.
func (w *Fixture) DownloadURL(old string) Answer {
	w.Helper()
	return w.Post("/api/v1/common/download-url", map[string]string{"url": old})
}

// Renewed returns the fresh link that download-url gives.
func (w *Fixture) Renewed(old string) string {
	w.Helper()
	var fresh string
	if got := w.DownloadURL(old); json.Unmarshal(got.Data, &fresh) != nil || got.Code != 200 {
		w.Fatalf("download-url: got %s", got.Raw)
	}
	return fresh
}

// Ranged downloads a part of a file; what arrived before a broken connection is kept.
func (w *Fixture) Ranged(url, part string) Answer {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), http.MethodGet, url, nil)
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Range", part)
	resp, err := w.HTTP.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil && !strings.Contains(err.Error(), "unexpected EOF") {
		w.Fatal(err)
	}
	return Answer{Status: resp.StatusCode, Raw: string(raw)}
}

// Broken downloads at least some bytes of a file, then what follows within a moment, at most a megabyte in all. It returns
// them and the length that was announced.
func (w *Fixture) Broken(url string, atLeast int) (length int64, raw string) {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		w.Fatal(err)
	}
	resp, err := w.HTTP.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	text := make([]byte, atLeast)
	if _, err := io.ReadFull(resp.Body, text); err != nil {
		w.Errorf("less than %d bytes came: %v", atLeast, err)
	}
	defer time.AfterFunc(100*time.Millisecond, cancel).Stop()
	rest, _ := io.ReadAll(io.LimitReader(resp.Body, int64(1<<20-atLeast))) // Its end is not an orderly one.
	return resp.ContentLength, string(text) + string(rest)
}

// Source serves a body as an input video.
func Source(t *testing.T, body []byte) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }))
	t.Cleanup(s.Close)
	return s.URL + "/in.mp4"
}

// Modify submits a task for a source and returns its id.
func (w *Fixture) Modify(videoURL string) string {
	w.Helper()
	if got := w.Post(GeneratePath, map[string]string{"prompt": "p", "videoUrl": videoURL}); got.Code != 200 {
		w.Fatalf("generate: got %s", got.Raw)
	}
	entries := w.Sim.Ledger()
	return entries[len(entries)-1].TaskID
}

// Form is a multipart body with its fields after the file, in the order given.
func Form(t *testing.T, file []byte, fields ...[2]string) (body []byte, contentType string) {
	t.Helper()
	var buf bytes.Buffer
	m := multipart.NewWriter(&buf)
	if file != nil {
		part, err := m.CreateFormFile("file", "own.mp4")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.Write(file); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range fields {
		if err := m.WriteField(f[0], f[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes(), m.FormDataContentType()
}
