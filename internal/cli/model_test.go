package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/clienttest"
)

func inState(state refractv1.AvailabilityState, message string) *refractv1.Availability {
	return &refractv1.Availability{State: state, Message: message}
}

// editModel is a model at three providers.
func editModel(t *testing.T) *refractv1.Model {
	t.Helper()
	schema, err := structpb.NewStruct(map[string]any{"type": "object", "properties": map[string]any{"seed": map[string]any{"type": "integer"}}})
	if err != nil {
		t.Fatal(err)
	}
	page := &refractv1.Fact{Source: "the page", Certainty: refractv1.Certainty_CERTAINTY_DOCUMENTED}
	guess := &refractv1.Fact{Source: "a\x1b[2Jguess", Certainty: refractv1.Certainty_CERTAINTY_GUESS}
	return &refractv1.Model{
		Name: "acme/edit", Title: "Acme Edit", Description: "Edits a clip.", Route: []string{"luma", "kie"},
		Offerings: []*refractv1.Offering{
			{
				Provider: "luma", RemoteName: "acme-1", ProviderDefault: true, FirstFrame: true, Watermark: true,
				Availability:     inState(refractv1.AvailabilityState_AVAILABILITY_STATE_AVAILABLE, ""),
				Prompt:           &refractv1.PromptLimits{Required: true, MaxCharacters: 1500, Fact: guess},
				Source:           &refractv1.SourceLimits{Types: []string{"video/mp4"}, MaxDuration: durationpb.New(10 * time.Second), MaxBytes: 5, Facts: map[string]*refractv1.Fact{"types": page, "max_duration": page, "max_bytes": guess}},
				Strengths:        []refractv1.Strength{refractv1.Strength_STRENGTH_ADHERE_1, refractv1.Strength_STRENGTH_FLEX_1},
				DefaultStrength:  refractv1.Strength_STRENGTH_FLEX_1,
				ParametersSchema: schema,
				UsualDuration:    &refractv1.UsualDuration{Duration: durationpb.New(2 * time.Minute), Fact: page},
				TypicalDuration:  durationpb.New(95*time.Second + 400*time.Millisecond),
				Price:            &refractv1.Price{Amount: "0.35", Unit: refractv1.PriceUnit_PRICE_UNIT_OUTPUT_SECOND, Currency: "USD", Note: "silent", Fact: page},
			},
			{
				Provider: "kie", RemoteName: "acme/edit",
				Availability:  inState(refractv1.AvailabilityState_AVAILABILITY_STATE_DEPRECATED, "provider kie (acme/edit) retires on 2026-12-24"),
				Source:        &refractv1.SourceLimits{MaxDuration: durationpb.New(time.Hour), MaxBytes: 5, Facts: map[string]*refractv1.Fact{"max_duration": page, "max_bytes": page}},
				UsualDuration: &refractv1.UsualDuration{Duration: durationpb.New(5 * time.Minute), Fact: guess},
				Lifecycle: &refractv1.OfferingLifecycle{
					RetireTime: timestamppb.New(time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC)), RetiresSoon: true, ReplacedBy: "acme/edit-2", Fact: page,
				},
			},
			{Provider: "fal", RemoteName: "acme/v1", Availability: inState(refractv1.AvailabilityState_AVAILABILITY_STATE_NO_ACCOUNT, "provider fal (acme/edit) has no account here")},
		},
	}
}

// onlyAt returns a model with the offerings of some providers.
func onlyAt(m *refractv1.Model, providers ...string) *refractv1.Model {
	only := &refractv1.Model{Name: m.GetName(), Route: providers}
	for _, o := range m.GetOfferings() {
		if strings.Contains(" "+strings.Join(providers, " ")+" ", " "+o.GetProvider()+" ") {
			only.Offerings = append(only.Offerings, o)
		}
	}
	return only
}

