package e2etest

import (
	"context"
	"testing"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Operator is an operator who calls a service over gRPC, REST and the command line.
type Operator struct {
	ts    *Service
	Token string
	refractv1.OperatorServiceClient
}

// Operator returns an operator with a token of the tenant "ops".
func (ts *Service) Operator(t *testing.T) Operator {
	t.Helper()
	return Operator{
		ts: ts, Token: NewToken(t, ts.Pool, "ops", true),
		OperatorServiceClient: refractv1.NewOperatorServiceClient(Dial(t, ts.GRPCAddr())),
	}
}

// Ctx returns a context with the operator's token and a deadline.
func (o Operator) Ctx(t *testing.T) context.Context {
	t.Helper()
	return As(o.ts.Anonymous(t), o.Token)
}

// Command runs a command line against the service and returns its output. The command must succeed.
func (o Operator) Command(t *testing.T, args ...string) string {
	t.Helper()
	exit, out, errs := Run(t, append(args, "--address="+o.ts.GRPCAddr(), "--token="+o.Token)...)
	if exit != 0 {
		t.Fatalf("%v: exit %d: %s", args[:2], exit, errs)
	}
	return out
}

// Admission returns the state of admission.
func (o Operator) Admission(t *testing.T) *refractv1.Admission {
	t.Helper()
	resp, err := o.GetAdmission(o.Ctx(t), &refractv1.GetAdmissionRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetAdmission()
}
