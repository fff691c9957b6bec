package api

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"strconv"
	"time"

	"buf.build/go/protovalidate"
	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/fence"
	"github.com/refract-video/refract/internal/groupcommit"
	"github.com/refract-video/refract/internal/identity"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/precheck"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/publicerr"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/tenants"
	"github.com/refract-video/refract/internal/watch"
)

// uploadsBusyRetry is when an upload that had no room makes sense again.
const uploadsBusyRetry = 5 * time.Second

// sourceQuotaRetry is when an upload over a quota makes sense again: old sources are removed every ten minutes.
const sourceQuotaRetry = 10 * time.Minute

// issuerRetry is the RetryInfo of a call with a JWT that can't be checked.
const issuerRetry = 5 * time.Second

// storageRetry is the RetryInfo of a call that failed for the storage: an operator has to make room, or the storage fails over.
const storageRetry = 5 * time.Second

// answers is the table of statuses: which error is answered how. An error that is not in it, nor one of the
// types that describe handles, is INTERNAL.
var answers = []struct {
	err    error
	code   codes.Code
	reason refractv1.ErrorReason
	retry  time.Duration // When calling again makes sense; 0 means that it is not said.
}{
	{identity.ErrInvalid, codes.Unauthenticated, refractv1.ErrorReason_ERROR_REASON_CREDENTIALS_INVALID, 0},
	{identity.ErrAmbiguous, codes.Unauthenticated, refractv1.ErrorReason_ERROR_REASON_CREDENTIALS_AMBIGUOUS, 0},
	{identity.ErrTokensUnread, codes.Unavailable, refractv1.ErrorReason_ERROR_REASON_DATABASE_UNAVAILABLE, time.Second},
	{identity.ErrSessionsUnread, codes.Unavailable, refractv1.ErrorReason_ERROR_REASON_DATABASE_UNAVAILABLE, time.Second},
	{identity.ErrIssuer, codes.Unavailable, refractv1.ErrorReason_ERROR_REASON_ISSUER_UNAVAILABLE, issuerRetry},
	{identity.ErrQueue, codes.Unavailable, refractv1.ErrorReason_ERROR_REASON_OVERLOADED, time.Second},
	{errNoTenant, codes.Unauthenticated, refractv1.ErrorReason_ERROR_REASON_CREDENTIALS_INVALID, 0},
	{identity.ErrTokenNotFound, codes.NotFound, refractv1.ErrorReason_ERROR_REASON_TOKEN_NOT_FOUND, 0},
	{identity.ErrTooManyTokens, codes.FailedPrecondition, refractv1.ErrorReason_ERROR_REASON_TOO_MANY_TOKENS, 0},
	{errNotOperator, codes.PermissionDenied, refractv1.ErrorReason_ERROR_REASON_OPERATOR_REQUIRED, 0},
	{lifecycle.ErrTaskNotFound, codes.NotFound, refractv1.ErrorReason_ERROR_REASON_TASK_NOT_FOUND, 0},
	{admission.ErrAccountNotFound, codes.NotFound, refractv1.ErrorReason_ERROR_REASON_ACCOUNT_NOT_FOUND, 0},
	{callback.ErrNotFound, codes.NotFound, refractv1.ErrorReason_ERROR_REASON_CALLBACK_NOT_FOUND, 0},
	{identity.ErrSessionNotFound, codes.NotFound, refractv1.ErrorReason_ERROR_REASON_SESSION_NOT_FOUND, 0},
	{errModelNotFound, codes.NotFound, refractv1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND, 0},
	{notify.ErrEndpointNotFound, codes.NotFound, refractv1.ErrorReason_ERROR_REASON_WEBHOOK_ENDPOINT_NOT_FOUND, 0},
	{notify.ErrDeliveryNotFound, codes.NotFound, refractv1.ErrorReason_ERROR_REASON_WEBHOOK_DELIVERY_NOT_FOUND, 0},
	{notify.ErrTestRunning, codes.ResourceExhausted, refractv1.ErrorReason_ERROR_REASON_OVERLOADED, time.Second},
	{watch.ErrUnknownTask, codes.NotFound, refractv1.ErrorReason_ERROR_REASON_TASK_NOT_FOUND, 0},
	{task.ErrNotRetryable, codes.FailedPrecondition, refractv1.ErrorReason_ERROR_REASON_TASK_NOT_RETRYABLE, 0},
	{watch.ErrDraining, codes.Unavailable, refractv1.ErrorReason_ERROR_REASON_SHUTTING_DOWN, time.Second},
	{watch.ErrNotReading, codes.Unavailable, refractv1.ErrorReason_ERROR_REASON_DATABASE_UNAVAILABLE, time.Second},
	{callback.ErrToken, codes.Unauthenticated, refractv1.ErrorReason_ERROR_REASON_CALLBACK_TOKEN_INVALID, 0},
	{provider.ErrCallbackSignature, codes.Unauthenticated, refractv1.ErrorReason_ERROR_REASON_CALLBACK_SIGNATURE_INVALID, 0},
	{provider.ErrCallbackStale, codes.Unauthenticated, refractv1.ErrorReason_ERROR_REASON_CALLBACK_STALE, 0},
	{provider.ErrCallbackMalformed, codes.InvalidArgument, refractv1.ErrorReason_ERROR_REASON_CALLBACK_MALFORMED, 0},
	{callback.ErrTooLarge, codes.ResourceExhausted, refractv1.ErrorReason_ERROR_REASON_CALLBACK_TOO_LARGE, 0},
	{source.ErrDraining, codes.Unavailable, refractv1.ErrorReason_ERROR_REASON_SHUTTING_DOWN, time.Second},
	{source.ErrDamaged, codes.InvalidArgument, refractv1.ErrorReason_ERROR_REASON_SOURCE_DAMAGED, 0},
	{source.ErrNotFound, codes.NotFound, refractv1.ErrorReason_ERROR_REASON_SOURCE_NOT_FOUND, 0},
	{callback.ErrBusy, codes.Unavailable, refractv1.ErrorReason_ERROR_REASON_OVERLOADED, time.Second}, // HTTP 503: providers call again.
	{groupcommit.ErrFull, codes.ResourceExhausted, refractv1.ErrorReason_ERROR_REASON_OVERLOADED, time.Second},
	{groupcommit.ErrClosed, codes.Unavailable, refractv1.ErrorReason_ERROR_REASON_SHUTTING_DOWN, time.Second},
	{fence.ErrNotSettled, codes.FailedPrecondition, refractv1.ErrorReason_ERROR_REASON_RESTORE_NOT_SETTLED, 0},
	{fence.ErrRecordsMissing, codes.FailedPrecondition, refractv1.ErrorReason_ERROR_REASON_RESTORE_NOT_SETTLED, 0},
	{lifecycle.ErrAttemptNotFound, codes.NotFound, refractv1.ErrorReason_ERROR_REASON_ATTEMPT_NOT_FOUND, 0},
	{media.ErrStorage, codes.Unavailable, refractv1.ErrorReason_ERROR_REASON_STORAGE_UNAVAILABLE, storageRetry}, // After what may be joined to it.
}

