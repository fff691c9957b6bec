package api

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/catalog"
)

// model converts a model. typical is how long attempts take.
func model(m *modelOffer, typical map[remoteModel]time.Duration) *refractv1.Model {
	converted := &refractv1.Model{Name: m.Name, Title: m.Title, Description: m.Description}
	for _, o := range m.offerings {
		if o.Stage.Usable() && slices.Contains(m.Route, o.Provider) {
			converted.Route = append(converted.Route, o.Provider)
		}
		converted.Offerings = append(converted.Offerings, offering(o, m.now, typical[remoteModel{o.Provider, o.Remote}]))
	}
	return converted
}

func offering(o offeringOffer, now time.Time, typical time.Duration) *refractv1.Offering {
	m := &refractv1.Offering{
		Provider: o.Provider, RemoteName: o.Remote, ProviderDefault: o.Default, Availability: availability(o),
		Prompt: promptLimits(o.Offering), Source: sourceLimits(o.Offering), FirstFrame: o.FirstFrame != nil, Watermark: o.Watermark != nil,
		ParametersSchema: parametersSchema(o.Offering), TypicalDuration: optionalDuration(typical), Price: price(o.Offering),
		Lifecycle: offeringLifecycle(o.Offering, now),
	}
	for _, name := range o.Strengths() {
		m.Strengths = append(m.Strengths, strength(name))
	}
	if o.Strength != nil {
		m.DefaultStrength = strength(o.Strength.Default)
	}
	if o.UsualDuration > 0 {
		m.UsualDuration = &refractv1.UsualDuration{Duration: durationpb.New(o.UsualDuration), Fact: fact(o.Offering, "usual_duration")}
	}
	return m
}

func availability(o offeringOffer) *refractv1.Availability {
	m := &refractv1.Availability{
		State:     refractv1.AvailabilityState(enumValue(refractv1.AvailabilityState_value, "AVAILABILITY_STATE_", string(o.Stage))),
		SinceTime: optionalTime(o.Since), UntilTime: optionalTime(o.Until),
	}
	if o.Message != "" {
		m.Message = o.String() + " " + o.Message
	}
	return m
}

func promptLimits(o *catalog.Offering) *refractv1.PromptLimits {
	if o.Prompt == nil {
		return nil
	}
	m := &refractv1.PromptLimits{Required: o.Prompt.Required, MaxCharacters: count32(o.Prompt.MaxCharacters)}
	if o.Prompt.MaxCharacters > 0 {
		m.Fact = fact(o, "prompt.max_characters")
	}
	return m
}

func sourceLimits(o *catalog.Offering) *refractv1.SourceLimits {
	s := o.Source
	m := &refractv1.SourceLimits{
		Types: s.Types, MinDuration: optionalDuration(s.MinDuration), MaxDuration: optionalDuration(s.MaxDuration), MaxBytes: s.MaxBytes,
		MinSide: count32(s.MinSide), MaxSide: count32(s.MaxSide), MaxPixels: int64(s.MaxPixels), MinRatio: s.MinRatio, MaxRatio: s.MaxRatio,
	}
	for _, path := range o.Figures() {
		if name, ok := strings.CutPrefix(path, "source."); ok {
			if m.Facts == nil {
				m.Facts = map[string]*refractv1.Fact{}
			}
			m.Facts[name] = fact(o, path)
		}
	}
	return m
}

// parametersSchema converts the JSON Schema of the parameters. The catalog has checked that it can be written as JSON.
func parametersSchema(o *catalog.Offering) *structpb.Struct {
	if o.Parameters == nil {
		return nil
	}
	text, err := json.Marshal(o.Parameters)
	if err != nil {
		return nil
	}
	m := &structpb.Struct{}
	if err := protojson.Unmarshal(text, m); err != nil {
		return nil
	}
	return m
}

func price(o *catalog.Offering) *refractv1.Price {
	if o.Price == nil {
		return nil
	}
	return &refractv1.Price{
		Amount: o.Price.Amount, Currency: o.Price.Currency, Note: o.Price.Note, Fact: fact(o, "price"),
		Unit: refractv1.PriceUnit(enumValue(refractv1.PriceUnit_value, "PRICE_UNIT_", string(o.Price.Unit))),
	}
}

func offeringLifecycle(o *catalog.Offering, now time.Time) *refractv1.OfferingLifecycle {
	l := o.Lifecycle
	if l == (catalog.Lifecycle{}) {
		return nil
	}
	return &refractv1.OfferingLifecycle{
		DeprecateTime: optionalTime(l.Deprecate.Time), RetireTime: optionalTime(l.Retire.Time), RetiresSoon: l.Ends(now),
		ReplacedBy: l.ReplacedBy, Fact: fact(o, "lifecycle"),
	}
}

// fact returns where a figure of an offering comes from, or nil.
func fact(o *catalog.Offering, path string) *refractv1.Fact {
	f, ok := o.Fact(path)
	if !ok {
		return nil
	}
	return &refractv1.Fact{Source: f.Source, Certainty: refractv1.Certainty(enumValue(refractv1.Certainty_value, "CERTAINTY_", string(f.Certainty)))}
}

// enumValue returns the value of an enum whose names are the domain's words in capitals behind a prefix.
func enumValue(values map[string]int32, prefix, word string) int32 {
	return values[prefix+strings.ToUpper(word)]
}

// optionalTime converts a time of which the zero value means that there is none.
func optionalTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// optionalDuration converts a duration of which 0 means that there is none.
func optionalDuration(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}
