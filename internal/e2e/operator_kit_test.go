package e2e_test

import (
	"context"
	"net/http"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// operator is an operator who calls a service over gRPC, REST and the command line.
type operator struct {
	ts    *testService
	token string
	refractv1.OperatorServiceClient
}

// operator returns an operator with a token of the tenant "ops".
func (ts *testService) operator(t *testing.T) operator {
	t.Helper()
	return operator{
		ts: ts, token: newToken(t, ts.pool, "ops", true),
		OperatorServiceClient: refractv1.NewOperatorServiceClient(dial(t, ts.GRPCAddr())),
	}
}

// ctx returns a context with the operator's token and a deadline.
func (o operator) ctx(t *testing.T) context.Context {
	t.Helper()
	return as(o.ts.anonymous(t), o.token)
}

// command runs a command line against the service and returns its output. The command must succeed.
func (o operator) command(t *testing.T, args ...string) string {
	t.Helper()
	exit, out, errs := run(t, append(args, "--address="+o.ts.GRPCAddr(), "--token="+o.token)...)
	if exit != 0 {
		t.Fatalf("%v: exit %d: %s", args[:2], exit, errs)
	}
	return out
}

// operatorCall is one call over gRPC and over REST.
type operatorCall struct {
	rpc     string // Of OperatorService.
	request proto.Message
	method  string
	path    string // Of REST, with the query.
	body    string
}

// refusals makes the call over gRPC and over REST, and returns both refusals and the HTTP status.
func (c operatorCall) refusals(t *testing.T, ts *testService, token string) (overGRPC, overREST refusalSeen, httpStatus int) {
	t.Helper()
	method := refractv1.File_refract_v1_operator_service_proto.Services().Get(0).Methods().ByName(protoName(c.rpc))
	if method == nil {
		t.Fatalf("there is no rpc %s", c.rpc)
	}
	err := dial(t, ts.GRPCAddr()).Invoke(as(ts.anonymous(t), token), "/refract.v1.OperatorService/"+c.rpc, c.request, dynamicpb.NewMessage(method.Output()))
	status, _, answer := request(t, c.method, "http://"+ts.HTTPAddr()+c.path, c.body, "Authorization", "Bearer "+token)
	if status == http.StatusOK {
		t.Errorf("%s over REST was not refused: %s", c.rpc, answer)
	}
	return refusalOf(err), decodeRefusal(t, answer), status
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