// describe returns the status of an error as callers see it, or nil for a fault of the service. ctx is that of the call. CANCELED
// and DEADLINE_EXCEEDED are for calls that the caller ended. A deadline of the service that passed is an error like any other.
func (s *Statuses) describe(ctx context.Context, err error) *status.Status {
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return status.New(codes.Canceled, "the caller canceled the call")
	case errors.Is(err, context.DeadlineExceeded) && deadlinePassed(ctx):
		return status.New(codes.DeadlineExceeded, "the call took longer than the caller allows")
	}
	for _, a := range answers {
		if errors.Is(err, a.err) {
			return publicerr.New(a.code, a.reason, a.err.Error(), a.retry, facts(err))
		}
	}
	if ve, ok := errors.AsType[*protovalidate.ValidationError](err); ok {
		return publicerr.Invalid("", violations(ve)...)
	}
	if pe, ok := errors.AsType[*precheck.Error](err); ok {
		return publicerr.Invalid("", publicerr.Violation(pe.Field, pe.Problem))
	}
	if fe, ok := errors.AsType[*lifecycle.FieldError](err); ok {
		found := []*errdetails.BadRequest_FieldViolation{publicerr.Violation(fe.Field, fe.Message)}
		for _, other := range fe.Others {
			found = append(found, publicerr.Violation(other.Field, other.Message))
		}
		return publicerr.Invalid("", found...)
	}
	if ce, ok := errors.AsType[*lifecycle.ConflictError](err); ok {
		return conflict(ce)
	}
	if qe, ok := errors.AsType[*tenants.QuotaError](err); ok {
		return exhausted(qe.Tenant, string(qe.Quota), int64(qe.Limit), qe.Error(), qe.Retry)
	}
	if qe, ok := errors.AsType[*source.QuotaError](err); ok {
		return exhausted(qe.Tenant, string(qe.Quota), qe.Limit, qe.Error(), sourceQuotaRetry)
	}
	if ee, ok := errors.AsType[*watch.ExpiredError](err); ok {
		return publicerr.New(codes.OutOfRange, refractv1.ErrorReason_ERROR_REASON_REVISION_EXPIRED, ee.Error(), 0,
			map[string]string{"oldest_revision": strconv.FormatInt(ee.Oldest, 10)})
	}
	if ce, ok := errors.AsType[*source.ConflictError](err); ok {
		return publicerr.New(codes.Aborted, refractv1.ErrorReason_ERROR_REASON_UPLOAD_CONFLICT, ce.Error(), 0,
			map[string]string{"received_bytes": strconv.FormatInt(ce.Received, 10)})
	}
	if se, ok := errors.AsType[*source.StalledError](err); ok {
		return publicerr.New(codes.Aborted, refractv1.ErrorReason_ERROR_REASON_UPLOAD_STALLED, se.Error(), 0,
			map[string]string{"received_bytes": strconv.FormatInt(se.Received, 10)})
	}
	if be, ok := errors.AsType[*source.BusyError](err); ok {
		return publicerr.New(codes.ResourceExhausted, refractv1.ErrorReason_ERROR_REASON_UPLOADS_BUSY, be.Error(), uploadsBusyRetry,
			map[string]string{"limit": strconv.Itoa(be.Limit)})
	}
	if re, ok := errors.AsType[*identity.RateError](err); ok {
		return publicerr.New(codes.ResourceExhausted, refractv1.ErrorReason_ERROR_REASON_CALL_RATE_EXCEEDED, re.Error(), re.Retry,
			map[string]string{"limit": strconv.Itoa(re.Limit)})
	}
	if le, ok := errors.AsType[*largeCallsError](err); ok {
		return publicerr.New(codes.ResourceExhausted, refractv1.ErrorReason_ERROR_REASON_LARGE_CALLS_BUSY, le.Error(), largeRetry,
			map[string]string{"limit": strconv.Itoa(le.limit)})
	}
	if te, ok := errors.AsType[*source.TooLargeError](err); ok {
		return publicerr.New(codes.ResourceExhausted, refractv1.ErrorReason_ERROR_REASON_SOURCE_TOO_LARGE, te.Error(), 0,
			map[string]string{"limit_bytes": strconv.FormatInt(te.Limit, 10)})
	}
	if le, ok := errors.AsType[*endpointLimitError](err); ok {
		return publicerr.New(codes.FailedPrecondition, refractv1.ErrorReason_ERROR_REASON_WEBHOOK_ENDPOINT_LIMIT, le.Error(), 0,
			map[string]string{"limit": strconv.Itoa(le.limit)})
	}
	if se, ok := errors.AsType[*notify.TaskStateError](err); ok {
		return publicerr.New(codes.FailedPrecondition, refractv1.ErrorReason_ERROR_REASON_TASK_NOT_TERMINAL, se.Error(), 0,
			map[string]string{"state": string(se.State)})
	}
	if oe, ok := errors.AsType[*oldestTokenError](err); ok {
		return publicerr.New(codes.OutOfRange, refractv1.ErrorReason_ERROR_REASON_REVISION_EXPIRED, oe.Error(), 0,
			map[string]string{"oldest_resume_token": oe.token})
	}
	switch {
	case errors.Is(err, notify.ErrSecretMissing):
		return publicerr.New(codes.FailedPrecondition, refractv1.ErrorReason_ERROR_REASON_WEBHOOK_SECRET_MISSING,
			"no secret signs the events of tasks with a webhook_uri: make it by CreateWebhookEndpoint without a url, or `refract webhook create --for-tasks`", 0, nil)
	case errors.Is(err, errMalformed):
		return publicerr.Invalid("", publicerr.Violation("", errMalformed.Error()))
	case errors.Is(err, watch.ErrFuturePosition):
		return publicerr.Invalid("", publicerr.Violation("resume_token", watch.ErrFuturePosition.Error()))
	case errors.Is(err, watch.ErrFutureRevision):
		return publicerr.Invalid("", publicerr.Violation("after_revision", err.Error()))
	case s.Unavailable(err):
		return publicerr.New(codes.Unavailable, refractv1.ErrorReason_ERROR_REASON_DATABASE_UNAVAILABLE,
			"the database is out of reach: call again", time.Second, nil)
	}
	return nil
}

