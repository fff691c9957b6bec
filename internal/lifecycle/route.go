package lifecycle

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/task"
)

// route returns the providers that a task is tried at, in order. A provider that the caller names must be capable of the request. Of
// the model's or the service's own route, providers that are not are left out.
func (l *Lifecycle) route(spec task.Spec) ([]string, error) {
	models := l.catalog()
	model := models.Resolve(spec.Model)
	if spec.Model != "" && model == nil && models.Offering(spec.Provider, spec.Model) == nil {
		return nil, &FieldError{Field: "model", Message: fmt.Sprintf(
			"unknown model %q; known are: %s", spec.Model, strings.Join(models.NamesAt(l.known...), ", "))}
	}
	if spec.Provider == "" {
		return l.defaultRoute(models, model, spec)
	}
	route := append([]string{spec.Provider}, spec.Fallbacks...)
	for i, name := range route {
		field := "provider"
		if i > 0 {
			field = fmt.Sprintf("fallback_providers[%d]", i-1)
		}
		if slices.Contains(route[:i], name) {
			return nil, &FieldError{Field: field, Message: fmt.Sprintf("names provider %q again", name)}
		}
		if len(l.accounts.At(name)) == 0 {
			return nil, &FieldError{Field: field, Message: fmt.Sprintf(
				"unknown provider %q; known are: %s", name, strings.Join(l.accounts.Providers(), ", "))}
		}
		if _, lack := Offering(models, name, spec, l.now()); lack != nil {
			return nil, lack
		}
	}
	return route, nil
}

// defaultRoute returns the route of a task that names no provider: that of its model, or the service's if model is nil.
func (l *Lifecycle) defaultRoute(models *catalog.Catalog, model *catalog.Model, spec task.Spec) ([]string, error) {
	if len(spec.Fallbacks) > 0 {
		return nil, &FieldError{Field: "fallback_providers", Message: "needs provider to be set: without it the service's route is taken"}
	}
	candidates := l.defaults
	if model != nil {
		candidates = slices.DeleteFunc(slices.Clone(model.Route), func(name string) bool { return len(l.accounts.At(name)) == 0 })
		if len(candidates) == 0 {
			return nil, &FieldError{Field: "model", Message: fmt.Sprintf("no provider of %s has an account here: %s", spec.Model, strings.Join(model.Route, ", "))}
		}
	}
	var route, reasons []string
	var first *FieldError
	for _, name := range candidates {
		_, lack := Offering(models, name, spec, l.now())
		if lack == nil {
			route = append(route, name)
			continue
		}
		reasons = append(reasons, lack.Message)
		if first == nil {
			first = lack
		}
	}
	if len(route) == 0 {
		return nil, &FieldError{Field: first.Field, Message: strings.Join(reasons, "; "), Others: first.Others}
	}
	return route, nil
}

// Offering returns what a task asks of a provider, by a catalog, or what the provider lacks for the task. The catalog may have
// changed since the task was submitted.
func Offering(models *catalog.Catalog, provider string, spec task.Spec, now time.Time) (*catalog.Offering, *FieldError) {
	o := models.Offering(provider, spec.Model)
	if o == nil {
		return nil, &FieldError{Field: "model", Message: fmt.Sprintf(
			"provider %s has no %q (capability models: %s)", provider, spec.Model, strings.Join(models.NamesAt(provider), ", "))}
	}
	if lack := lacking(o, spec, now); lack != nil {
		return nil, lack
	}
	return o, nil
}

// lacking returns what an offering lacks for a request, or nil.
func lacking(o *catalog.Offering, spec task.Spec, now time.Time) *FieldError {
	lacks := func(field, capability string) *FieldError {
		return &FieldError{Field: field, Message: fmt.Sprintf("%s lacks the capability %s", o, capability)}
	}
	switch length := utf8.RuneCountInString(spec.Prompt); {
	case o.Lifecycle.Stage(now) == catalog.Retired:
		return &FieldError{Field: "model", Message: fmt.Sprintf("%s was retired on %s", o, o.Lifecycle.Retire)}
	case o.Prompt != nil && o.Prompt.MaxCharacters > 0 && length > o.Prompt.MaxCharacters:
		return &FieldError{Field: "prompt", Message: fmt.Sprintf("has %d characters; %s takes %d (capability max_prompt)", length, o, o.Prompt.MaxCharacters)}
	case spec.Watermark != "" && o.Watermark == nil:
		return lacks("watermark", "watermark")
	case spec.Strength != "" && o.Strength == nil:
		return lacks("strength", "strengths")
	case spec.Strength != "" && o.Strength.Values[spec.Strength] == "":
		return &FieldError{Field: "strength", Message: fmt.Sprintf("%s has no %q (capability strengths: %s)", o, spec.Strength, strings.Join(o.Strengths(), ", "))}
	case spec.FirstFrameURI != "" && o.FirstFrame == nil:
		return lacks("first_frame_uri", "first_frame")
	default:
		return invalidParameters(o, spec)
	}
}

// invalidParameters returns what is wrong with the parameters of a request, or nil.
func invalidParameters(o *catalog.Offering, spec task.Spec) *FieldError {
	values, err := spec.ParameterValues()
	if err != nil {
		return &FieldError{Field: "parameters", Message: "must be a JSON object with finite numbers"}
	}
	var found *FieldError
	for _, v := range o.Validate(values) {
		one := FieldError{Field: v.Path, Message: fmt.Sprintf("%s: %s", o, v.Message)}
		if found == nil {
			found = &one
		} else {
			found.Others = append(found.Others, one)
		}
	}
	return found
}
