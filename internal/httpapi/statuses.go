package httpapi

import (
	"fmt"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/publicerr"
)

// This file has every HTTP status of the package, and a test keeps it so. Handlers refuse by name.

// refusal is an answer to a request that this package refuses itself. It has no ErrorInfo: its HTTP status is specific enough.
type refusal struct {
	status  int
	code    codes.Code
	message string // A format where the refusal has arguments.
}

// The refusals of this package.
var (
	notPublic           = refusal{http.StatusNotFound, codes.NotFound, "not found"} // The only refusal of a path at the public listener.
	unknownPath         = refusal{http.StatusNotFound, codes.NotFound, "there is nothing at this path"}
	malformedPath       = refusal{http.StatusBadRequest, codes.InvalidArgument, "the path is malformed"}
	methodNotAllowed    = refusal{http.StatusMethodNotAllowed, codes.Unimplemented, "the path does not take this method"}
	crossSite           = refusal{http.StatusForbidden, codes.PermissionDenied, "%s"}
	notJSON             = refusal{http.StatusUnsupportedMediaType, codes.InvalidArgument, "the body must be JSON in UTF-8, sent with Content-Type: application/json"}
	unsupportedEncoding = refusal{http.StatusUnsupportedMediaType, codes.InvalidArgument, "the Content-Encoding %s is not supported: send the body as it is"}
	bodyTooLarge        = refusal{http.StatusRequestEntityTooLarge, codes.ResourceExhausted, "the body is too large"}
	bodyTimeout         = refusal{http.StatusRequestTimeout, codes.DeadlineExceeded, "the body did not arrive in time"}
	bodyIncomplete      = refusal{http.StatusBadRequest, codes.InvalidArgument, "the body is incomplete"}
	noSuchOutput        = refusal{http.StatusNotFound, codes.NotFound, "the task has no such output"}
	outputGone          = refusal{http.StatusGone, codes.NotFound, "the file of this output is no longer kept"}
	sourceElsewhere     = refusal{http.StatusNotFound, codes.NotFound, "the source of this task is the URI that the task names: only uploaded sources can be downloaded here"}
	sourceGone          = refusal{http.StatusNotFound, codes.NotFound, "the file of this source is no longer kept"}
	linkInvalid         = refusal{http.StatusNotFound, codes.NotFound, "the link is wrong or has expired, or its file is no longer kept"}
	rangeOutsideFile    = refusal{http.StatusRequestedRangeNotSatisfiable, codes.OutOfRange, "the range is outside the file"}
	internalError       = refusal{http.StatusInternalServerError, codes.Internal, "internal error"}
)

// The statuses of answers that are no refusals.
const (
	statusServed     = http.StatusOK
	statusCreated    = http.StatusCreated   // The upload is complete, and its source is new.
	statusIncomplete = http.StatusAccepted  // The upload lacks bytes.
	statusNoEvents   = http.StatusNoContent // The resumed watch is over; an EventSource stops on this status alone.
	statusUnready    = http.StatusServiceUnavailable
)

// statusByReason has the errors of the gRPC server whose code has another status than HTTP needs.
var statusByReason = map[refractv1.ErrorReason]int{
	refractv1.ErrorReason_ERROR_REASON_SOURCE_TOO_LARGE: http.StatusRequestEntityTooLarge,
	refractv1.ErrorReason_ERROR_REASON_UPLOAD_STALLED:   http.StatusRequestTimeout,
}

// What callers get for errors without ErrorInfo, whose own words are for the log. All others are internalError.
var (
	callCanceled       = status.New(codes.Canceled, "the call was canceled")
	callTimedOut       = status.New(codes.DeadlineExceeded, "the call took too long")
	serviceUnreachable = status.New(codes.Unavailable, "the service is out of reach")
)

// with returns a refusal with its arguments as a gRPC status.
func (r refusal) with(args ...any) *status.Status {
	message := r.message
	if len(args) > 0 {
		message = fmt.Sprintf(message, args...)
	}
	return status.New(r.code, message)
}

// invalidRequest returns the status of a request that breaks a rule of the contract in a field; empty means none in particular.
func invalidRequest(field, description string) *status.Status {
	return publicerr.Invalid("the request is invalid: "+description, publicerr.Violation(field, description))
}

// httpStatusOf returns the HTTP status of an error of the gRPC server.
func httpStatusOf(st *status.Status) int {
	if info := errorInfoOf(st); info != nil {
		reason := refractv1.ErrorReason(refractv1.ErrorReason_value["ERROR_REASON_"+info.GetReason()])
		if httpStatus, ok := statusByReason[reason]; ok {
			return httpStatus
		}
	}
	return runtime.HTTPStatusFromCode(st.Code())
}

// isTransient reports whether a call that ended with a code may succeed later, as it is.
func isTransient(code codes.Code) bool {
	switch code {
	case codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded, codes.Aborted, codes.Internal, codes.Unknown, codes.Canceled:
		return true
	default:
		return false
	}
}

// errorInfoOf returns the ErrorInfo of a status, or nil.
func errorInfoOf(st *status.Status) *errdetails.ErrorInfo {
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info
		}
	}
	return nil
}

// refusalOfRouting returns what the gateway's router means by a status.
func refusalOfRouting(httpStatus int) refusal {
	switch httpStatus {
	case http.StatusNotFound:
		return unknownPath
	case http.StatusMethodNotAllowed:
		return methodNotAllowed
	default:
		return malformedPath
	}
}

// refusalOfContent returns the refusal that replaces an answer of http.ServeContent, whose text quotes errors of the bucket.
func refusalOfContent(httpStatus int) (_ refusal, replaces bool) {
	switch {
	case httpStatus == http.StatusRequestedRangeNotSatisfiable:
		return rangeOutsideFile, true
	case httpStatus >= http.StatusInternalServerError:
		return internalError, true
	default:
		return refusal{}, false
	}
}

// isFinal reports whether an answer begins with a status. Those below are announcements.
func isFinal(httpStatus int) bool { return httpStatus >= http.StatusOK }

// The statuses that net/http sends for a handler that names none, and that metrics show for one that panicked before its answer began.
const (
	unnamedStatus  = http.StatusOK
	panickedStatus = http.StatusInternalServerError
)
