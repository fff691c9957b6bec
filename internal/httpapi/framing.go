package httpapi

import (
	"fmt"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/refract-video/refract/internal/publicerr"
)

// update is one message of a stream, with the id that a client needs to resume after it.
type update struct {
	message proto.Message // The whole message, as gRPC clients get it.
	id      string        // Resumes the stream after this message.
	name    string        // The event name of the body.
	body    proto.Message // The part of the message that events contain.
}

// framing turns the messages of a watch into the bytes of a stream.
type framing interface {
	contentType() string
	first() []byte    // The first bytes of a stream.
	reconnects() bool // Whether clients reconnect by themselves, unless the status is other than 200.
	message(u update) ([]byte, error)
	failure(st *status.Status) []byte
}

// jsonLines is one JSON object a line, {"result": message} or, as the last one, {"error": status}: the
// shape that grpc-gateway gives to streams and that the OpenAPI document describes.
type jsonLines struct{}

func (jsonLines) contentType() string { return "application/x-ndjson" }

func (jsonLines) first() []byte { return nil }

func (jsonLines) reconnects() bool { return false }

func (jsonLines) message(u update) ([]byte, error) {
	data, err := encode(u.message)
	if err != nil {
		return nil, fmt.Errorf("encode a message of a watch: %w", err)
	}
	return fmt.Appendf(nil, "{\"result\":%s}\n", data), nil
}

func (jsonLines) failure(st *status.Status) []byte {
	return fmt.Appendf(nil, "{\"error\":%s}\n", encodeStatus(publicerr.Bound(st)))
}

// serverSentEvents is the format of an EventSource. The name of an event is the kind of its data, its id is the revision or
// the resume token. A failure has no id, so it does not change where the client resumes.
type serverSentEvents struct{}

func (serverSentEvents) contentType() string { return "text/event-stream" }

// first sets the milliseconds after which an EventSource reconnects. Browsers have different defaults.
func (serverSentEvents) first() []byte { return []byte("retry: 2000\n\n") }

func (serverSentEvents) reconnects() bool { return true }

func (serverSentEvents) message(u update) ([]byte, error) {
	data, err := encode(u.body)
	if err != nil {
		return nil, fmt.Errorf("encode the %s of a watch: %w", u.name, err)
	}
	return fmt.Appendf(nil, "id: %s\nevent: %s\ndata: %s\n\n", u.id, u.name, data), nil
}

func (serverSentEvents) failure(st *status.Status) []byte {
	return fmt.Appendf(nil, "event: error\ndata: %s\n\n", encodeStatus(publicerr.Bound(st)))
}
