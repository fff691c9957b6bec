package catalog

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// MaxParameters is the largest size of a caller's parameters in bytes, as JSON.
const MaxParameters = 16 << 10

// How much of what is wrong with parameters is returned.
const (
	maxViolations = 20
	maxMessage    = 200 // Bytes.
)

// Violation is one thing that is wrong with a caller's parameters.
type Violation struct {
	Path    string // For example parameters.resolution.
	Message string
}

// schema is the JSON Schema of an offering's parameters.
type schema struct {
	compiled *jsonschema.Schema
	names    map[string]bool // The parameters that there are.
}

// offline refuses to load a schema from elsewhere: a catalog names no files and no addresses.
type offline struct{}

func (offline) Load(url string) (any, error) {
	return nil, fmt.Errorf("a schema may not refer to %q", url)
}

// compile compiles a schema, which must be one of objects that have no other parameters than those it names.
func compile(document map[string]any) (*schema, error) {
	plain, err := asJSON(document)
	if err != nil {
		return nil, err
	}
	object, _ := plain.(map[string]any)
	if object["type"] != "object" || object["additionalProperties"] != false {
		return nil, errors.New(`it must have "type: object" and "additionalProperties: false"`)
	}
	const url = "catalog:parameters"
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(offline{})
	c.AssertFormat()
	if err := c.AddResource(url, plain); err != nil {
		return nil, err
	}
	compiled, err := c.Compile(url)
	if err != nil {
		return nil, err
	}
	s := &schema{compiled: compiled, names: map[string]bool{}}
	properties, _ := object["properties"].(map[string]any)
	for name := range properties {
		s.names[name] = true
	}
	return s, nil
}

// asJSON returns a value as the decoder of JSON makes it, which is what schemas are checked with.
func asJSON(value any) (any, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("it can't be written as JSON: %w", err)
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(text))
}

// Validate returns what is wrong with a caller's parameters, at most 20 violations. The order does not depend on chance.
func (o *Offering) Validate(parameters map[string]any) []Violation {
	if len(parameters) == 0 && o.schema == nil {
		return nil
	}
	if o.schema == nil {
		return []Violation{{"parameters", fmt.Sprintf("%s takes none", o)}}
	}
	if parameters == nil {
		parameters = map[string]any{}
	}
	value, err := asJSON(parameters)
	if err != nil {
		return []Violation{{"parameters", err.Error()}}
	}
	err = o.schema.compiled.Validate(value)
	if err == nil {
		return nil
	}
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return []Violation{{"parameters", bounded(err.Error())}}
	}
	found := violations(invalid, nil)
	slices.SortFunc(found, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
	return found[:min(len(found), maxViolations)]
}

var english = message.NewPrinter(language.English)

// required is what a missing parameter is.
const required = "is required"

// violations adds what is wrong in the leaves of an error, which is a tree. Its size is bounded by that of the parameters.
func violations(e *jsonschema.ValidationError, found []Violation) []Violation {
	for _, cause := range e.Causes {
		found = violations(cause, found)
	}
	if len(e.Causes) > 0 {
		return found
	}
	path := strings.Join(append([]string{"parameters"}, e.InstanceLocation...), ".")
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			found = append(found, Violation{bounded(path + "." + name), "there is no such parameter"})
		}
	case *kind.Required:
		for _, name := range k.Missing {
			found = append(found, Violation{bounded(path + "." + name), required})
		}
	case *kind.Pattern:
		found = append(found, Violation{bounded(path), "does not match " + bounded(k.Want)})
	case *kind.Format:
		found = append(found, Violation{bounded(path), "is no " + k.Want})
	default:
		found = append(found, Violation{bounded(path), bounded(k.LocalizedString(english))})
	}
	return found
}

// bounded cuts a text that quotes what a caller sent.
func bounded(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessage], "") + "…"
}
