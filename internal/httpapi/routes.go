package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/refract-video/refract/internal/connlimit"
	"github.com/refract-video/refract/internal/precheck"
	"github.com/refract-video/refract/internal/publicerr"
	"github.com/refract-video/refract/internal/tracing"
)

// routes is the gateway's router with the rules of HTTP for every route: it refuses unknown parameters, serves HEAD where
// there is GET, and sends Allow with a method that a path does not have.
type routes struct {
	*runtime.ServeMux
	refuser
	parameters map[string]protoreflect.MessageType       // The parameters of a query, by method and pattern; nil for none.
	bodies     map[string]protoreflect.MessageDescriptor // The message of a body, likewise.
	verbs      map[string]bool                           // The verbs of POST routes, such as "cancel".
	anyQuery   map[string]bool                           // Patterns that accept every query.
}

// lookup is the context key of a *bool. A route that finds it sets it and does not serve the request.
type lookup struct{}

// ServeHTTP serves a request by its route.
func (s *routes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead && !s.hasRoute(http.MethodHead, r) && s.hasRoute(http.MethodGet, r) {
		r = r.WithContext(context.WithValue(r.Context(), headOnly{}, true))
		r.Method = http.MethodGet // net/http sends no body, since it has the original method.
	}
	s.ServeMux.ServeHTTP(w, r)
}

// headOnly is the context key of a GET that serves HEAD.
type headOnly struct{}

func isHead(r *http.Request) bool {
	head, _ := r.Context().Value(headOnly{}).(bool)
	return head
}

// hasRoute reports whether a request would have a route with this method.
func (s *routes) hasRoute(method string, r *http.Request) bool {
	found := false
	r = r.WithContext(context.WithValue(r.Context(), lookup{}, &found))
	r.Method = method
	s.ServeMux.ServeHTTP(discarded{}, r)
	return found
}

// discarded discards the answer to a lookup.
type discarded struct{}

func (discarded) Header() http.Header         { return http.Header{} }
func (discarded) Write(p []byte) (int, error) { return len(p), nil }
func (discarded) WriteHeader(int)             {}

// allowed returns the methods of the path of a request.
func (s *routes) allowed(r *http.Request) string {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if s.hasRoute(method, r) {
			allowed = append(allowed, method)
		}
	}
	if slices.Contains(allowed, http.MethodGet) && !slices.Contains(allowed, http.MethodHead) {
		allowed = slices.Insert(allowed, 1, http.MethodHead)
	}
	return strings.Join(allowed, ", ")
}

// routingError is the gateway's handler for requests that match no route.
func (s *routes) routingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, httpStatus int) {
	if r.Context().Value(lookup{}) != nil {
		return
	}
	w = closing(w, r)
	switch refused := refusalOfRouting(httpStatus); refused {
	case methodNotAllowed:
		s.refuseMethod(w, s.allowed(r))
	default:
		s.refuse(w, refused)
	}
}

// refuseMethod answers a method that a path does not have.
func (f refuser) refuseMethod(w http.ResponseWriter, allowed string) {
	w.Header().Set("Allow", allowed)
	f.refuse(w, methodNotAllowed)
}

// gatewayError is the gateway's error handler. A lookup may reach it as well.
func (s *routes) gatewayError(ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Value(lookup{}) == nil {
		s.refuser.gatewayError(ctx, mux, m, w, r, err)
	}
}

// check is the middleware of all routes: it checks the query and reads the body.
func (s *routes) check(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, params map[string]string) {
		pattern, _ := runtime.HTTPPattern(r.Context())
		found, isLookup := r.Context().Value(lookup{}).(*bool)
		switch elsewhere := pattern.Verb() == "" && s.endsInVerb(r); {
		case isLookup:
			*found = !elsewhere
			return
		case elsewhere:
			s.refuseMethod(closing(w, r), s.allowed(r))
			return
		}
		route := templateOf(pattern)
		tracing.Route(r, route)
		setRoute(r.Context(), route)
		if !s.anyQuery[pattern.String()] && r.URL.RawQuery != "" {
			if field, problem := checkQuery(s.parameters[r.Method+" "+pattern.String()], r.URL.Query(), params); problem != "" {
				s.invalid(closing(w, r), field, problem)
				return
			}
		}
		body, err := readBody(w, r, maxBody)
		if err != nil {
			s.refuseBody(w, err)
			return
		}
		body = bytes.TrimPrefix(body, byteOrderMark)
		if message := s.bodies[r.Method+" "+pattern.String()]; message != nil {
			if tooMany, ok := errors.AsType[*precheck.Error](precheck.JSON(message, body)); ok {
				s.invalid(w, tooMany.Field, tooMany.Problem)
				return
			}
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		defer connlimit.Busy(r.Context())()
		next(w, r, params)
	}
}

