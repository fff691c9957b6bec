package precheck_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/precheck"
)

func submissions(n int) []*refractv1.SubmitTaskRequest {
	all := make([]*refractv1.SubmitTaskRequest, n)
	for i := range all {
		all[i] = &refractv1.SubmitTaskRequest{}
	}
	return all
}

func labels(n int) map[string]string {
	all := map[string]string{}
	for i := range n {
		all[strings.Repeat("k", i+1)] = "v"
	}
	return all
}

// TestCounts_AreThoseOfTheContract has each list and map of the requests at its limit and one over it, over both encodings.
func TestCounts_AreThoseOfTheContract(t *testing.T) {
	t.Parallel()
	states := make([]refractv1.TaskState, 8) // Packed.
	second := submissions(2)
	second[1].Labels = labels(17)
	many := submissions(200)
	for _, r := range many {
		r.Labels = labels(26) // Ten too many, of 1000 that a message may have.
	}
	for name, tc := range map[string]struct {
		m    proto.Message
		want string
	}{
		"requests":           {&refractv1.BatchSubmitTasksRequest{Requests: submissions(1000)}, ""},
		"too many requests":  {&refractv1.BatchSubmitTasksRequest{Requests: submissions(1001)}, "requests: must have at most 1000 items"},
		"labels":             {&refractv1.SubmitTaskRequest{Labels: labels(16)}, ""},
		"too many labels":    {&refractv1.SubmitTaskRequest{Labels: labels(17)}, "labels: must have at most 16 entries"},
		"fallbacks":          {&refractv1.SubmitTaskRequest{FallbackProviders: []string{"a", "b", "c", "d"}}, ""},
		"too many fallbacks": {&refractv1.SubmitTaskRequest{FallbackProviders: []string{"a", "b", "c", "d", "e"}}, "fallback_providers: must have at most 4 items"},
		"states":             {&refractv1.ListTasksRequest{States: states[:7]}, ""},
		"too many states":    {&refractv1.ListTasksRequest{States: states}, "states: must have at most 7 items"},
		"in an item":         {&refractv1.BatchSubmitTasksRequest{Requests: second}, ""}, // It is refused alone.
		"in many items":      {&refractv1.BatchSubmitTasksRequest{Requests: many}, "requests[100].labels: must have at most 16 entries"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wire, err := proto.Marshal(tc.m)
			if err != nil {
				t.Fatal(err)
			}
			text, err := protojson.Marshal(tc.m)
			if err != nil {
				t.Fatal(err)
			}
			md := tc.m.ProtoReflect().Descriptor()
			for encoding, err := range map[string]error{"wire": precheck.Wire(md, wire), "JSON": precheck.JSON(md, text)} {
				if got := said(err); got != tc.want {
					t.Errorf("%s: %q, want %q", encoding, got, tc.want)
				}
			}
		})
	}
}

func said(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestCounts_RefusingCostsNothing refuses 700,000 items. Decoding them takes more than a million allocations. It is not
// parallel, since it counts those of the whole process.
func TestCounts_RefusingCostsNothing(t *testing.T) {
	md := (&refractv1.BatchSubmitTasksRequest{}).ProtoReflect().Descriptor()
	wire := bytes.Repeat(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), nil), 700_000)
	text := []byte(`{"requests":[{}` + strings.Repeat(",{}", 700_000) + `]}`)
	for encoding, check := range map[string]func() error{
		"wire": func() error { return precheck.Wire(md, wire) },
		"JSON": func() error { return precheck.JSON(md, text) },
	} {
		const want = 8_000 // Some for each of the 1000 that may be.
		if got := testing.AllocsPerRun(1, func() {
			if check() == nil {
				t.Error("700,000 items are taken")
			}
		}); got > want {
			t.Errorf("%s: %v allocations, want at most %d", encoding, got, want)
		}
	}
}

// TestCounts_EveryListOfARequestHasALimit looks for lists and maps without a rule.
func TestCounts_EveryListOfARequestHasALimit(t *testing.T) {
	t.Parallel()
	for _, file := range []protoreflect.FileDescriptor{refractv1.File_refract_v1_task_service_proto, refractv1.File_refract_v1_operator_service_proto} {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				input := methods.Get(j).Input()
				for k := range input.Fields().Len() {
					fd := input.Fields().Get(k)
					if (fd.IsList() || fd.IsMap()) && !precheck.Limited(fd) {
						t.Errorf("%s has no limit", fd.FullName())
					}
				}
			}
		}
	}
}

func TestTimes_AreThoseOfACalendar(t *testing.T) {
	t.Parallel()
	const first, last = -62135596800, 253402300799
	list := func(seconds int64, nanos int32) proto.Message {
		return &refractv1.ListTasksRequest{CreateTimeFrom: &timestamppb.Timestamp{Seconds: seconds, Nanos: nanos}}
	}
	submit := func(d *durationpb.Duration) proto.Message { return &refractv1.SubmitTaskRequest{Deadline: d} }
	for name, tc := range map[string]struct {
		m    proto.Message
		want string
	}{
		"the first":           {list(first, 0), ""},
		"the last":            {list(last, 999_999_999), ""},
		"before":              {list(first-1, 0), "create_time_from: must be a time from the year 1 to the year 9999"},
		"after":               {list(last+1, 0), "create_time_from: must be a time from the year 1 to the year 9999"},
		"far after":           {list(math.MaxInt64, 0), "create_time_from: must be a time from the year 1 to the year 9999"},
		"far before":          {list(math.MinInt64, 0), "create_time_from: must be a time from the year 1 to the year 9999"},
		"too many nanos":      {list(0, 1_000_000_000), "create_time_from: must be a time from the year 1 to the year 9999"},
		"negative nanos":      {list(0, -1), "create_time_from: must be a time from the year 1 to the year 9999"},
		"a duration":          {submit(&durationpb.Duration{Seconds: 5}), ""},
		"a long duration":     {submit(&durationpb.Duration{Seconds: math.MaxInt64}), "deadline: must be a duration of at most 10000 years"},
		"signs that differ":   {submit(&durationpb.Duration{Seconds: 1, Nanos: -1}), "deadline: must be a duration of at most 10000 years"},
		"in an item":          {&refractv1.BatchSubmitTasksRequest{Requests: []*refractv1.SubmitTaskRequest{{Deadline: &durationpb.Duration{Seconds: math.MaxInt64}}}}, ""}, // It is refused alone.
		"in a nested message": {&refractv1.UpdateTenantRequest{KeepTasks: &refractv1.KeepTime{Time: &refractv1.KeepTime_KeepFor{KeepFor: &durationpb.Duration{Nanos: math.MinInt32}}}}, "keep_tasks.keep_for: must be a duration of at most 10000 years"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := said(precheck.Times(tc.m)); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// FuzzCounts checks that what decodes within the limits is taken, whatever its bytes are.
func FuzzCounts(f *testing.F) {
	f.Add([]byte(`{"requests":[{"labels":{"a":"b"}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &refractv1.BatchSubmitTasksRequest{}
		md := m.ProtoReflect().Descriptor()
		wire, text := precheck.Wire(md, b), precheck.JSON(md, b)
		if proto.Unmarshal(b, m) == nil && len(m.GetRequests()) > 1000 && wire == nil {
			t.Errorf("%d items are taken", len(m.GetRequests()))
		}
		if protojson.Unmarshal(b, m) == nil && len(m.GetRequests()) > 1000 && text == nil {
			t.Errorf("%d items of JSON are taken", len(m.GetRequests()))
		}
	})
}
