package httpapi

import (
	"fmt"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// framing turns the messages of a watch into the bytes of a stream.
type framing interface {
	contentType() string
	message(m *refractv1.WatchTaskResponse) ([]byte, error)
	failure(st *status.Status) []byte
}

// jsonLines is one JSON object a line, {"result": message} or, as the last one, {"error": status}: the
// shape that grpc-gateway gives to streams and that the OpenAPI document describes.
type jsonLines struct{}

func (jsonLines) contentType() string { return "application/x-ndjson" }

func (jsonLines) message(m *refractv1.WatchTaskResponse) ([]byte, error) {
	data, err := encode(m)
	if err != nil {
		return nil, fmt.Errorf("encode a message of a watch: %w", err)
	}
	return fmt.Appendf(nil, "{\"result\":%s}\n", data), nil
}

func (jsonLines) failure(st *status.Status) []byte {
	return fmt.Appendf(nil, "{\"error\":%s}\n", encodeStatus(st))
}

// serverSentEvents is the format of an EventSource. The name of an event says what the data is, its id is
// the revision, and a failure has no id, so that it does not change where the client resumes.
type serverSentEvents struct{}

func (serverSentEvents) contentType() string { return "text/event-stream" }

func (serverSentEvents) message(m *refractv1.WatchTaskResponse) ([]byte, error) {
	var (
		name     string
		revision int64
		body     proto.Message
	)
	switch u := m.GetUpdate().(type) {
	case *refractv1.WatchTaskResponse_Task:
		name, revision, body = "task", u.Task.GetRevision(), u.Task
	case *refractv1.WatchTaskResponse_Event:
		name, revision, body = "event", u.Event.GetRevision(), u.Event
	case *refractv1.WatchTaskResponse_Bookmark:
		name, revision, body = "bookmark", u.Bookmark.GetRevision(), u.Bookmark
	default:
		return nil, errUnknownUpdate
	}
	data, err := encode(body)
	if err != nil {
		return nil, fmt.Errorf("encode the %s of a watch: %w", name, err)
	}
	return fmt.Appendf(nil, "id: %d\nevent: %s\ndata: %s\n\n", revision, name, data), nil
}

func (serverSentEvents) failure(st *status.Status) []byte {
	return fmt.Appendf(nil, "event: error\ndata: %s\n\n", encodeStatus(st))
}
