package catalog

import (
	"maps"
	"net/url"
	"path"
	"strings"
)

// Request is what a task asks of an offering. It holds nothing that the offering does not take: that was refused at submit.
type Request struct {
	Prompt        string
	SourceURI     string
	FirstFrameURI string         // Empty means none, as in the next two.
	Strength      string         // Empty means the offering's default.
	Watermark     string         // Empty means none.
	Parameters    map[string]any // As Validate accepts them.
}

// Inputs returns the inputs of the model as the provider takes them: a JSON object that belongs to the caller.
func (o *Offering) Inputs(r Request) map[string]any {
	inputs := object{}
	for _, values := range []map[string]any{o.Defaults, r.Parameters} {
		for name, value := range values {
			inputs[o.parameterField(name)] = value
		}
	}
	for name, value := range o.Fixed {
		inputs.set(name, value)
	}
	if o.Prompt != nil && (r.Prompt != "" || o.Prompt.Required) {
		inputs.set(o.Prompt.Field, r.Prompt)
	}
	inputs.set(o.Source.Field, o.Source.value(r.SourceURI))
	if o.Source.TypeField != "" {
		inputs.set(o.Source.TypeField, mediaType(r.SourceURI))
	}
	if o.FirstFrame != nil && r.FirstFrameURI != "" {
		inputs.set(o.FirstFrame.Field, r.FirstFrameURI)
	}
	if o.Watermark != nil && r.Watermark != "" {
		inputs.set(o.Watermark.Field, r.Watermark)
	}
	if s := o.Strength; s != nil {
		strength := r.Strength
		if strength == "" {
			strength = s.Default
		}
		inputs.set(s.Field, s.Values[strength])
	}
	return inputs
}

// parameterField returns the input that a parameter becomes.
func (o *Offering) parameterField(name string) string {
	if field, ok := o.ParameterFields[name]; ok {
		return field
	}
	return name
}

func (s Source) value(uri string) any {
	switch s.Form {
	case FormList:
		return []any{uri}
	case FormObjects:
		return []any{map[string]any{s.Key: uri}}
	case FormString:
	}
	return uri
}

// mediaType returns the media type of a source by the ending of its name.
func mediaType(uri string) string {
	u, err := url.Parse(uri)
	if err == nil && strings.EqualFold(path.Ext(u.Path), ".mov") {
		return "video/quicktime"
	}
	return "video/mp4"
}

// object is a JSON object.
type object map[string]any

// set sets an input. Dots in its name lead into objects, of which those of the catalog are copied before they are changed.
func (o object) set(name string, value any) {
	first, rest, nested := strings.Cut(name, ".")
	if !nested {
		if values, ok := value.(map[string]any); ok {
			value = maps.Clone(values)
		}
		o[first] = value
		return
	}
	inner, _ := o[first].(map[string]any)
	inner = maps.Clone(inner)
	if inner == nil {
		inner = map[string]any{}
	}
	object(inner).set(rest, value)
	o[first] = inner
}
