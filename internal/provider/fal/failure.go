package fal

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// failure is why a request failed. The platform reports its own errors as a text with an error_type. Models report theirs as a
// list of details, each with a place, a text and a type [D].
type failure struct {
	name    string // The error_type, or the type of the detail that says most.
	message string
	model   bool // Whether the model reported it, as a list of details.
	known   bool // Whether the name is in causes.
	cause   provider.Cause
}

// causes are the types of errors that fal, or notes of its users, list and that say more, or less, than "the request can't be fulfilled". Any other
// type in the details of a model is of an invalid input [D].
var causes = map[string]provider.Cause{
	"content_policy_violation": provider.CauseModerated,
	"file_download_error":      provider.CauseInputUnreachable,
	"file_too_large":           provider.CauseInputTooLarge,
	"image_too_large":          provider.CauseInputTooLarge,
	"unsupported_video_format": provider.CauseInputUnsupported,
	"unsupported_image_format": provider.CauseInputUnsupported,
	"image_load_error":         provider.CauseInputUnsupported,
	"bad_request":              provider.CauseInputRejected,

	// The platform or the model broke, and another try may do better.
	"request_timeout":                provider.CauseUnspecified,
	"startup_timeout":                provider.CauseUnspecified,
	"client_disconnected":            provider.CauseUnspecified,
	"client_cancelled":               provider.CauseUnspecified,
	"internal_error":                 provider.CauseUnspecified,
	"internal_server_error":          provider.CauseUnspecified,
	"generation_timeout":             provider.CauseUnspecified,
	"downstream_service_error":       provider.CauseUnspecified,
	"downstream_service_unavailable": provider.CauseUnspecified,
}

// causeOf returns the cause of a type, and whether it is known.
func causeOf(name string) (cause provider.Cause, known bool) {
	if strings.HasPrefix(name, "runner_") { // The platform lost the machine, or got none.
		return provider.CauseUnspecified, true
	}
	cause, known = causes[name]
	return cause, known
}

// failureOf reads the error of an object, whose text, or list of details, is under key.
func failureOf(o wire.Object, key string) failure {
	for _, place := range []string{key, "detail"} {
		if f, ok := failureOfModel(o[place]); ok {
			return f
		}
	}
	f := failure{name: o.Word("error_type"), message: o.AnyText(key)}
	f.cause, f.known = causeOf(f.name)
	return f
}

// failureOfModel reads a list of details. The first whose type has a cause of its own says most, and a moderated one more than
// any other.
func failureOfModel(raw json.RawMessage) (f failure, ok bool) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return failure{}, false
	}
	for _, element := range list {
		detail, isObject := wire.DecodeObject(element)
		name := detail.Word("type")
		if !isObject || name == "" {
			continue
		}
		cause, known := causeOf(name)
		if !known {
			cause = provider.CauseInputRejected
		}
		if ok && (f.known || !known) && cause != provider.CauseModerated {
			continue
		}
		f = failure{name: name, message: detail.AnyText("msg") + location(detail), model: true, known: known, cause: cause}
		ok = true
	}
	return f, ok
}

// location returns where in the request a detail is, such as " (body.video_url)".
func location(detail wire.Object) string {
	var loc []json.RawMessage
	if json.Unmarshal(detail["loc"], &loc) != nil || len(loc) == 0 {
		return ""
	}
	parts := make([]string, len(loc))
	for i, raw := range loc {
		parts[i] = strings.Trim(wire.Spelled(raw), `"`)
	}
	return " (" + strings.Join(parts, ".") + ")"
}

// certain reports whether the type decides the cause.
func (f failure) certain() bool { return f.known || f.model }

// of returns the failure as the HTTP status of the model's answer makes it. From 500 on the model broke, whatever it says of the
// inputs. 422 is its refusal of them, typed or not [D].
func (f failure) of(status int) failure {
	switch {
	case status >= http.StatusInternalServerError && f.cause != provider.CauseModerated:
		f.cause = provider.CauseUnspecified
	case status == http.StatusUnprocessableEntity && !f.certain():
		f.cause = provider.CauseInputRejected
	}
	return f
}

// ofModel reports whether the answer to a question for the result, with this HTTP status, is the answer of the model. Models answer
// 422, and a list of details under 400 and from 500 on [D]. Under any other status, and without the list, the queue or a proxy may
// refuse the question [I].
func (f failure) ofModel(status int) bool {
	if status == http.StatusUnprocessableEntity {
		return f.name != "" || f.message != ""
	}
	return f.model && maybeOfRequest(status)
}

// ofPlatform reports whether such an answer has the form in which the platform says why a request failed: with an error_type. The
// platform refuses a question in the same form, so that it proves nothing about a request that is not known to have failed.
func (f failure) ofPlatform(status int) bool { return f.name != "" && maybeOfRequest(status) }

// maybeOfRequest reports whether an error with this HTTP status can be of a request that ran. 401, 404, 429 and the like are of the
// question.
func maybeOfRequest(status int) bool {
	return status == http.StatusBadRequest || status >= http.StatusInternalServerError
}

// failed returns the status of a request that failed.
func (p *Provider) failed(f failure) provider.Status {
	message := f.message
	if f.name != "" {
		message = strings.TrimSuffix(f.name+": "+message, ": ")
	}
	return provider.Status{Phase: provider.Failed, Cause: f.cause, Message: p.wire.Redact(message)}
}
