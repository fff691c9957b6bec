package console

import (
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// posted returns what a browser sends of the form of a tenant.
func posted(t *refractv1.Tenant) url.Values {
	f, post := formOf(t), url.Values{}
	for on, value := range map[bool]string{true: "own", false: "default"} {
		if f.Own == on {
			post.Set("terms", value)
		}
		if f.WasOwn == on {
			post.Set("was_terms", value)
		}
	}
	for _, field := range f.Terms {
		post.Set(field.Name, field.Value)
		post.Set(field.Name+"_unit", field.Unit)
		post.Set("was_"+field.Name, field.Was)
	}
	for _, field := range f.Periods {
		post.Set(field.Name, field.Value)
		post.Set(field.Name+"_unit", field.Unit)
		post.Set("was_"+field.Name, field.Was)
	}
	return post
}

func TestTenantForm_SendsWhatWasChanged(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	keep := func(d time.Duration) *refractv1.KeepTime {
		return &refractv1.KeepTime{Time: &refractv1.KeepTime_KeepFor{KeepFor: durationpb.New(d)}}
	}
	for name, tt := range map[string]struct {
		shared     bool // Whether the tenant has the default's terms.
		typed      map[string]string
		want       *refractv1.UpdateTenantRequest // Nil for none.
		violations map[string]string
	}{
		"nothing":              {},
		"nothing of a default": {shared: true},
		"retention alone":      {typed: map[string]string{"keep_outputs": "3"}, want: &refractv1.UpdateTenantRequest{KeepOutputs: keep(3 * day)}},
		"another unit":         {typed: map[string]string{"keep_outputs": "48", "keep_outputs_unit": "hours"}},
		"half a day":           {typed: map[string]string{"keep_tasks": "1.5"}, want: &refractv1.UpdateTenantRequest{KeepTasks: keep(36 * time.Hour)}},
		"no end":               {typed: map[string]string{"keep_tasks_unit": keepForever}, want: &refractv1.UpdateTenantRequest{KeepTasks: keep(0)}},
		"still no end":         {typed: map[string]string{"keep_callbacks": "7"}},
		"the default's time": {
			typed: map[string]string{"keep_sources_unit": keepAsDefault},
			want:  &refractv1.UpdateTenantRequest{KeepSources: &refractv1.KeepTime{Time: &refractv1.KeepTime_AsDefault{AsDefault: true}}},
		},
		"a quota": {
			typed: map[string]string{"max_per_day": "9"},
			want:  &refractv1.UpdateTenantRequest{Weight: 5, MaxQueued: new(int32(100)), MaxPerDay: new(int32(9)), MaxSourceBytes: new(int64(3 << 20))},
		},
		"no limit any more": {
			typed: map[string]string{"max_queued": "", "keep_outputs": "3"},
			want:  &refractv1.UpdateTenantRequest{Weight: 5, MaxSourceBytes: new(int64(3 << 20)), KeepOutputs: keep(3 * day)},
		},
		"a size": {
			typed: map[string]string{"max_source_bytes": "1.5", "max_source_bytes_unit": "GiB"},
			want:  &refractv1.UpdateTenantRequest{Weight: 5, MaxQueued: new(int32(100)), MaxSourceBytes: new(int64(3 << 29))},
		},
		"the release's size": {
			typed: map[string]string{"max_source_bytes": ""},
			want:  &refractv1.UpdateTenantRequest{Weight: 5, MaxQueued: new(int32(100))},
		},
		"the default's terms": {typed: map[string]string{"terms": "default"}, want: &refractv1.UpdateTenantRequest{UseDefault: true}},
		"its own": {
			shared: true, typed: map[string]string{"terms": "own"},
			want: &refractv1.UpdateTenantRequest{Weight: 5, MaxQueued: new(int32(100)), MaxSourceBytes: new(int64(3 << 20))},
		},
		"its own for retention": {
			shared: true, typed: map[string]string{"terms": "own", "keep_outputs": "3"}, want: &refractv1.UpdateTenantRequest{KeepOutputs: keep(3 * day)},
		},
		"neither": {
			shared: true, typed: map[string]string{"weight": "6"},
			violations: map[string]string{"use_default": "You changed a field below. Choose terms of its own, or undo the change."},
		},
		"no numbers": {
			typed: map[string]string{"weight": "much", "max_source_bytes": "-1", "keep_tasks": "NaN", "max_queued": "0"},
			violations: map[string]string{
				"weight": "Enter a whole number from 1, or nothing for 1.", "max_source_bytes": "Enter a number, or nothing for 100 GiB.",
				"keep_tasks": "Enter a number above 0, or choose “without end”.", "max_queued": "Enter a whole number from 1, or nothing for no limit.",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			post := posted(&refractv1.Tenant{
				Tenant: "films", OwnTerms: !tt.shared, Weight: 5, MaxQueued: new(int32(100)),
				MaxSourceBytes: 3 << 20, MaxSources: 10000, MaxUnfinishedUploads: 1000,
				KeepOutputs: durationpb.New(2 * day), KeepSources: durationpb.New(7 * day), KeepCallbacks: durationpb.New(0), KeepTasks: durationpb.New(90 * day),
			})
			for field, value := range tt.typed {
				post.Set(field, value)
			}
			form := readTenantForm(post)
			got, changed := form.request("films")
			if diff := cmp.Diff(tt.violations, form.Violations); diff != "" && len(tt.violations)+len(form.Violations) > 0 {
				t.Fatalf("violations (-want +got):\n%s", diff)
			}
			if len(tt.violations) > 0 {
				return
			}
			if changed != (tt.want != nil) {
				t.Fatalf("changed = %t: %v", changed, got)
			}
			if tt.want != nil {
				tt.want.Tenant = "films"
				if diff := cmp.Diff(tt.want, got, protocmp.Transform()); diff != "" {
					t.Errorf("request (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestChangesOf_AreTheFieldsThatDiffer(t *testing.T) {
	t.Parallel()
	values := func(m map[string]any) *structpb.Struct {
		s, err := structpb.NewStruct(m)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	got := changesOf(values(map[string]any{"weight": 2, "reason": "a", "same": true, "old": nil}), values(map[string]any{"weight": 3, "same": true, "list": []any{"x"}}))
	want := []fieldChange{{"list", "", `["x"]`}, {"reason", "a", ""}, {"weight", "2", "3"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changesOf (-want +got):\n%s", diff)
	}
	if got := changesOf(nil, nil); got != nil {
		t.Errorf("changesOf(nothing) = %v", got)
	}
}