// endsInVerb reports whether the path of a request with another method belongs to a POST route: the router reads an unknown verb as
// a part of an id.
func (s *routes) endsInVerb(r *http.Request) bool {
	if r.Method == http.MethodPost {
		return false
	}
	_, verb, _ := strings.Cut(path.Base(r.URL.Path), ":")
	return s.verbs[verb] && s.hasRoute(http.MethodPost, r) // The name of a model may end like a verb.
}

// readContract adds the parameters and bodies of the routes of a service. The fields of a request are in its query or in its
// body.
func (s *routes) readContract(service protoreflect.ServiceDescriptor) error {
	for i := range service.Methods().Len() {
		method := service.Methods().Get(i)
		rule, ok := proto.GetExtension(method.Options(), annotations.E_Http).(*annotations.HttpRule)
		if !ok || rule.GetPattern() == nil {
			continue
		}
		message, err := protoregistry.GlobalTypes.FindMessageByName(method.Input().FullName())
		if err != nil {
			return fmt.Errorf("find the request of %s: %w", method.FullName(), err)
		}
		pattern := func(template string) string { // The router's spelling.
			if strings.Contains(template, "=") {
				return template
			}
			return strings.ReplaceAll(template, "}", "=*}")
		}
		if _, verb, ok := strings.Cut(rule.GetPost(), ":"); ok {
			s.verbs[verb] = true
		}
		s.parameters[http.MethodGet+" "+pattern(rule.GetGet())] = message
		s.bodies[http.MethodPost+" "+pattern(rule.GetPost())] = message.Descriptor()
		s.bodies[http.MethodPut+" "+pattern(rule.GetPut())] = message.Descriptor()
		s.bodies[http.MethodPatch+" "+pattern(rule.GetPatch())] = message.Descriptor()
	}
	return nil
}

// checkQuery returns the first parameter of a query that the request message does not have, or that has a wrong value, and
// the problem.
func checkQuery(message protoreflect.MessageType, query map[string][]string, params map[string]string) (field, problem string) {
	for _, key := range slices.Sorted(maps.Keys(query)) {
		name, _, indexed := strings.Cut(key, "[")
		fd := parameter(message, name)
		if fd == nil || indexed && !fd.IsMap() || params[string(fd.Name())] != "" {
			return publicerr.Echo(key), "there is no query parameter " + publicerr.Echo(key) + parameterList(message, params)
		}
		m := message.New().Interface()
		err := runtime.PopulateQueryParameters(m, map[string][]string{key: query[key]}, utilities.NewDoubleArray(nil))
		if err != nil || fd.IsMap() && !m.ProtoReflect().Has(fd) { // The gateway ignores a key that it can't read.
			return publicerr.Echo(key), "the query parameter " + publicerr.Echo(key) + " " + requirement(fd) + ", and can't be " + publicerr.Echo(strings.Join(query[key], ", "))
		}
	}
	return "", ""
}

// parameter returns the field that a parameter names, by its name in proto or in JSON.
func parameter(message protoreflect.MessageType, name string) protoreflect.FieldDescriptor {
	if message == nil {
		return nil
	}
	fields := message.Descriptor().Fields()
	if fd := fields.ByName(protoreflect.Name(name)); fd != nil {
		return fd
	}
	return fields.ByJSONName(name)
}

// parameterList returns the parameters of a method as the end of a sentence.
func parameterList(message protoreflect.MessageType, params map[string]string) string {
	var names []string
	if message != nil {
		fields := message.Descriptor().Fields()
		for i := range fields.Len() {
			if name := string(fields.Get(i).Name()); params[name] == "" {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return ": this method takes none"
	}
	return ": this method takes " + strings.Join(names, ", ")
}

// requirement returns what the value of a parameter must be.
func requirement(fd protoreflect.FieldDescriptor) string {
	switch {
	case fd.IsMap():
		return "must be of the form " + string(fd.Name()) + "[key]=value"
	case fd.Kind() == protoreflect.EnumKind:
		var names []string
		for i := 1; i < fd.Enum().Values().Len(); i++ { // The first one is UNSPECIFIED.
			names = append(names, string(fd.Enum().Values().Get(i).Name()))
		}
		return "must be one of " + strings.Join(names, ", ")
	case fd.Kind() == protoreflect.BoolKind:
		return "must be true or false"
	case fd.Kind() == protoreflect.StringKind:
		return "must be one text"
	case fd.Message() != nil:
		return "must be a time such as 2026-01-31T12:00:00Z"
	default:
		return "must be one whole number"
	}
}
