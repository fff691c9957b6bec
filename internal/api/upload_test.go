package api

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// uploadsStandIn stands in for the uploads of a tenant. It reads the body, unless receive takes its place.
type uploadsStandIn struct {
	receive func(ctx context.Context) error
	tenant  string
	header  source.Header
	body    []byte
}

func (u *uploadsStandIn) Receive(ctx context.Context, tenant string, h source.Header, body io.Reader) (source.Progress, error) {
	u.tenant, u.header = tenant, h
	if u.receive != nil {
		return source.Progress{}, u.receive(ctx)
	}
	var err error
	if u.body, err = io.ReadAll(body); err != nil {
		return source.Progress{}, err
	}
	s := &task.Source{ID: "s1", CreateTime: noon}
	return source.Progress{Received: int64(len(u.body)), Source: s, Duplicate: true}, nil
}

func (u *uploadsStandIn) Await(_ context.Context, ready <-chan struct{}) error {
	<-ready
	return nil
}

const testUpload = "01990000-0000-7000-8000-00000000ABCD"

func uploadHeader() *refractv1.UploadSourceRequest {
	return &refractv1.UploadSourceRequest{Part: &refractv1.UploadSourceRequest_Header{Header: &refractv1.UploadSourceHeader{
		UploadId: testUpload, Offset: 3, SizeBytes: 9, Sha256: strings.Repeat("AB", 32),
	}}}
}

func chunk(b string) *refractv1.UploadSourceRequest {
	return &refractv1.UploadSourceRequest{Part: &refractv1.UploadSourceRequest_Chunk{Chunk: []byte(b)}}
}

// sendAll makes an upload of these messages.
func sendAll(t *testing.T, client refractv1.TaskServiceClient, messages ...*refractv1.UploadSourceRequest) (*refractv1.UploadSourceResponse, error) {
	t.Helper()
	stream, err := client.UploadSource(as(t, "good"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if stream.Send(m) != nil {
			break // The service has answered.
		}
	}
	return stream.CloseAndRecv()
}

func TestUploadSource_HandsOnTheHeaderAndTheBytes(t *testing.T) {
	t.Parallel()
	uploads := &uploadsStandIn{}
	conn, stop := serveInMemory(t, Config{Tasks: NewTaskService(TaskServiceConfig{Uploads: uploads})})
	resp, err := sendAll(t, refractv1.NewTaskServiceClient(conn), uploadHeader(), chunk("abc"), chunk("d"), chunk("ef"))
	if err != nil || resp.GetReceivedBytes() != 6 || resp.GetSource().GetId() != "s1" || !resp.GetDuplicate() {
		t.Errorf("answered %v, %v", resp, err)
	}
	stop()
	want := source.Header{Upload: task.UploadID(strings.ToLower(testUpload)), Offset: 3, SizeBytes: 9, SHA256: bytes.Repeat([]byte{0xab}, 32)}
	if diff := cmp.Diff(want, uploads.header); diff != "" || uploads.tenant != "acme" || string(uploads.body) != "abcdef" {
		t.Errorf("tenant %q sent %q, header (-want +got):\n%s", uploads.tenant, uploads.body, diff)
	}
}

func TestUploadSource_RefusesMessagesOutOfOrder(t *testing.T) {
	t.Parallel()
	bad := uploadHeader()
	bad.GetHeader().Sha256 = "xyz"
	conn, _ := serveInMemory(t, Config{Tasks: NewTaskService(TaskServiceConfig{Uploads: &uploadsStandIn{}})})
	client := refractv1.NewTaskServiceClient(conn)
	for name, tc := range map[string]struct {
		messages []*refractv1.UploadSourceRequest
		field    string
	}{
		"bytes first":           {[]*refractv1.UploadSourceRequest{chunk("abc")}, "header"},
		"a second header":       {[]*refractv1.UploadSourceRequest{uploadHeader(), chunk("abc"), uploadHeader()}, "header"},
		"a hash that is none":   {[]*refractv1.UploadSourceRequest{bad}, "header.sha256"},
		"a chunk without bytes": {[]*refractv1.UploadSourceRequest{uploadHeader(), chunk("")}, "chunk"},
		"a chunk over 1 MiB":    {[]*refractv1.UploadSourceRequest{uploadHeader(), chunk(strings.Repeat("x", 1<<20+1))}, "chunk"},
		"a message of no kind":  {[]*refractv1.UploadSourceRequest{{}}, "part"},
		"one later, of no kind": {[]*refractv1.UploadSourceRequest{uploadHeader(), {}}, "part"},
	} {
		_, err := sendAll(t, client, tc.messages...)
		if got := fieldsOfStatus(status.Convert(err)); status.Code(err) != codes.InvalidArgument || len(got) != 1 || got[0] != tc.field {
			t.Errorf("%s is answered %v and names %q, want %s", name, err, got, tc.field)
		}
	}
}
