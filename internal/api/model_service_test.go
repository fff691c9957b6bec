package api

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/provider"
)

// atProvider is an account at a provider, of which nothing but the name is asked.
type atProvider struct {
	provider.Provider
	name string
}

func (p atProvider) Name() string { return p.name }

// took is how long attempts of accounts took, by model.
type took map[string]map[string]time.Duration

func (d took) TypicalDurations(_ context.Context, account string) (map[string]time.Duration, error) {
	return d[account], nil
}

// modelsAt returns the settings of a model service at noon, with accounts of luma, luma-eu and kie.
func modelsAt(t *testing.T, routes catalog.Routes, closed catalog.Closures) ModelServiceConfig {
	t.Helper()
	c, err := catalog.Load("testdata/models.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if c, err = c.WithRoutes(routes); err != nil {
		t.Fatal(err)
	}
	return ModelServiceConfig{
		Catalog: func() *catalog.Catalog { return c }, Closed: func(context.Context) catalog.Closures { return closed }, Now: func() time.Time { return noon },
		Accounts:  provider.Accounts{"luma": atProvider{name: "luma"}, "luma-eu": atProvider{name: "luma"}, "kie": atProvider{name: "kie"}},
		Durations: took{"luma": {"acme-1": 4 * time.Minute, "ray-2": time.Hour}, "luma-eu": {"acme-1": 7 * time.Minute}},
	}
}

func serveModels(t *testing.T, cfg ModelServiceConfig) refractv1.ModelServiceClient {
	t.Helper()
	conn, _ := serveInMemory(t, Config{Models: NewModelService(cfg)})
	return refractv1.NewModelServiceClient(conn)
}

// summary returns a model as its name, its route, and the states of its offerings.
func summary(m *refractv1.Model) string {
	parts := []string{m.GetName(), "[" + strings.Join(m.GetRoute(), " ") + "]"}
	for _, o := range m.GetOfferings() {
		parts = append(parts, o.GetProvider()+":"+strings.TrimPrefix(o.GetAvailability().GetState().String(), "AVAILABILITY_STATE_"))
	}
	return strings.Join(parts, " ")
}

func TestListModels_ShowsWhatTheAccountsOffer(t *testing.T) {
	t.Parallel()
	closed := func(o *catalog.Offering) *catalog.Closure {
		if o.Model == "luma/ray-2-flash-modify" {
			return &catalog.Closure{Reason: "the provider has no such model", Since: noon}
		}
		return nil
	}
	client := serveModels(t, modelsAt(t, catalog.Routes{"luma/ray-2-modify": {"kie", "luma"}}, closed))
	for name, tc := range map[string]struct {
		req  *refractv1.ListModelsRequest
		want []string
	}{
		"by default": {&refractv1.ListModelsRequest{}, []string{
			"acme/edit [luma] luma:DEPRECATED",
			"google/gemini-omni-video [kie] kie:AVAILABLE",
			"happyhorse/video-edit [kie] kie:AVAILABLE",
			"kling/3.0-omni-transformation [kie] kie:AVAILABLE",
			"luma/ray-2-flash-modify [] luma:CLOSED",
			"luma/ray-2-modify [kie luma] kie:DEPRECATED luma:AVAILABLE",
			"wan/2-6-video-to-video [kie] kie:AVAILABLE",
			"wan/2-7-videoedit [kie] kie:AVAILABLE",
		}},
		"of a provider": {&refractv1.ListModelsRequest{Provider: "kie"}, []string{
			"google/gemini-omni-video [kie] kie:AVAILABLE",
			"happyhorse/video-edit [kie] kie:AVAILABLE",
			"kling/3.0-omni-transformation [kie] kie:AVAILABLE",
			"luma/ray-2-modify [kie luma] kie:DEPRECATED luma:AVAILABLE",
			"wan/2-6-video-to-video [kie] kie:AVAILABLE",
			"wan/2-7-videoedit [kie] kie:AVAILABLE",
		}},
		"of a provider without an account": {&refractv1.ListModelsRequest{Provider: "far"}, nil},
		"with what is not available": {&refractv1.ListModelsRequest{IncludeUnavailable: true}, []string{
			"acme/edit [luma] far:NO_ACCOUNT luma:DEPRECATED",
			"acme/gone [] luma:RETIRED",
			"decart/lucy-edit-fast [] fal:NO_ACCOUNT",
			"google/gemini-omni-video [kie] kie:AVAILABLE",
			"happyhorse/video-edit [kie] kie:AVAILABLE",
			"kling/3.0-omni-transformation [kie] kie:AVAILABLE",
			"kling/o1-edit [] fal:NO_ACCOUNT",
			"kling/o3-pro-edit [] fal:NO_ACCOUNT",
			"kling/o3-standard-edit [] fal:NO_ACCOUNT",
			"luma/ray-2-flash-modify [] luma:CLOSED fal:NO_ACCOUNT",
			"luma/ray-2-modify [kie luma] kie:DEPRECATED luma:AVAILABLE fal:NO_ACCOUNT",
			"luma/ray-3.2-edit [] luma-agents:NO_ACCOUNT fal:NO_ACCOUNT",
			"wan/2-6-video-to-video [kie] kie:AVAILABLE",
			"wan/2-7-videoedit [kie] kie:AVAILABLE",
			"xai/grok-imagine-edit [] fal:NO_ACCOUNT",
		}},
		"both": {&refractv1.ListModelsRequest{Provider: "far", IncludeUnavailable: true}, []string{
			"acme/edit [luma] far:NO_ACCOUNT luma:DEPRECATED",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, size := range []int32{0, 1, 2} {
				var got []string
				for req := protoClone(tc.req, size); ; {
					resp, err := client.ListModels(as(t, "good"), req)
					if err != nil {
						t.Fatal(err)
					}
					for _, m := range resp.GetModels() {
						got = append(got, summary(m))
					}
					if size > 0 && len(resp.GetModels()) > int(size) {
						t.Errorf("a page of %d has %d models", size, len(resp.GetModels()))
					}
					if req.PageToken = resp.GetNextPageToken(); req.GetPageToken() == "" {
						break
					}
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("pages of %d (-want +got):\n%s", size, diff)
				}
			}
		})
	}
}

