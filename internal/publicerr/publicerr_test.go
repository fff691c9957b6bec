package publicerr_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/publicerr"
)

// TestBound_EveryStatusFitsIntoTrailers bounds statuses of every shape. Without the call of cut for the message, or of
// shortened for the details, they would not fit.
func TestBound_EveryStatusFitsIntoTrailers(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<16)
	var many []*errdetails.BadRequest_FieldViolation
	for i := range 1_000 {
		many = append(many, &errdetails.BadRequest_FieldViolation{Field: fmt.Sprintf("requests[%d].prompt", i), Description: "must not be blank"})
	}
	for name, tc := range map[string]struct {
		message string
		details []protoadapt.MessageV1
	}{
		"short":              {"no", nil},
		"long message":       {long, nil},
		"message of accents": {strings.Repeat("ä", 1<<16), nil},
		"message not UTF-8":  {strings.Repeat("\xff", 1<<16), nil},
		"long field":         {"no", []protoadapt.MessageV1{&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: long, Description: long}}}}},
		"many violations":    {"no", []protoadapt.MessageV1{&errdetails.BadRequest{FieldViolations: many}}},
		"long quota":         {"no", []protoadapt.MessageV1{&errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{{Subject: long, Description: long}}}}},
		"unforeseen detail":  {"no", []protoadapt.MessageV1{&errdetails.DebugInfo{Detail: long}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := publicerr.Bound(publicerr.New(codes.InvalidArgument, refractv1.ErrorReason_ERROR_REASON_INVALID_REQUEST, tc.message, 0,
				map[string]string{"field": "f"}, tc.details...))
			if size := proto.Size(st.Proto()); size > publicerr.MaxSize || !utf8.ValidString(st.Message()) {
				t.Errorf("it has %d bytes and message %.20q, want at most %d bytes of UTF-8", size, st.Message(), publicerr.MaxSize)
			}
			if st.Code() != codes.InvalidArgument || len(st.Details()) == 0 {
				t.Fatalf("got %v without ErrorInfo", st.Code())
			}
			if info, ok := st.Details()[0].(*errdetails.ErrorInfo); !ok || info.GetReason() != "INVALID_REQUEST" {
				t.Errorf("first detail %v, want the ErrorInfo", st.Details()[0])
			}
		})
	}
}

func TestBound_LeavesAStatusThatFitsUnchanged(t *testing.T) {
	t.Parallel()
	st := status.New(codes.NotFound, strings.Repeat("y", 1<<10))
	if got := publicerr.Bound(st); got != st {
		t.Errorf("got %v, want the same status", got)
	}
}

func TestInvalid_ARuleOfTheWholeMessageHasNoField(t *testing.T) {
	t.Parallel()
	st := publicerr.Invalid("", publicerr.Violation("", "one must be set"), publicerr.Violation("a", "is bad"))
	if got, want := st.Message(), "one must be set; a: is bad"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestInvalid_NamesTheFirstTwenty(t *testing.T) {
	t.Parallel()
	var fields []*errdetails.BadRequest_FieldViolation
	for i := range 1000 {
		fields = append(fields, publicerr.Violation(fmt.Sprintf("f%d", i), "is wrong"))
	}
	st := publicerr.Invalid("", fields...)
	bad := st.Details()[1].(*errdetails.BadRequest)
	if got := len(bad.GetFieldViolations()); got != publicerr.MaxViolations || !strings.HasPrefix(st.Message(), "f0: is wrong; f1: is wrong") {
		t.Errorf("%d violations and message %q", got, st.Message())
	}
}

func TestEcho_RepeatsLittle(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"short":                   "short",
		strings.Repeat("a", 64):   strings.Repeat("a", 64),
		strings.Repeat("a", 5000): strings.Repeat("a", 61) + "…",
		strings.Repeat("ä", 5000): strings.Repeat("ä", 30) + "…",
	} {
		if got := publicerr.Echo(text); got != want {
			t.Errorf("Echo of %d bytes is %q, want %q", len(text), got, want)
		}
	}
}
