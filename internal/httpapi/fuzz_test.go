package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/httpapi"
)

// tape is a connection to a gRPC server that records its requests, and a callback service that receives every callback. Streams
// are answered with an error.
type tape struct {
	refractv1.UnimplementedCallbackServiceServer
	asked []proto.Message
	md    metadata.MD
}

func (c *tape) take(ctx context.Context, m any) {
	c.asked = append(c.asked, m.(proto.Message))
	c.md, _ = metadata.FromOutgoingContext(ctx)
}

func (c *tape) Invoke(ctx context.Context, _ string, args, _ any, _ ...grpc.CallOption) error {
	c.take(ctx, args)
	return nil
}

func (c *tape) NewStream(ctx context.Context, _ *grpc.StreamDesc, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	return &tapedStream{tape: c, ctx: ctx}, nil
}

func (c *tape) CheckToken(context.Context, string, string) error { return nil }

func (c *tape) ReceiveCallback(ctx context.Context, req *refractv1.ReceiveCallbackRequest) (*refractv1.ReceiveCallbackResponse, error) {
	c.asked = append(c.asked, req)
	c.md, _ = metadata.FromIncomingContext(ctx)
	return received, nil
}

type tapedStream struct {
	grpc.ClientStream
	tape *tape
	ctx  context.Context
}

func (s *tapedStream) SendMsg(m any) error {
	s.tape.take(s.ctx, m)
	return errors.New("the tape plays nothing")
}

// integer matches the integers of package strconv.
var integer = regexp.MustCompile(`^[+-]?[0-9]+$`)

// FuzzWatchResume checks that a watch begins after the revision that the client names, or is refused: a revision that
// was misread would lose events or send them twice.
func FuzzWatchResume(f *testing.F) {
	conn := &tape{}
	handler := httpapi.NewInternal(httpapi.InternalConfig{Conn: conn, Log: slog.New(slog.DiscardHandler)})
	f.Fuzz(func(t *testing.T, lastEventID, query string) {
		conn.asked = nil
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, watchPath, http.NoBody)
		req.URL.RawQuery = query
		req.Header.Set("Last-Event-ID", lastEventID)
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, req)
		if len(conn.asked) == 0 {
			checkRefusal(t, answer)
			parameters, err := url.ParseQuery(query)
			if err == nil && len(parameters) == 0 && (lastEventID == "" || isRevision(lastEventID)) {
				t.Fatalf("Last-Event-ID %q and query %q are refused: %s", lastEventID, query, answer.Body)
			}
			return
		}
		got := conn.asked[0].(*refractv1.WatchTaskRequest)
		if got.GetTaskId() != taskID || len(conn.asked) != 1 {
			t.Fatalf("query %q leads to %v", query, conn.asked)
		}
		if lastEventID == "" {
			return // The gateway reads queries.
		}
		want, ok := new(big.Int).SetString(lastEventID, 10)
		if !isRevision(lastEventID) || !ok || got.AfterRevision == nil || want.Cmp(big.NewInt(got.GetAfterRevision())) != 0 {
			t.Fatalf("Last-Event-ID %q and query %q begin after %v", lastEventID, query, got.AfterRevision)
		}
	})
}

// isRevision reports whether s is a number from 0 to the largest revision.
func isRevision(s string) bool {
	n, ok := new(big.Int).SetString(s, 10)
	return ok && integer.MatchString(s) && n.Sign() >= 0 && n.IsInt64()
}

// checkRefusal fails unless an answer is an error of REST.
func checkRefusal(t *testing.T, answer *httptest.ResponseRecorder) {
	t.Helper()
	var body struct {
		Code    int
		Message string
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &body); err != nil || body.Code == 0 || body.Message == "" ||
		answer.Code < 400 || answer.Code > 499 {
		t.Fatalf("refused with %d and %s", answer.Code, answer.Body)
	}
}

// FuzzIngress checks that a callback reaches the service unchanged and with nothing added, or is refused.
func FuzzIngress(f *testing.F) {
	conn := &tape{}
	handler := httpapi.NewIngress(httpapi.IngressConfig{
		Callbacks: conn, Headers: kieAccount(f).CallbackHeaders(), MaxBody: 1 << 10, Log: slog.New(slog.DiscardHandler),
	})
	f.Fuzz(func(t *testing.T, method, path, timestamp, signature string, body []byte) {
		conn.asked, conn.md = nil, nil
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
		req.Method, req.URL.Path = method, path
		req.Header.Set("X-Webhook-Timestamp", timestamp)
		req.Header.Set("X-Webhook-Signature", signature)
		req.Header.Set("Authorization", "Bearer stranger")
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, req)
		if len(conn.asked) == 0 {
			checkRefusal(t, answer)
			if tooLarge := len(body) > 1<<10; tooLarge != (answer.Code == http.StatusRequestEntityTooLarge) && answer.Code != http.StatusNotFound {
				t.Fatalf("a body of %d bytes is refused with %d", len(body), answer.Code)
			}
			return
		}
		got := conn.asked[0].(*refractv1.ReceiveCallbackRequest)
		if answer.Code != http.StatusOK || method != http.MethodPost || len(body) > 1<<10 || !bytes.Equal(got.GetBody(), body) ||
			"/v1/callbacks/"+got.GetProvider()+"/"+got.GetToken() != path ||
			got.GetProvider() == "" || strings.Contains(got.GetProvider()+got.GetToken(), "/") {
			t.Fatalf("%s %q with %q is %d and reaches the server as %v", method, path, body, answer.Code, got)
		}
		if _, err := proto.Marshal(got); err != nil {
			t.Fatalf("%q can't be sent on: %v", path, err)
		}
		for name, values := range conn.md {
			sent := map[string]string{"x-webhook-timestamp": timestamp, "x-webhook-signature": signature}[name]
			if len(values) != 1 || values[0] != sent || strings.ContainsFunc(sent, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("metadata %q is %q, want what was sent", name, values)
			}
		}
	})
}
