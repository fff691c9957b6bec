package cli

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/refract-video/refract/internal/clienttest"
)

func TestExplain_MakesOneLineOfAStatus(t *testing.T) {
	t.Parallel()
	fields := &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
		{Field: "prompt", Description: "must not be blank"}, {Field: "priority", Description: "must be at most 100"},
	}}
	retry := &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)}
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"none", nil, ""},
		{"not a status", errors.New("disk full"), "disk full"},
		{"reason", clienttest.Refused(codes.NotFound, "no such task", clienttest.Reason("TASK_NOT_FOUND")), "no such task [TASK_NOT_FOUND]"},
		{"no details", clienttest.Refused(codes.PermissionDenied, "not yours"), "not yours [PermissionDenied]"},
		{
			"fields", clienttest.Refused(codes.InvalidArgument, "bad request", clienttest.Reason("INVALID_REQUEST"), fields),
			"bad request; prompt: must not be blank; priority: must be at most 100 [INVALID_REQUEST]",
		},
		{
			"fields that the message has", clienttest.Refused(codes.InvalidArgument, "prompt: must not be blank; priority: must be at most 100", clienttest.Reason("INVALID_REQUEST"), fields),
			"prompt: must not be blank; priority: must be at most 100 [INVALID_REQUEST]",
		},
		{
			"retry", clienttest.Refused(codes.Unavailable, "the database is out of reach", clienttest.Reason("DATABASE_UNAVAILABLE"), retry),
			"the database is out of reach [DATABASE_UNAVAILABLE]; try again in 1s",
		},
		{
			"credentials", clienttest.Refused(codes.Unauthenticated, "the API token is wrong", clienttest.Reason("CREDENTIALS_INVALID")),
			"the API token is wrong [CREDENTIALS_INVALID]; pass it as --token or REFRACT_TOKEN",
		},
		{"interrupted", clienttest.Refused(codes.Canceled, "context canceled"), "interrupted"},
		{"wrapped", fmt.Errorf("watch: %w", clienttest.Refused(codes.NotFound, "no such task", clienttest.Reason("TASK_NOT_FOUND"))), "no such task [TASK_NOT_FOUND]"},
		{"lines and control characters", clienttest.Refused(codes.Internal, "one\ntwo\x1b[2Jthree"), "one two [2Jthree [Internal]"},
		{
			"deadline of the client", clienttest.Refused(codes.DeadlineExceeded, "context deadline exceeded"),
			"no answer from 127.0.0.1:9090 in time, and what was asked may still happen: look before you run the command again",
		},
		{
			"refused connection", clienttest.Refused(codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:9090: connect: connection refused"`),
			"nothing answers at 127.0.0.1:9090: start the service with `refract serve`, or pass --address",
		},
		{
			"certificate", clienttest.Refused(codes.Unavailable, `connection error: desc = "transport: authentication handshake failed: tls: failed to verify certificate: x509: unknown authority"`),
			"no TLS connection to 127.0.0.1:9090: transport: authentication handshake failed: tls: failed to verify certificate: x509: unknown authority: check --tls and --ca",
		},
		{
			"TLS needed", clienttest.Refused(codes.Unavailable, `connection error: desc = "error reading server preface: EOF"`),
			"127.0.0.1:9090 does not speak gRPC in the clear: pass --tls, or check --address (error reading server preface: EOF)",
		},
		{
			"no route", clienttest.Refused(codes.Unavailable, "name resolver error: produced zero addresses"),
			"no answer from 127.0.0.1:9090: is the service up, and --address right? (name resolver error: produced zero addresses)",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if err := explain(tt.err, "127.0.0.1:9090"); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