// protoClone returns the request with a size of pages.
func protoClone(req *refractv1.ListModelsRequest, size int32) *refractv1.ListModelsRequest {
	return &refractv1.ListModelsRequest{PageSize: size, Provider: req.GetProvider(), IncludeUnavailable: req.GetIncludeUnavailable()}
}

func TestGetModel_ShowsWhatTheCatalogHas(t *testing.T) {
	t.Parallel()
	client := serveModels(t, modelsAt(t, catalog.Routes{"acme/edit": {"luma"}}, nil))
	schema, err := structpb.NewStruct(map[string]any{
		"type": "object", "additionalProperties": false,
		"properties": map[string]any{
			"resolution": map[string]any{"enum": []any{"720p", "1080p"}}, "seed": map[string]any{"type": "integer", "minimum": 0},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	day := func(month time.Month, day int) *timestamppb.Timestamp {
		return timestamppb.New(time.Date(2026, month, day, 0, 0, 0, 0, time.UTC))
	}
	page := &refractv1.Fact{Source: "the page", Certainty: refractv1.Certainty_CERTAINTY_DOCUMENTED}
	want := &refractv1.Model{
		Name: "acme/edit", Title: "Acme Edit", Description: "Edits a clip by instruction.", Route: []string{"luma"},
		Offerings: []*refractv1.Offering{
			{
				Provider: "luma", RemoteName: "acme-1",
				Availability: &refractv1.Availability{
					State: refractv1.AvailabilityState_AVAILABILITY_STATE_DEPRECATED, SinceTime: day(10, 1), UntilTime: day(12, 24),
					Message: "provider luma (acme/edit) has been deprecated since 2026-10-01 and retires on 2026-12-24, and acme/edit-2 replaces it",
				},
				Prompt: &refractv1.PromptLimits{Required: true, MaxCharacters: 1500, Fact: &refractv1.Fact{Source: "a guess", Certainty: refractv1.Certainty_CERTAINTY_GUESS}},
				Source: &refractv1.SourceLimits{
					Types: []string{"video/mp4"}, MinDuration: durationpb.New(2 * time.Second), MaxDuration: durationpb.New(10 * time.Second),
					MaxBytes: 100_000_000, MinSide: 240, MaxSide: 4096, MaxPixels: 8_294_400, MinRatio: 0.4, MaxRatio: 2.5,
					Facts: map[string]*refractv1.Fact{
						"types": page, "min_duration": page, "max_duration": page, "min_side": page, "max_side": page, "max_pixels": page,
						"min_ratio": page, "max_ratio": page,
						"max_bytes": {Source: "a clip that was refused", Certainty: refractv1.Certainty_CERTAINTY_RECORDED},
					},
				},
				Strengths:        []refractv1.Strength{refractv1.Strength_STRENGTH_ADHERE_1, refractv1.Strength_STRENGTH_FLEX_1},
				DefaultStrength:  refractv1.Strength_STRENGTH_FLEX_1,
				ParametersSchema: schema,
				UsualDuration: &refractv1.UsualDuration{
					Duration: durationpb.New(2 * time.Minute), Fact: &refractv1.Fact{Source: "a user", Certainty: refractv1.Certainty_CERTAINTY_REPORTED},
				},
				TypicalDuration: durationpb.New(7 * time.Minute),
				Price: &refractv1.Price{
					Amount: "0.35", Unit: refractv1.PriceUnit_PRICE_UNIT_INPUT_AND_OUTPUT_SECOND, Currency: "USD", Note: "silent",
					Fact: &refractv1.Fact{Source: "two pages", Certainty: refractv1.Certainty_CERTAINTY_CONTRADICTED},
				},
				Lifecycle: &refractv1.OfferingLifecycle{
					DeprecateTime: day(10, 1), RetireTime: day(12, 24), RetiresSoon: true, ReplacedBy: "acme/edit-2",
					Fact: &refractv1.Fact{Source: "the list of models", Certainty: refractv1.Certainty_CERTAINTY_DOCUMENTED},
				},
			},
			{
				Provider: "far", RemoteName: "acme/edit/v1", ProviderDefault: true, Source: &refractv1.SourceLimits{},
				Availability: &refractv1.Availability{
					State: refractv1.AvailabilityState_AVAILABILITY_STATE_NO_ACCOUNT, Message: "provider far (acme/edit) has no account here",
				},
			},
		},
	}
	for _, name := range []string{"acme/edit", "acme-1"} { // The second is the provider's own.
		got, err := client.GetModel(as(t, "good"), &refractv1.GetModelRequest{Model: name})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.GetModel(), protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestModelEnums_HaveATwin fails when the catalog knows a word that the contract has no value for.
func TestModelEnums_HaveATwin(t *testing.T) {
	t.Parallel()
	for _, stage := range []catalog.Stage{catalog.Available, catalog.Deprecated, catalog.Retired, catalog.NoAccount, catalog.Closed} {
		o := &catalog.Offering{}
		if got := availability(offeringOffer{o, catalog.Availability{Stage: stage}}).GetState(); got == 0 {
			t.Errorf("the contract has no state %s", stage)
		}
	}
	for _, unit := range []catalog.Unit{catalog.PerInputSecond, catalog.PerOutputSecond, catalog.PerInputAndOutputSecond, catalog.PerMegapixel, catalog.PerRun} {
		if got := price(&catalog.Offering{Price: &catalog.Price{Unit: unit}}).GetUnit(); got == 0 {
			t.Errorf("the contract has no unit %s", unit)
		}
	}
	for _, c := range []catalog.Certainty{catalog.Recorded, catalog.Documented, catalog.Contradicted, catalog.Reported, catalog.Guess} {
		if got := fact(&catalog.Offering{Facts: map[string]catalog.Fact{"price": {Certainty: c}}}, "price").GetCertainty(); got == 0 {
			t.Errorf("the contract has no certainty %s", c)
		}
	}
}

func TestModels_RefuseWhatTheContractForbids(t *testing.T) {
	t.Parallel()
	client := serveModels(t, modelsAt(t, nil, nil))
	for field, req := range map[string]*refractv1.ListModelsRequest{
		"page_size":   {PageSize: 501},
		"page_size ":  {PageSize: -1},
		"page_token":  {PageToken: strings.Repeat("x", 257)},
		"page_token ": {PageToken: "not one of ours"},
		"provider":    {Provider: "KIE"},
		"provider ":   {Provider: strings.Repeat("k", 33)},
	} {
		_, err := client.ListModels(as(t, "good"), req)
		got := fieldsOfStatus(status.Convert(err))
		if status.Code(err) != codes.InvalidArgument || len(got) == 0 || got[0] != strings.TrimSpace(field) {
			t.Errorf("%v is answered %v and names %q, want %s", req, err, got, field)
		}
	}
	for name, want := range map[string]codes.Code{"": codes.InvalidArgument, strings.Repeat("x", 129): codes.InvalidArgument, "acme/unknown": codes.NotFound} {
		_, err := client.GetModel(as(t, "good"), &refractv1.GetModelRequest{Model: name})
		if status.Code(err) != want {
			t.Errorf("model %q is answered %v, want %s", name, err, want)
		}
	}
}

func TestModelPageTokens_ComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a/b", strings.Repeat("x", 63) + "/" + strings.Repeat("y", 63)} {
		token := modelPageToken(name)
		if got, err := parseModelPageToken(token); err != nil || got != name || len(token) > 256 {
			t.Errorf("the token of model %q gave %q, %v", name, got, err)
		}
	}
	for _, stranger := range []string{"x", "====", "AAAA", tenantPageToken("acme"), modelPageToken("\x00"), modelPageToken("\xff"), modelPageToken("a/b") + "A"} {
		if got, err := parseModelPageToken(stranger); err == nil {
			t.Errorf("page token %q gave %q", stranger, got)
		}
	}
}
