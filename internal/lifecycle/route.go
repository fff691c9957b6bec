package lifecycle

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// route returns the providers that a task is tried at, in order. A provider that the caller names must be capable of the request. Of
// the service's own route, providers that are not are left out.
func (l *Lifecycle) route(spec task.Spec) ([]string, error) {
	if spec.Provider == "" {
		return l.defaultRoute(spec)
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
		caps, known := l.accounts.Capabilities(name)
		if !known {
			return nil, &FieldError{Field: field, Message: fmt.Sprintf(
				"unknown provider %q; known are: %s", name, strings.Join(l.accounts.Providers(), ", "))}
		}
		if lack := lacking(name, caps, spec); lack != nil {
			return nil, lack
		}
	}
	return route, nil
}

func (l *Lifecycle) defaultRoute(spec task.Spec) ([]string, error) {
	if len(spec.Fallbacks) > 0 {
		return nil, &FieldError{Field: "fallback_providers", Message: "needs provider to be set: without it the service's route is taken"}
	}
	var route []string
	var first *FieldError
	for _, name := range l.defaults {
		caps, _ := l.accounts.Capabilities(name)
		lack := lacking(name, caps, spec)
		switch {
		case lack == nil:
			route = append(route, name)
		case first == nil:
			first = lack
		}
	}
	if len(route) == 0 {
		return nil, first
	}
	return route, nil
}

// lacking returns which capability a provider lacks for a request, or nil.
func lacking(name string, c provider.Capabilities, spec task.Spec) *FieldError {
	lacks := func(field, capability string) *FieldError {
		return &FieldError{Field: field, Message: fmt.Sprintf("provider %s lacks the capability %s", name, capability)}
	}
	offers := func(field, capability, value string, offered []string) *FieldError {
		if len(offered) == 0 {
			return lacks(field, capability)
		}
		return &FieldError{Field: field, Message: fmt.Sprintf("provider %s has no %q (capability %s: %s)", name, value, capability, strings.Join(offered, ", "))}
	}
	switch length := utf8.RuneCountInString(spec.Prompt); {
	case c.MaxPrompt > 0 && length > c.MaxPrompt:
		return &FieldError{Field: "prompt", Message: fmt.Sprintf("has %d characters; provider %s takes %d (capability max_prompt)", length, name, c.MaxPrompt)}
	case spec.Watermark != "" && !c.Watermark:
		return lacks("watermark", "watermark")
	case spec.Strength != "" && !slices.Contains(c.Strengths, spec.Strength):
		return offers("strength", "strengths", spec.Strength, c.Strengths)
	case spec.Model != "" && !slices.Contains(c.Models, spec.Model):
		return offers("model", "models", spec.Model, c.Models)
	case spec.FirstFrameURI != "" && !c.FirstFrame:
		return lacks("first_frame_uri", "first_frame")
	default:
		return nil
	}
}