func TestModelList_PrintsARowForEachOffering(t *testing.T) {
	t.Parallel()
	all := editModel(t)
	for name, tc := range map[string]struct {
		args   []string
		models []*refractv1.Model
		want   string
	}{
		"one account": {nil, []*refractv1.Model{onlyAt(all, "luma")}, `MODEL      ROUTE  PROVIDER  STATE      USUALLY  PRICE
acme/edit  1      luma      AVAILABLE  1m35s    0.35 USD per second of the output
`},
		"two accounts": {nil, []*refractv1.Model{onlyAt(all, "luma", "kie"), {Name: "acme/other", Offerings: []*refractv1.Offering{{Provider: "kie", Availability: inState(refractv1.AvailabilityState_AVAILABILITY_STATE_CLOSED, "")}}}}, `MODEL       ROUTE  PROVIDER  STATE                        USUALLY   PRICE
acme/edit   1      luma      AVAILABLE                    1m35s     0.35 USD per second of the output
acme/edit   2      kie       DEPRECATED until 2026-12-24  about 5m  -
acme/other  -      kie       CLOSED                       -         -
`},
		"all": {[]string{"--all"}, []*refractv1.Model{all}, `MODEL      ROUTE  PROVIDER  STATE                        USUALLY   PRICE
acme/edit  1      luma      AVAILABLE                    1m35s     0.35 USD per second of the output
acme/edit  2      kie       DEPRECATED until 2026-12-24  about 5m  -
acme/edit  -      fal       NO_ACCOUNT                   -         -
`},
		"no account":                {nil, nil, "no model has an offering that the service can use; --all shows the others\n"},
		"no account at a provider":  {[]string{"--provider=fal"}, nil, "no model has an offering at fal that the service can use; --all shows the others\n"},
		"no offering at a provider": {[]string{"--provider=fal", "--all"}, nil, "no model has an offering at fal\n"},
		"nothing as JSON":           {[]string{"--json"}, nil, ""},
		"JSON":                      {[]string{"--json"}, []*refractv1.Model{{Name: "acme/edit"}, {Name: "acme/other"}}, "{\"name\":\"acme/edit\"}\n{\"name\":\"acme/other\"}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var filters []string
			r := clienttest.Start(t, &clienttest.Service{Models: func(req *refractv1.ListModelsRequest) (*refractv1.ListModelsResponse, error) {
				filters = append(filters, fmt.Sprintf("%q %t", req.GetProvider(), req.GetIncludeUnavailable()))
				var at int
				_, _ = fmt.Sscan(req.GetPageToken(), &at)
				resp := &refractv1.ListModelsResponse{}
				if at < len(tc.models) {
					resp.Models = tc.models[at : at+1]
				}
				if at+1 < len(tc.models) {
					resp.NextPageToken = fmt.Sprint(at + 1)
				}
				return resp, nil
			}})
			exit, out, errs := command(t, r, append([]string{"model", "list"}, tc.args...)...)
			if diff := cmp.Diff(tc.want, out); diff != "" || exit != 0 {
				t.Errorf("exit %d: %s (-want +got):\n%s", exit, errs, diff)
			}
			line := strings.Join(tc.args, " ")
			want := fmt.Sprintf("%q %t", map[bool]string{true: "fal"}[strings.Contains(line, "fal")], strings.Contains(line, "--all"))
			for _, f := range filters {
				if f != want {
					t.Errorf("asked for %s, want %s", f, want)
				}
			}
		})
	}
}

func TestModelGet_PrintsLimitsAndSchema(t *testing.T) {
	t.Parallel()
	r := clienttest.Start(t, &clienttest.Service{Model: func(req *refractv1.GetModelRequest) (*refractv1.Model, error) {
		if req.GetModel() != "acme/edit" {
			t.Errorf("asked for model %q", req.GetModel())
		}
		return editModel(t), nil
	}})
	exit, out, errs := command(t, r, "model", "get", "acme/edit")
	want := `model       acme/edit
title       Acme Edit
description Edits a clip.
route       luma, kie

offering    luma, as acme-1, its default
state       AVAILABLE
prompt      required, at most 1500 characters (guess: a [2Jguess)
source      video/mp4 (documented: the page), at most 10s (documented: the page), at most 5 bytes (guess: a [2Jguess)
takes       a first frame; a watermark; a strength: adhere_1, flex_1 (default flex_1)
usually     1m35s by recent attempts; 2m by the catalog (documented: the page)
price       0.35 USD per second of the output; silent (documented: the page)
parameters  {
              "properties": {
                "seed": {
                  "type": "integer"
                }
              },
              "type": "object"
            }

offering    kie, as acme/edit
state       DEPRECATED until 2026-12-24
            provider kie (acme/edit) retires on 2026-12-24
prompt      none
source      at most 1h, at most 5 bytes (documented: the page)
usually     5m by the catalog (guess: a [2Jguess)
dates       retires 2026-12-24, replaced by acme/edit-2 (documented: the page)

offering    fal, as acme/v1
state       NO_ACCOUNT
            provider fal (acme/edit) has no account here
prompt      none
`
	if diff := cmp.Diff(want, out); diff != "" || exit != 0 {
		t.Errorf("exit %d: %s (-want +got):\n%s", exit, errs, diff)
	}
	if exit, out, errs = command(t, r, "model", "get", "acme/edit", "--json"); exit != 0 || !strings.HasPrefix(out, `{"name":"acme/edit",`) || strings.Count(out, "\n") != 1 {
		t.Errorf("as JSON: exit %d: %s%s, want one line", exit, out, errs)
	}
}
