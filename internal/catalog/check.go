package catalog

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// names matches the names of models, and providers those of providers.
var (
	names     = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}/[a-z0-9][a-z0-9._-]{0,62}$`)
	providers = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
)

// complete checks a model of a file, and completes its offerings.
func (m *Model) complete() error {
	if !names.MatchString(m.Name) {
		return fmt.Errorf("name: %q is not of the form family/model, in lower case", m.Name)
	}
	seen := map[string]bool{}
	for i, o := range m.Offerings {
		if o == nil || !providers.MatchString(o.Provider) {
			return fmt.Errorf("offerings[%d].provider: it does not name a provider, such as fal", i)
		}
		if seen[o.Provider] {
			return fmt.Errorf("offerings[%d].provider: %s has another offering of the model", i, o.Provider)
		}
		seen[o.Provider] = true
		o.Model = m.Name
		if err := o.complete(); err != nil {
			return fmt.Errorf("at %s: %w", o.Provider, err)
		}
	}
	return nil
}

// complete checks an offering and compiles its schema.
func (o *Offering) complete() (err error) {
	if o.Remote == "" {
		return errors.New("remote: it is required")
	}
	if o.Source.Form == "" {
		o.Source.Form = FormString
	}
	if o.Parameters != nil {
		if o.schema, err = compile(o.Parameters); err != nil {
			return fmt.Errorf("parameters: %w", err)
		}
	}
	for field, inputs := range map[string]map[string]any{"fixed": o.Fixed, "defaults": o.Defaults} {
		if _, err := asJSON(inputs); err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
	}
	for _, check := range []func() error{o.checkSource, o.checkInputs, o.checkParameters, o.checkPrice, o.checkLifecycle, o.checkFacts} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (o *Offering) checkSource() error {
	s := o.Source
	for _, c := range []struct {
		field string
		wrong bool
		why   string
	}{
		{"source.field", s.Field == "", "it is required"},
		{"source.form", s.Form != FormString && s.Form != FormList && s.Form != FormObjects, "it is string, list or objects"},
		{"source.key", (s.Key != "") != (s.Form == FormObjects), "the form objects has one, and no other form"},
		{"source.min_duration", s.MinDuration < 0, "it is negative"},
		{"source.max_duration", s.MaxDuration < s.MinDuration && s.MaxDuration != 0, "it is less than min_duration"},
		{"source.max_bytes", s.MaxBytes < 0, "it is negative"},
		{"source.min_side", s.MinSide < 0, "it is negative"},
		{"source.max_side", s.MaxSide < s.MinSide && s.MaxSide != 0, "it is less than min_side"},
		{"source.max_pixels", s.MaxPixels < 0, "it is negative"},
		{"source.min_ratio", s.MinRatio < 0, "it is negative"},
		{"source.max_ratio", s.MaxRatio < s.MinRatio && s.MaxRatio != 0, "it is less than min_ratio"},
		{"limits.in_flight", o.Limits.InFlight < 0, "it is negative"},
		{"poll_interval", o.PollInterval < 0, "it is negative"},
		{"usual_duration", o.UsualDuration < 0, "it is negative"},
	} {
		if c.wrong {
			return fmt.Errorf("%s: %s", c.field, c.why)
		}
	}
	for i, t := range s.Types {
		if !strings.HasPrefix(t, "video/") {
			return fmt.Errorf("source.types[%d]: %q is not a media type of videos", i, t)
		}
	}
	return nil
}

// mapped returns the inputs that a request's own fields become, by the field of the entry that names them.
func (o *Offering) mapped() [][2]string {
	fields := [][2]string{{"source.field", o.Source.Field}}
	if o.Source.TypeField != "" {
		fields = append(fields, [2]string{"source.type_field", o.Source.TypeField})
	}
	if o.Prompt != nil {
		fields = append(fields, [2]string{"prompt.field", o.Prompt.Field})
	}
	if o.FirstFrame != nil {
		fields = append(fields, [2]string{"first_frame.field", o.FirstFrame.Field})
	}
	if o.Watermark != nil {
		fields = append(fields, [2]string{"watermark.field", o.Watermark.Field})
	}
	if o.Strength != nil {
		fields = append(fields, [2]string{"strength.field", o.Strength.Field})
	}
	return fields
}

func (o *Offering) checkInputs() error {
	taken := map[string]string{}
	for _, f := range o.mapped() {
		switch {
		case f[1] == "":
			return fmt.Errorf("%s: it is required", f[0])
		case taken[f[1]] != "":
			return fmt.Errorf("%s: the input %q is also %s", f[0], f[1], taken[f[1]])
		}
		taken[f[1]] = f[0]
	}
	if o.Prompt != nil && o.Prompt.MaxCharacters < 0 {
		return errors.New("prompt.max_characters: it is negative")
	}
	if s := o.Strength; s != nil && s.Values[s.Default] == "" {
		return fmt.Errorf("strength.default: %q is not one of the values", s.Default)
	}
	for name := range o.Fixed {
		if taken[name] != "" {
			return fmt.Errorf("fixed.%s: the input is also %s", name, taken[name])
		}
		taken[name] = "fixed." + name
	}
	for name := range taken {
		for other := range taken {
			if strings.HasPrefix(other, name+".") {
				return fmt.Errorf("%s: the input %q holds %q, which is %s", taken[name], name, other, taken[other])
			}
		}
	}
	return nil
}

// checkParameters keeps a caller's parameters away from the inputs that the catalog sets.
func (o *Offering) checkParameters() error {
	taken := map[string]string{}
	for _, f := range o.mapped() {
		root, _, _ := strings.Cut(f[1], ".")
		taken[root] = f[0]
	}
	for name := range o.Fixed {
		root, _, _ := strings.Cut(name, ".")
		taken[root] = "fixed." + name
	}
	if o.schema == nil {
		if len(o.ParameterFields) > 0 {
			return errors.New("parameter_fields: there are no parameters")
		}
		for name := range o.Defaults {
			if taken[name] != "" {
				return fmt.Errorf("defaults.%s: the input is also %s", name, taken[name])
			}
		}
		return nil
	}
	for name := range o.ParameterFields {
		if !o.schema.names[name] {
			return fmt.Errorf("parameter_fields.%s: there is no such parameter", name)
		}
	}
	for name := range o.schema.names {
		field := o.parameterField(name)
		if strings.Contains(field, ".") {
			return fmt.Errorf("parameters.properties.%s: the input %q has a dot", name, field)
		}
		if taken[field] != "" {
			return fmt.Errorf("parameters.properties.%s: the input %q is also %s", name, field, taken[field])
		}
		taken[field] = "parameters.properties." + name
	}
	if len(o.Defaults) == 0 {
		return nil
	}
	for _, v := range o.Validate(o.Defaults) {
		if v.Message != required {
			return fmt.Errorf("defaults: %s: %s", v.Path, v.Message)
		}
	}
	return nil
}

func (o *Offering) checkPrice() error {
	p := o.Price
	if p == nil {
		return nil
	}
	if amount, err := strconv.ParseFloat(p.Amount, 64); err != nil || amount < 0 {
		return fmt.Errorf("price.amount: %q is not a number", p.Amount)
	}
	if !slices.Contains(units, p.Unit) {
		return fmt.Errorf("price.unit: %q is none of %v", p.Unit, units)
	}
	if p.Currency == "" {
		return errors.New("price.currency: it is required")
	}
	return nil
}

func (o *Offering) checkLifecycle() error {
	l := o.Lifecycle
	if !l.Retire.IsZero() && l.Deprecate.After(l.Retire.Time) {
		return errors.New("lifecycle.deprecate: it is after lifecycle.retire")
	}
	return nil
}

// checkFacts requires a fact for each figure.
func (o *Offering) checkFacts() error {
	for field, f := range o.Facts {
		if f.Source == "" {
			return fmt.Errorf("facts.%s.source: it is required", field)
		}
		if !slices.Contains(certainties, f.Certainty) {
			return fmt.Errorf("facts.%s.certainty: %q is none of %v", field, f.Certainty, certainties)
		}
	}
	for _, field := range o.Figures() {
		if _, ok := o.Fact(field); !ok {
			return fmt.Errorf("facts.%s: the figure needs a source and a certainty", field)
		}
	}
	return nil
}

// Figures returns the paths of the fields that hold figures or dates, such as source.max_duration. Each has a fact.
func (o *Offering) Figures() []string {
	s := o.Source
	var set []string
	for _, f := range []struct {
		field string
		isSet bool
	}{
		{"prompt.max_characters", o.Prompt != nil && o.Prompt.MaxCharacters > 0},
		{"source.types", len(s.Types) > 0},
		{"source.min_duration", s.MinDuration > 0},
		{"source.max_duration", s.MaxDuration > 0},
		{"source.max_bytes", s.MaxBytes > 0},
		{"source.min_side", s.MinSide > 0},
		{"source.max_side", s.MaxSide > 0},
		{"source.max_pixels", s.MaxPixels > 0},
		{"source.min_ratio", s.MinRatio > 0},
		{"source.max_ratio", s.MaxRatio > 0},
		{"limits.in_flight", o.Limits.InFlight > 0},
		{"poll_interval", o.PollInterval > 0},
		{"usual_duration", o.UsualDuration > 0},
		{"price", o.Price != nil},
		{"lifecycle", o.Lifecycle != Lifecycle{}},
	} {
		if f.isSet {
			set = append(set, f.field)
		}
	}
	return set
}

// check checks what concerns several entries.
func (c *Catalog) check() error {
	defaults := map[string]string{}
	remotes := map[[2]string]string{}
	for _, m := range c.models {
		if len(m.Offerings) == 0 {
			return fmt.Errorf("catalog: %s: offerings: there is none", m.Name)
		}
		if m.Title == "" {
			return fmt.Errorf("catalog: %s: title: it is required", m.Name)
		}
		for i, name := range m.Route {
			if m.At(name) == nil {
				return fmt.Errorf("catalog: %s: route[%d]: %s has no offering of the model", m.Name, i, name)
			}
			if slices.Contains(m.Route[:i], name) {
				return fmt.Errorf("catalog: %s: route[%d]: %s is there twice", m.Name, i, name)
			}
		}
		for _, o := range m.Offerings {
			if !slices.Contains(m.Route, o.Provider) {
				m.Route = append(slices.Clone(m.Route), o.Provider)
			}
			if other := remotes[[2]string{o.Provider, o.Remote}]; other != "" {
				return fmt.Errorf("catalog: %s: at %s: remote: it is also that of %s", m.Name, o.Provider, other)
			}
			remotes[[2]string{o.Provider, o.Remote}] = m.Name
			if !o.Default {
				continue
			}
			if other := defaults[o.Provider]; other != "" {
				return fmt.Errorf("catalog: %s: at %s: default: %s is the default of the provider", m.Name, o.Provider, other)
			}
			defaults[o.Provider] = m.Name
		}
	}
	for _, name := range c.Providers() {
		if defaults[name] == "" {
			return fmt.Errorf("catalog: no offering of %s has default: true", name)
		}
	}
	return nil
}
