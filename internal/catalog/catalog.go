// Package catalog is the list of models that can be asked for, and of the offerings under which providers sell them, as data.
//
// A model has a stable name of ours, such as luma/ray-2-modify. An offering is that model at one provider: its name there, how a
// request becomes the provider's inputs, what sources it takes, what it costs, and when the provider withdraws it. A new model is
// an entry and no code.
//
// The catalog that is built in is models.yaml. Files of the operator add offerings, or replace those of the same model and
// provider. A catalog is checked as a whole when it is loaded: an error names the file, the entry and the field, and nothing of
// the files is used. A loaded catalog never changes, so that it may be used concurrently.
//
// Providers contradict their own documents. Every figure therefore has a fact: where it comes from, and how certain it is.
package catalog

import (
	"slices"
	"strings"
	"time"
)

// Catalog is all models. It is made by Load.
type Catalog struct {
	models []*Model // In the order of their names.
	byName map[string]*Model
}

// Model is what callers ask for.
type Model struct {
	Name        string      `yaml:"name"` // For example luma/ray-2-modify.
	Title       string      `yaml:"title"`
	Description string      `yaml:"description"`
	Route       []string    `yaml:"route"` // The providers that are tried, in order, unless the caller says otherwise.
	Offerings   []*Offering `yaml:"offerings"`
}

// Offering is a model at one provider.
type Offering struct {
	Model    string `yaml:"-"`
	Provider string `yaml:"provider"`
	Remote   string `yaml:"remote"`  // What the provider calls the model.
	Default  bool   `yaml:"default"` // Whether a task that names this provider and no model gets this offering. One of a provider's has it.

	Prompt     *Prompt   `yaml:"prompt"` // Nil where the model takes no prompt.
	Source     Source    `yaml:"source"`
	FirstFrame *Field    `yaml:"first_frame"` // Nil where none can be given, as for the next two.
	Watermark  *Field    `yaml:"watermark"`
	Strength   *Strength `yaml:"strength"`

	Fixed           map[string]any    `yaml:"fixed"`            // Inputs that every request has.
	Defaults        map[string]any    `yaml:"defaults"`         // Inputs that a request has unless its parameters say otherwise.
	Parameters      map[string]any    `yaml:"parameters"`       // JSON Schema (2020-12) of the caller's parameters. Nil where there are none.
	ParameterFields map[string]string `yaml:"parameter_fields"` // The inputs of parameters that have another name there.

	Limits        Limits        `yaml:"limits"`
	PollInterval  time.Duration `yaml:"poll_interval"`  // How often a running attempt is checked; 0 means as the provider does.
	UsualDuration time.Duration `yaml:"usual_duration"` // How long an attempt usually takes; 0 where that is not known.
	Price         *Price        `yaml:"price"`          // Nil where it is not known.
	Lifecycle     Lifecycle     `yaml:"lifecycle"`

	Facts map[string]Fact `yaml:"facts"` // By the path of a field, which stands for all fields below it.

	schema *schema // Of Parameters.
}

// Field is an input by its name at the provider. Dots lead into objects: media.url is {"media": {"url": …}}.
type Field struct {
	Field string `yaml:"field"`
}

// Prompt is how the prompt is given.
type Prompt struct {
	Field         string `yaml:"field"`
	Required      bool   `yaml:"required"`
	MaxCharacters int    `yaml:"max_characters"` // 0 means that no limit is known.
}

// Form is how a provider takes the URL of a source.
type Form string

// The forms of sources.
const (
	FormString  Form = "string"  // "URL"
	FormList    Form = "list"    // ["URL"]
	FormObjects Form = "objects" // [{KEY: "URL"}]
)

// Source is how the source is given, and which sources the model takes. A limit of 0 means that none is known.
type Source struct {
	Field     string `yaml:"field"`
	Form      Form   `yaml:"form"`       // FormString without it.
	Key       string `yaml:"key"`        // Of FormObjects.
	TypeField string `yaml:"type_field"` // The input that holds the media type; empty where there is none.

	Types       []string      `yaml:"types"` // Media types; empty where none are documented.
	MinDuration time.Duration `yaml:"min_duration"`
	MaxDuration time.Duration `yaml:"max_duration"`
	MaxBytes    int64         `yaml:"max_bytes"`
	MinSide     int           `yaml:"min_side"` // The least length of the shorter side, in pixels.
	MaxSide     int           `yaml:"max_side"` // The greatest length of the longer side, in pixels.
	MaxPixels   int           `yaml:"max_pixels"`
	MinRatio    float64       `yaml:"min_ratio"` // Width to height.
	MaxRatio    float64       `yaml:"max_ratio"`
}

