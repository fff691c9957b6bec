package console

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/publicerr"
)

func TestViolations(t *testing.T) {
	t.Parallel()
	invalid := func(fields ...string) error {
		var found []*errdetails.BadRequest_FieldViolation
		for i := 0; i < len(fields); i += 2 {
			found = append(found, publicerr.Violation(fields[i], fields[i+1]))
		}
		return publicerr.Invalid("", found...).Err()
	}
	for name, tt := range map[string]struct {
		err  error
		want map[string]string
	}{
		"a field":              {invalid("url", "must be an https URL"), map[string]string{"url": "Must be an https URL."}},
		"fields":               {invalid("url", "is empty", "labels[a]", "is long."), map[string]string{"url": "Is empty.", "labels[a]": "Is long."}},
		"two rules of a field": {invalid("url", "is empty", "url", "is relative"), map[string]string{"url": "Is empty; is relative."}},
		"the whole message":    {invalid("", "one of them must be set"), map[string]string{}},
		"no details":           {status.Error(codes.InvalidArgument, "no"), map[string]string{}},
		"other details": {
			publicerr.New(codes.NotFound, refractv1.ErrorReason_ERROR_REASON_TASK_NOT_FOUND, "no task", 0, nil).Err(), map[string]string{},
		},
		"no status": {errNoPage, map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, violations(tt.err)); diff != "" {
				t.Errorf("violations(%v): (-want +got)\n%s", tt.err, diff)
			}
		})
	}
}
