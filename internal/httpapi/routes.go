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
)

// routes is the gateway's router with what HTTP asks of every route: parameters that are known, HEAD where there is GET, and
// Allow where a method is not taken.
type routes struct {
	*runtime.ServeMux
	refuser
	parameters map[string]protoreflect.MessageType       // What a query may hold, by method and pattern; nil for nothing.
	bodies     map[string]protoreflect.MessageDescriptor // What a body is, likewise.
	verbs      map[string]bool                           // Of POST.
	anyQuery   map[string]bool                           // Patterns whose query is not ours to judge.
}

// lookup is the key under which a request has a *bool that a route sets instead of serving it.
type lookup struct{}

// ServeHTTP serves a request by its route.
func (s *routes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead && !s.hasRoute(http.MethodHead, r) && s.hasRoute(http.MethodGet, r) {
		r = r.WithContext(context.WithValue(r.Context(), headOnly{}, true))
		r.Method = http.MethodGet // The server sends no body for it, since it knows the method that came.
	}
	s.ServeMux.ServeHTTP(w, r)
}

// headOnly is the key under which a GET knows that it serves HEAD.
type headOnly struct{}

func isHead(r *http.Request) bool {
	head, _ := r.Context().Value(headOnly{}).(bool)
	return head
}

// hasRoute reports whether there is a route for a request with another method.
func (s *routes) hasRoute(method string, r *http.Request) bool {
	found := false
	r = r.WithContext(context.WithValue(r.Context(), lookup{}, &found))
	r.Method = method
	s.ServeMux.ServeHTTP(discarded{}, r)
	return found
}

// discarded is the answer to a probe, which has none.
type discarded struct{}

func (discarded) Header() http.Header         { return http.Header{} }
func (discarded) Write(p []byte) (int, error) { return len(p), nil }
func (discarded) WriteHeader(int)             {}

// allowed returns the methods that the path of a request takes.
func (s *routes) allowed(r *http.Request) string {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut} {
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

// refuseMethod answers a method that a path does not take.
func (f refuser) refuseMethod(w http.ResponseWriter, allowed string) {
	w.Header().Set("Allow", allowed)
	f.refuse(w, methodNotAllowed)
}

// gatewayError is the gateway's error handler. A probe may meet it, too.
func (s *routes) gatewayError(ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Value(lookup{}) == nil {
		s.refuser.gatewayError(ctx, mux, m, w, r, err)
	}
}

// check stands before each route: it judges the query, and reads the body.
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

// endsInVerb reports whether the path is that of another method: the router takes what it has no verb for as an id.
func (s *routes) endsInVerb(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	_, verb, _ := strings.Cut(path.Base(r.URL.Path), ":")
	return s.verbs[verb]
}

// readContract fills in what queries and bodies may hold, from the routes of a service in the contract: the fields of a
// request stand in the one or in the other.
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
		pattern := func(template string) string { return strings.ReplaceAll(template, "}", "=*}") } // As the router spells it.
		if _, verb, ok := strings.Cut(rule.GetPost(), ":"); ok {
			s.verbs[verb] = true
		}
		s.parameters[http.MethodGet+" "+pattern(rule.GetGet())] = message
		s.bodies[http.MethodPost+" "+pattern(rule.GetPost())] = message.Descriptor()
		s.bodies[http.MethodPut+" "+pattern(rule.GetPut())] = message.Descriptor()
	}
	return nil
}

// checkQuery returns the first parameter of a query that a request does not have, or can't have with this value, and what is
// wrong with it.
func checkQuery(message protoreflect.MessageType, query map[string][]string, params map[string]string) (field, problem string) {
	for _, key := range slices.Sorted(maps.Keys(query)) {
		name, _, indexed := strings.Cut(key, "[")
		fd := parameter(message, name)
		if fd == nil || indexed && !fd.IsMap() || params[string(fd.Name())] != "" {
			return publicerr.Echo(key), "there is no query parameter " + publicerr.Echo(key) + parameterList(message, params)
		}
		m := message.New().Interface()
		err := runtime.PopulateQueryParameters(m, map[string][]string{key: query[key]}, utilities.NewDoubleArray(nil))
		if err != nil || fd.IsMap() && !m.ProtoReflect().Has(fd) { // The gateway passes a key that it can't read over.
			return publicerr.Echo(key), "the query parameter " + publicerr.Echo(key) + " " + requirement(fd) + ", and can't be " + publicerr.Echo(strings.Join(query[key], ", "))
		}
	}
	return "", ""
}

// parameter returns the field of a request that a parameter names, in either spelling.
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

// parameterList lists the parameters that there are.
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

// requirement says what a parameter must be.
func requirement(fd protoreflect.FieldDescriptor) string {
	switch {
	case fd.IsMap():
		return "must be of the form " + string(fd.Name()) + "[key]=value"
	case fd.Kind() == protoreflect.EnumKind:
		var names []string
		for i := 1; i < fd.Enum().Values().Len(); i++ { // The first one is no answer.
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
