// Package publicerr makes the statuses that callers see, and bounds them. A status travels in HTTP/2 trailers, which
// clients and proxies limit to 8 KiB by default. A caller's own text must not come back without a bound either.
package publicerr

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// domain is the domain of every ErrorInfo.
const domain = "refract"

const (
	// MaxSize bounds an encoded status in bytes. Trailers carry it in base64, which adds a third, and the message again.
	MaxSize = 4 << 10
	// MaxViolations is the maximum number of violations that a status names.
	MaxViolations = 20

	maxMessage = 1 << 10 // Bytes of a message as encoded in trailers.
	maxText    = 256     // Bytes of each text in the details of a status that exceeds MaxSize.
	maxEcho    = 64      // Bytes of a caller's text that an error repeats.
)

// New returns a status with ErrorInfo, and RetryInfo where retry is not 0.
func New(code codes.Code, reason refractv1.ErrorReason, message string, retry time.Duration, facts map[string]string,
	details ...protoadapt.MessageV1,
) *status.Status {
	details = append([]protoadapt.MessageV1{&errdetails.ErrorInfo{
		Reason: strings.TrimPrefix(reason.String(), "ERROR_REASON_"), Domain: domain, Metadata: facts,
	}}, details...)
	if retry > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retry)})
	}
	st := status.New(code, message)
	detailed, err := st.WithDetails(details...)
	if err != nil {
		return st // A text of the caller is not UTF-8.
	}
	return detailed
}

// RetryAfter returns the value of the HTTP header Retry-After for an error with RetryInfo, in whole seconds and at least 1. It is empty
// for any other error.
func RetryAfter(st *status.Status) string {
	for _, d := range st.Details() {
		if retry, ok := d.(*errdetails.RetryInfo); ok {
			seconds := math.Ceil(retry.GetRetryDelay().AsDuration().Seconds())
			return strconv.Itoa(max(1, int(seconds)))
		}
	}
	return ""
}

// Violation returns a violation of a rule. The field may contain a caller's text, such as the key of a map.
func Violation(field, description string) *errdetails.BadRequest_FieldViolation {
	return &errdetails.BadRequest_FieldViolation{Field: text(field, 2*maxEcho), Description: text(description, maxText)}
}

// Invalid returns INVALID_ARGUMENT with the first MaxViolations fields that break a rule. An empty message means a list
// of the violations.
func Invalid(message string, fields ...*errdetails.BadRequest_FieldViolation) *status.Status {
	fields = fields[:min(len(fields), MaxViolations)]
	if message == "" {
		messages := make([]string, len(fields))
		for i, f := range fields {
			messages[i] = strings.TrimPrefix(f.GetField()+": "+f.GetDescription(), ": ") // A rule of the whole message has no field.
		}
		message = strings.Join(messages, "; ")
	}
	return Bound(New(codes.InvalidArgument, refractv1.ErrorReason_ERROR_REASON_INVALID_REQUEST, message, 0, nil,
		&errdetails.BadRequest{FieldViolations: fields}))
}

// Echo returns the part of a caller's text that an error may repeat.
func Echo(words string) string { return text(words, maxEcho) }

// Bound returns a status that fits into trailers: st itself, or one with shorter texts and, if that is not enough,
// fewer details. ErrorInfo is dropped last. Every status passes through Bound, over gRPC and over REST.
func Bound(st *status.Status) *status.Status {
	p := st.Proto() // A copy.
	p.Message = cut(strings.ToValidUTF8(p.GetMessage(), "\uFFFD"), maxMessage, 3)
	if proto.Size(p) <= MaxSize {
		if p.GetMessage() == st.Message() {
			return st
		}
		return status.FromProto(p)
	}
	return status.FromProto(&spb.Status{Code: p.GetCode(), Message: p.GetMessage(), Details: shortened(p.GetDetails(), MaxSize-len(p.GetMessage())-16)})
}

// Brief returns a status with a short message and no detail but its ErrorInfo, for responses that contain many statuses.
func Brief(p *spb.Status) *spb.Status {
	brief := &spb.Status{Code: p.GetCode(), Message: cut(p.GetMessage(), maxText, 1)}
	for _, d := range p.GetDetails() {
		if d.MessageIs((*errdetails.ErrorInfo)(nil)) {
			brief.Details = shortened([]*anypb.Any{d}, maxMessage)
		}
	}
	return brief
}

// shortened returns the details with short texts, as many as fit into a number of bytes.
func shortened(details []*anypb.Any, room int) []*anypb.Any {
	var kept []*anypb.Any
	for _, d := range details {
		m, err := d.UnmarshalNew()
		if err != nil {
			continue
		}
		violations := 0
		shorten(m)
		if bad, ok := m.(*errdetails.BadRequest); ok {
			violations = len(bad.GetFieldViolations())
		}
		for {
			short, err := anypb.New(m)
			size := proto.Size(short) + 4 // With its tag and length in the status.
			if err == nil && size <= room {
				kept, room = append(kept, short), room-size
				break
			}
			if violations--; violations < 0 {
				break
			}
			m.(*errdetails.BadRequest).FieldViolations = m.(*errdetails.BadRequest).FieldViolations[:violations]
		}
	}
	return kept
}

// shorten cuts the texts of a detail that may contain a caller's text.
func shorten(m proto.Message) {
	switch m := m.(type) {
	case *errdetails.ErrorInfo:
		for key, value := range m.GetMetadata() {
			m.Metadata[key] = cut(value, maxText, 1)
		}
	case *errdetails.BadRequest:
		m.FieldViolations = m.FieldViolations[:min(len(m.FieldViolations), MaxViolations)]
		for _, v := range m.GetFieldViolations() {
			v.Field, v.Description, v.LocalizedMessage = cut(v.GetField(), 2*maxEcho, 1), cut(v.GetDescription(), maxText, 1), nil
		}
	case *errdetails.QuotaFailure:
		m.Violations = m.Violations[:min(len(m.Violations), MaxViolations)]
		for _, v := range m.GetViolations() {
			v.Subject, v.Description = cut(v.GetSubject(), maxText, 1), cut(v.GetDescription(), maxText, 1)
		}
	}
}

// text returns a caller's text as valid UTF-8, cut to a number of bytes.
func text(s string, limit int) string { return cut(strings.ToValidUTF8(s, "\uFFFD"), limit, 1) }

// cut shortens a text to a number of bytes and ends it with an ellipsis. A byte that trailers must escape counts as
// escapedSize bytes.
func cut(text string, limit, escapedSize int) string {
	const ellipsis = "…"
	size, fits := 0, 0 // The size so far, and the length of the prefix that leaves room for an ellipsis.
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if r < ' ' || r > '~' || r == '%' {
			size += escapedSize * n
		} else {
			size++
		}
		if size > limit {
			return text[:fits] + ellipsis
		}
		i += n
		if size <= limit-escapedSize*len(ellipsis) {
			fits = i
		}
	}
	return text
}
