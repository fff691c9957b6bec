package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/refract-video/refract/internal/httpapi"
)

// restConn makes the calls of a gRPC client over REST, as the contract maps them, so that a test runs over both.
type restConn struct{ url string }

// serveREST serves REST over a connection to the API.
func serveREST(t *testing.T, cfg httpapi.InternalConfig) *restConn {
	t.Helper()
	s := httptest.NewServer(httpapi.NewInternal(cfg))
	t.Cleanup(s.Close)
	return &restConn{url: s.URL}
}

// NewStream fails: no test needs a stream.
func (*restConn) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errors.New("no streams over REST here")
}

// Invoke makes one call.
func (c *restConn) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	in, out := args.(proto.Message), reply.(proto.Message)
	httpMethod, path, hasBody, err := mapped(method, in)
	if err != nil {
		return err
	}
	var body []byte
	if hasBody {
		if body, err = protojson.Marshal(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, httpMethod, c.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	md, _ := metadata.FromOutgoingContext(ctx)
	for _, value := range md.Get("authorization") {
		req.Header.Add("Authorization", value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		st := &spb.Status{}
		if err := protojson.Unmarshal(text, st); err != nil {
			return err
		}
		return status.ErrorProto(st)
	}
	return protojson.Unmarshal(text, out)
}

// mapped returns the HTTP method and path of a call.
func mapped(method string, in proto.Message) (httpMethod, path string, hasBody bool, err error) {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", ".")))
	if err != nil {
		return "", "", false, err
	}
	rule, _ := proto.GetExtension(d.Options(), annotations.E_Http).(*annotations.HttpRule)
	switch pattern := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		httpMethod, path = http.MethodGet, pattern.Get
	case *annotations.HttpRule_Post:
		httpMethod, path = http.MethodPost, pattern.Post
	case *annotations.HttpRule_Patch:
		httpMethod, path = http.MethodPatch, pattern.Patch
	case *annotations.HttpRule_Delete:
		httpMethod, path = http.MethodDelete, pattern.Delete
	default:
		return "", "", false, errors.New("no route over REST")
	}
	query := url.Values{}
	in.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		name := "{" + string(fd.Name()) + "}"
		switch {
		case strings.Contains(path, name):
			path = strings.ReplaceAll(path, name, url.PathEscape(v.String()))
		case fd.IsList():
			for i := range v.List().Len() {
				query.Add(string(fd.Name()), string(fd.Enum().Values().ByNumber(v.List().Get(i).Enum()).Name()))
			}
		default:
			query.Add(string(fd.Name()), v.String())
		}
		return true
	})
	hasBody = rule.GetBody() == "*"
	if !hasBody && len(query) > 0 {
		path += "?" + query.Encode()
	}
	return httpMethod, path, hasBody, nil
}