// deadlinePassed reports whether the deadline of a call has passed. The clock knows that before the context does, and a
// connection may go by the clock.
func deadlinePassed(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

// facts returns the metadata of an error: the task, model, source, account, callback, webhook or API token that it is about.
func facts(err error) map[string]string {
	if ae, ok := errors.AsType[*admission.AccountError](err); ok {
		return map[string]string{"account": ae.Account}
	}
	if ce, ok := errors.AsType[*callback.Error](err); ok {
		return map[string]string{"callback_id": strconv.FormatInt(int64(ce.Callback), 10)}
	}
	if se, ok := errors.AsType[*sessionError](err); ok {
		return map[string]string{"session_id": se.session}
	}
	if me, ok := errors.AsType[*modelError](err); ok {
		return map[string]string{"model": me.model}
	}
	if nf, ok := errors.AsType[*source.NotFoundError](err); ok {
		return map[string]string{"source_id": string(nf.ID)}
	}
	if we, ok := errors.AsType[*webhookError](err); ok {
		return we.facts()
	}
	if te, ok := errors.AsType[*tokenError](err); ok {
		return map[string]string{te.fact: te.value}
	}
	te, ok := errors.AsType[*lifecycle.TaskError](err)
	if !ok {
		return nil
	}
	facts := map[string]string{"task_id": string(te.Task)}
	if te.State != "" {
		facts["state"] = string(te.State)
	}
	return facts
}

// violations translates what protovalidate found, with field paths as the caller wrote them.
func violations(ve *protovalidate.ValidationError) []*errdetails.BadRequest_FieldViolation {
	found := ve.Violations[:min(len(ve.Violations), publicerr.MaxViolations)]
	fields := make([]*errdetails.BadRequest_FieldViolation, len(found))
	for i, v := range found {
		fields[i] = publicerr.Violation(protovalidate.FieldPathString(v.Proto.GetField()), sentence(v))
		fields[i].Reason = v.Proto.GetRuleId()
	}
	return fields
}

func conflict(ce *lifecycle.ConflictError) *status.Status {
	fields := make([]*errdetails.BadRequest_FieldViolation, len(ce.Fields))
	for i, f := range ce.Fields {
		fields[i] = publicerr.Violation(f, "differs from the first submission with this request_id")
	}
	return publicerr.New(codes.AlreadyExists, refractv1.ErrorReason_ERROR_REASON_REQUEST_ID_CONFLICT, ce.Error(), 0,
		map[string]string{"task_id": string(ce.TaskID)}, &errdetails.BadRequest{FieldViolations: fields})
}

// exhausted returns the status of a quota that a tenant has used up.
func exhausted(tenant, quota string, limit int64, message string, retry time.Duration) *status.Status {
	return publicerr.New(codes.ResourceExhausted, refractv1.ErrorReason_ERROR_REASON_QUOTA_EXCEEDED, message, retry,
		map[string]string{"quota": quota, "limit": strconv.FormatInt(limit, 10)},
		&errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{{Subject: "tenant:" + tenant, Description: message}}})
}