// Strength is how far the result may leave the source.
type Strength struct {
	Field   string            `yaml:"field"`
	Values  map[string]string `yaml:"values"`  // Ours to the provider's.
	Default string            `yaml:"default"` // Ours. It is always sent, since providers of the same model have different defaults.
}

// Limits are what a provider allows for one model, within what it allows the account. A limit of 0 means that there is none.
type Limits struct {
	InFlight int `yaml:"in_flight"`
}

// Price is what an attempt costs.
type Price struct {
	Amount   string `yaml:"amount"` // A decimal number.
	Unit     Unit   `yaml:"unit"`
	Currency string `yaml:"currency"` // USD, or credits of the provider.
	Note     string `yaml:"note"`
}

// Unit is what a price is for.
type Unit string

// The units of prices.
const (
	PerInputSecond          Unit = "input_second"
	PerOutputSecond         Unit = "output_second"
	PerInputAndOutputSecond Unit = "input_and_output_second"
	PerMegapixel            Unit = "megapixel"
	PerRun                  Unit = "run"
)

var units = []Unit{PerInputSecond, PerOutputSecond, PerInputAndOutputSecond, PerMegapixel, PerRun}

// Fact is where a figure comes from.
type Fact struct {
	Source    string    `yaml:"source"`
	Certainty Certainty `yaml:"certainty"`
}

// Certainty is how certain a fact is.
type Certainty string

// The certainties, the best first.
const (
	Recorded     Certainty = "recorded"     // Seen in a recorded exchange with the provider.
	Documented   Certainty = "documented"   // In the provider's documents or its SDK.
	Contradicted Certainty = "contradicted" // In the provider's documents, of which another page says something else.
	Reported     Certainty = "reported"     // By third parties.
	Guess        Certainty = "guess"        // Ours.
)

var certainties = []Certainty{Recorded, Documented, Contradicted, Reported, Guess}

// Models returns all models in the order of their names.
func (c *Catalog) Models() []*Model { return slices.Clone(c.models) }

// NamesAt returns the names of the models that any of the providers offers, in order.
func (c *Catalog) NamesAt(providers ...string) (names []string) {
	for _, m := range c.models {
		if slices.ContainsFunc(providers, func(provider string) bool { return m.At(provider) != nil }) {
			names = append(names, m.Name)
		}
	}
	return names
}

// Model returns the model of a name, or nil.
func (c *Catalog) Model(name string) *Model { return c.byName[name] }

// At returns the offering of the model at a provider, or nil.
func (m *Model) At(provider string) *Offering {
	for _, o := range m.Offerings {
		if o.Provider == provider {
			return o
		}
	}
	return nil
}

// Offering returns what a task asks of a provider, or nil. name is that of a model, or the provider's own name of it; without
// one it is the default offering of the provider.
func (c *Catalog) Offering(provider, name string) *Offering {
	if m := c.byName[name]; m != nil {
		return m.At(provider)
	}
	for _, m := range c.models {
		if o := m.At(provider); o != nil && (name == "" && o.Default || name != "" && o.Remote == name) {
			return o
		}
	}
	return nil
}

// Resolve returns the model that a name means: its own, or that of one provider. The result is nil where no offering has the
// name, or where offerings of several models have it.
func (c *Catalog) Resolve(name string) *Model {
	if m := c.byName[name]; m != nil {
		return m
	}
	var found *Model
	for _, m := range c.models {
		if slices.ContainsFunc(m.Offerings, func(o *Offering) bool { return o.Remote == name }) {
			if found != nil {
				return nil
			}
			found = m
		}
	}
	return found
}

// Providers returns the providers of all offerings, in the order of their names.
func (c *Catalog) Providers() []string {
	var names []string
	for _, m := range c.models {
		for _, o := range m.Offerings {
			names = append(names, o.Provider)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// String names the offering.
func (o *Offering) String() string { return "provider " + o.Provider + " (" + o.Model + ")" }

// Strengths returns the strengths that can be asked for, in alphabetical order.
func (o *Offering) Strengths() []string {
	if o.Strength == nil {
		return nil
	}
	names := make([]string, 0, len(o.Strength.Values))
	for name := range o.Strength.Values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Fact returns the fact of a field: its own, or that of the nearest field above it.
func (o *Offering) Fact(field string) (Fact, bool) {
	for {
		if f, ok := o.Facts[field]; ok {
			return f, true
		}
		at := strings.LastIndexByte(field, '.')
		if at < 0 {
			return Fact{}, false
		}
		field = field[:at]
	}
}
