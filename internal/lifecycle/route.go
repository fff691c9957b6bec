package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/task"
)

// route returns the providers that a task is tried at, in order. A provider that the caller names must be capable of the request. Of
// the model's or the service's own route, providers that are not are left out. Closed offerings are always left out. If no provider
// is left, the error has a reason for each offering.
func (l *Lifecycle) route(ctx context.Context, spec task.Spec) ([]string, error) {
	models, closures := l.catalog(), l.refusing(ctx)
	model := models.Resolve(spec.Model)
	if spec.Model != "" && model == nil && models.Offering(spec.Provider, spec.Model) == nil {
		return nil, &FieldError{Field: "model", Message: fmt.Sprintf(
			"unknown model %q; known are: %s", spec.Model, strings.Join(models.NamesAt(l.known...), ", "))}
	}
	if spec.Provider == "" {
		return l.defaultRoute(models, closures, model, spec)
	}
	named := append([]string{spec.Provider}, spec.Fallbacks...)
	var route []string
	var closed refusals
	for i, name := range named {
		field := "provider"
		if i > 0 {
			field = fmt.Sprintf("fallback_providers[%d]", i-1)
		}
		if slices.Contains(named[:i], name) {
			return nil, &FieldError{Field: field, Message: fmt.Sprintf("names provider %q again", name)}
		}
		if len(l.accounts.At(name)) == 0 {
			return nil, &FieldError{Field: field, Message: fmt.Sprintf(
				"unknown provider %q; known are: %s", name, strings.Join(l.accounts.Providers(), ", "))}
		}
		o, lack := Offering(models, name, spec, l.now())
		if lack != nil {
			return nil, lack
		}
		if lack = l.unavailable(o, closures); lack != nil {
			closed = append(closed, lack)
			continue
		}
		route = append(route, name)
	}
	if len(route) == 0 {
		return nil, closed.join()
	}
	return route, nil
}

// defaultRoute returns the route of a task that names no provider: that of its model, or the service's if model is nil.
func (l *Lifecycle) defaultRoute(models *catalog.Catalog, closures catalog.Closures, model *catalog.Model, spec task.Spec) ([]string, error) {
	if len(spec.Fallbacks) > 0 {
		return nil, &FieldError{Field: "fallback_providers", Message: "needs provider to be set: without it the service's route is taken"}
	}
	candidates := l.defaults
	if model != nil {
		candidates = model.Route
	}
	var route []string
	var ofRequest, ofOffering refusals // The former come first: a caller can change the request.
	for _, name := range candidates {
		if o := models.Offering(name, spec.Model); o != nil {
			if lack := l.unavailable(o, closures); lack != nil {
				ofOffering = append(ofOffering, lack)
				continue
			}
		}
		if _, lack := Offering(models, name, spec, l.now()); lack != nil {
			ofRequest = append(ofRequest, lack)
			continue
		}
		route = append(route, name)
	}
	if len(route) == 0 {
		return nil, append(ofRequest, ofOffering...).join()
	}
	return route, nil
}

// unavailable returns why an offering takes no tasks, whatever they request, or nil.
func (l *Lifecycle) unavailable(o *catalog.Offering, closures catalog.Closures) *FieldError {
	a := o.Availability(l.now(), len(l.accounts.At(o.Provider)) > 0, closures.Of(o))
	if a.Stage.Usable() {
		return nil
	}
	return &FieldError{Field: "model", Message: fmt.Sprintf("%s %s", o, a.Message)}
}

// refusals are why the offerings of a route can't run a task, one for each offering.
type refusals []*FieldError

// join returns the reasons as one error: first the reason of each offering, then what else is wrong with parameters.
func (r refusals) join() *FieldError {
	joined := FieldError{Field: r[0].Field, Message: r[0].Message}
	for _, reason := range r[1:] {
		joined.Others = append(joined.Others, FieldError{Field: reason.Field, Message: reason.Message})
	}
	for _, reason := range r {
		joined.Others = append(joined.Others, reason.Others...)
	}
	joined.Others = joined.Others[:min(len(joined.Others), maxOthers)]
	return &joined
}

// maxOthers is how many reasons an error has in addition to its first.
const maxOthers = 20

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
		return &FieldError{Field: "model", Message: fmt.Sprintf("%s %s", o, o.Availability(now, true, nil).Message)}
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