// Statuses turns errors into statuses, in one way for all surfaces.
type Statuses struct {
	// Unavailable reports whether an error means that the database is out of reach.
	Unavailable func(error) bool
	Log         *slog.Logger
}

// Convert returns the status of an error that a call met, and nil for nil. ctx is the call's and method its name, which stands
// in the log with what the status does not say.
func (s *Statuses) Convert(ctx context.Context, method string, err error) error {
	if err == nil {
		return nil
	}
	if is, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
		return publicerr.Bound(is.GRPCStatus()).Err()
	}
	id := cmp.Or(requestIDOf(ctx), uuid.NewString()) // A download over HTTP has no name yet.
	if st := s.describe(ctx, err); st != nil {
		if failure, ok := errors.AsType[*media.StorageError](err); ok && st.Code() == codes.Unavailable {
			s.Log.ErrorContext(ctx, "storage failed; the caller may call again", "method", method, "request_id", id, "error", failure)
		}
		return publicerr.Bound(st).Err()
	}
	s.Log.ErrorContext(ctx, "call failed", "method", method, "request_id", id, "error", err)
	return publicerr.New(codes.Internal, refractv1.ErrorReason_ERROR_REASON_INTERNAL,
		"internal error; the log has the cause under request id "+id, 0, map[string]string{"request_id": id}).Err()
}

func (s *Statuses) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	resp, err := handler(ctx, req)
	return resp, s.Convert(ctx, info.FullMethod, err)
}

func (s *Statuses) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return s.Convert(stream.Context(), info.FullMethod, handler(srv, stream))
}

// errPanic stands for a panic, of which callers see INTERNAL.
var errPanic = errors.New("panic")

func (s *Statuses) recovered(ctx context.Context, p any) error {
	s.Log.ErrorContext(ctx, "panic", "request_id", requestIDOf(ctx), "panic", p, "stack", string(debug.Stack()))
	return errPanic
}
