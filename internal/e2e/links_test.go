package e2e_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/media/buckettest"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
)

// TestSignedURI_OpensTheFileWithoutCredentials gets a link to an output and follows it without a token.
func TestSignedURI_OpensTheFileWithoutCredentials(t *testing.T) {
	t.Parallel()
	checkSignedURI(t, e2etest.Start(t, nil), linkServer{prefix: "/v1/outputs/", checksSignatures: true})
}

// TestS3_KeepsAndSignsOutputs runs a task through a service whose bucket is on S3.
func TestS3_KeepsAndSignsOutputs(t *testing.T) {
	t.Parallel()
	s3 := buckettest.StartS3(t)
	name, bucketURL := s3.NewBucket(t)
	ts := e2etest.Start(t, func(f *server.Config, _ *e2etest.SimConfig) { f.Bucket = bucketURL })
	checkSignedURI(t, ts, linkServer{prefix: "/" + name + "/outputs/", checksSignatures: s3.ChecksSignatures})
}

// linkServer is the server that signed links lead to.
type linkServer struct {
	prefix           string // The prefix of the paths of its links.
	checksSignatures bool   // Whether it refuses a changed link.
}

func checkSignedURI(t *testing.T, ts *e2etest.Service, server linkServer) {
	t.Helper()
	task := ts.Submit(t, "[sim:results=2]")
	last := ts.End(t, task.GetId())
	if last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
		t.Fatalf("ended %v", last)
	}
	asked := time.Now()
	outputs := ts.Get(t, task.GetId()).GetOutputs()
	answered := time.Now()
	clips := [][]byte{sim.ResultClip(ts.Sim.Ledger()[0].TaskID, 0), sim.ResultClip(ts.Sim.Ledger()[0].TaskID, 1)}
	for i, o := range outputs {
		if o.GetWidth() != 160 || o.GetHeight() != 90 || o.GetVideoCodec() != "h264" || o.GetDuration().AsDuration() != time.Second {
			t.Errorf("output %d is described as %v", i, o)
		}
		if !strings.Contains(o.GetSignedUri(), server.prefix) {
			t.Errorf("output %d has the link %s, want one to %s", i, o.GetSignedUri(), server.prefix)
		}
		if expire := o.GetSignedUriExpireTime().AsTime(); expire.Before(asked.Add(time.Hour)) || expire.After(answered.Add(time.Hour)) {
			t.Errorf("output %d has a link until %s, want an hour from the call that ran from %s to %s", i, expire, asked, answered)
		}
		if status, _, body := e2etest.Request(t, http.MethodGet, o.GetSignedUri(), ""); status != http.StatusOK || !bytes.Equal(body, clips[i]) {
			t.Errorf("link %d gave %d with %d bytes, want the clip", i, status, len(body))
		}
		if status, _, body := e2etest.Request(t, http.MethodGet, o.GetSignedUri(), "", "Range", "bytes=100-199"); status != http.StatusPartialContent || !bytes.Equal(body, clips[i][100:200]) {
			t.Errorf("a range of link %d gave %d with %d bytes, want 206 with 100", i, status, len(body))
		}
		status, _, body := e2etest.Request(t, http.MethodGet, o.GetDownloadUri(), "", "Authorization", "Bearer "+ts.Token, "Range", "bytes=100-199")
		if status != http.StatusPartialContent || !bytes.Equal(body, clips[i][100:200]) {
			t.Errorf("a range over the API gave %d with %d bytes, want 206 with 100", status, len(body))
		}
		if !server.checksSignatures {
			continue
		}
		changed := []byte(o.GetSignedUri())
		changed[len(changed)-5] ^= 3
		if status, _, _ := e2etest.Request(t, http.MethodGet, string(changed), ""); status != http.StatusNotFound && status != http.StatusForbidden && status != http.StatusBadRequest {
			t.Errorf("a changed link gave %d", status)
		}
	}
	checkNoSignedURI(t, ts, task.GetId(), last)
}

// checkNoSignedURI checks that events, lists and the log contain no links.
func checkNoSignedURI(t *testing.T, ts *e2etest.Service, id string, last *refractv1.TaskEvent) {
	t.Helper()
	list, err := ts.Tasks.ListTasks(ts.Ctx(t), &refractv1.ListTasksRequest{})
	if err != nil {
		t.Fatal(err)
	}
	events, err := ts.Tasks.ListTaskEvents(ts.Ctx(t), &refractv1.ListTaskEventsRequest{TaskId: id})
	if err != nil {
		t.Fatal(err)
	}
	seen := append(last.GetOutputs(), list.GetTasks()[0].GetOutputs()...)
	for _, e := range events.GetEvents() {
		seen = append(seen, e.GetOutputs()...)
	}
	for _, o := range seen {
		if o.GetSignedUri() != "" {
			t.Errorf("an event or a list holds a link: %v", o)
		}
	}
	for _, secret := range []string{"/v1/outputs/", "X-Amz-Signature"} {
		if strings.Contains(ts.Log.String(), secret) {
			t.Errorf("the log holds a link:\n%s", ts.Log)
		}
	}
}
