package operation_test

import (
	"net/http"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
)

// operatorCall is one call over gRPC and over REST.
type operatorCall struct {
	rpc     string // Of OperatorService.
	request proto.Message
	method  string
	path    string // Of REST, with the query.
	body    string
}

// refusals makes the call over gRPC and over REST, and returns both refusals and the HTTP status.
func (c operatorCall) refusals(t *testing.T, ts *e2etest.Service, token string) (overGRPC, overREST e2etest.Refusal, httpStatus int) {
	t.Helper()
	method := refractv1.File_refract_v1_operator_service_proto.Services().Get(0).Methods().ByName(protoName(c.rpc))
	if method == nil {
		t.Fatalf("there is no rpc %s", c.rpc)
	}
	err := e2etest.Dial(t, ts.GRPCAddr()).Invoke(e2etest.As(ts.Anonymous(t), token), "/refract.v1.OperatorService/"+c.rpc, c.request, dynamicpb.NewMessage(method.Output()))
	status, _, answer := e2etest.Request(t, c.method, "http://"+ts.HTTPAddr()+c.path, c.body, "Authorization", "Bearer "+token)
	if status == http.StatusOK {
		t.Errorf("%s over REST was not refused: %s", c.rpc, answer)
	}
	return e2etest.RefusalOf(err), e2etest.DecodeRefusal(t, answer), status
}

// jsonOf returns a message as JSON of the REST API.
func jsonOf(t *testing.T, m proto.Message) string {
	t.Helper()
	text, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
