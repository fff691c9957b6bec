package precheck_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/precheck"
)

// TestValues_OfAnObjectAreBounded has requests whose parameters are large, deep, or followed by too much of something else. Each is
// judged in JSON and, if it can be decoded, on the wire.
func TestValues_OfAnObjectAreBounded(t *testing.T) {
	t.Parallel()
	list := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("1,", n), ",") + "]" }
	request := func(parameters string) string { return `{"parameters": {"a": ` + parameters + `}}` }
	batch := func(n int, parameters string) string {
		return `{"requests": [` + strings.TrimSuffix(strings.Repeat(request(parameters)+",", n), ",") + `]}`
	}
	for name, tc := range map[string]struct {
		text  string
		batch bool
		want  string // The field that is refused.
	}{
		"a scalar value":             {text: request("1")},
		"as many as 16 KiB may have": {text: request(list(8000))},
		"too many":                   {text: request(list(30_000)), want: "parameters"},
		"sixteen levels":             {text: request(strings.Repeat("[", 15) + strings.Repeat("]", 15))},
		"seventeen levels":           {text: request(strings.Repeat("[", 16) + strings.Repeat("]", 16)), want: "parameters"},
		"objects in objects":         {text: request(strings.Repeat(`{"b":`, 40) + "1" + strings.Repeat("}", 40)), want: "parameters"},
		"many with few each":         {text: batch(900, list(20)), batch: true},
		"many with too many in all":  {text: batch(900, list(30)), batch: true, want: "requests[].parameters"},
		"too many after parameters":  {text: batch(1001, "1"), batch: true, want: "requests"},
		"labels after parameters": {
			text: `{"parameters": {"a": {"b": [1, {"c": 2}]}}, "labels": {` + manyLabels(20) + `}}`, want: "labels",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var m proto.Message = &refractv1.SubmitTaskRequest{}
			if tc.batch {
				m = &refractv1.BatchSubmitTasksRequest{}
			}
			judge := func(how string, err error) {
				t.Helper()
				got := ""
				if bad, ok := errors.AsType[*precheck.Error](err); ok {
					got = bad.Field
				}
				if index := regexp.MustCompile(`\[\d+\]`); index.ReplaceAllString(got, "[]") != tc.want { // JSON and the wire count entries differently.
					t.Errorf("%s refuses %q (%v), want %q", how, got, err, tc.want)
				}
			}
			judge("JSON", precheck.JSON(m.ProtoReflect().Descriptor(), []byte(tc.text)))
			if err := protojson.Unmarshal([]byte(tc.text), m); err != nil {
				t.Fatal(err)
			}
			encoded, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			judge("the wire", precheck.Wire(m.ProtoReflect().Descriptor(), encoded))
		})
	}
}

func manyLabels(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`"k%d": "v"`, i))
	}
	return strings.Join(all, ", ")
}
