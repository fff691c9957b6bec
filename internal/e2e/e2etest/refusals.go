package e2etest

import (
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Refusal holds the parts of a refusal on which clients branch.
type Refusal struct {
	Code   codes.Code
	Reason string
	Fields []string
	TaskID string
}

// RefusalOf returns what an error of gRPC refuses.
func RefusalOf(err error) Refusal {
	st := status.Convert(err)
	r := Refusal{Code: st.Code()}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() == "refract" {
				r.Reason, r.TaskID = d.GetReason(), d.GetMetadata()["task_id"]
			}
		case *errdetails.BadRequest:
			for _, f := range d.GetFieldViolations() {
				r.Fields = append(r.Fields, f.GetField())
			}
		}
	}
	return r
}

// DecodeRefusal returns what an answer over REST refuses.
func DecodeRefusal(t *testing.T, body []byte) Refusal {
	t.Helper()
	e := DecodeError(t, body)
	r := Refusal{Code: codes.Code(e.Code)}
	for _, d := range e.Details {
		if d.Domain == "refract" {
			r.Reason, r.TaskID = d.Reason, d.Metadata["task_id"]
		}
		for _, f := range d.FieldViolations {
			r.Fields = append(r.Fields, f.Field)
		}
	}
	return r
}
