package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
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
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/tenants"
	"github.com/refract-video/refract/internal/watch"
)

// errDatabase is an error of a database that is out of reach.
var errDatabase = errors.New("connection refused by 10.0.0.7")

// answered is an error, and what a caller sees of it.
type answered struct {
	err    error
	code   codes.Code
	reason string
	retry  time.Duration     // Of RetryInfo.
	facts  map[string]string // Of ErrorInfo.
	fields string            // Of BadRequest, joined by commas.
}

const invalid = "INVALID_REQUEST"

// answeredErrors has every error that callers see.
var answeredErrors = []answered{
	{err: identity.ErrInvalid, code: codes.Unauthenticated, reason: "CREDENTIALS_INVALID"},
	{err: identity.ErrTokensUnread, code: codes.Unavailable, reason: "DATABASE_UNAVAILABLE", retry: time.Second},
	{err: identity.ErrSessionsUnread, code: codes.Unavailable, reason: "DATABASE_UNAVAILABLE", retry: time.Second},
	{err: identity.ErrIssuer, code: codes.Unavailable, reason: "ISSUER_UNAVAILABLE", retry: issuerRetry},
	{err: identity.ErrAmbiguous, code: codes.Unauthenticated, reason: "CREDENTIALS_AMBIGUOUS"},
	{err: errNoTenant, code: codes.Unauthenticated, reason: "CREDENTIALS_INVALID"},
	{err: &identity.RateError{Limit: 5, Retry: 200 * time.Millisecond}, code: codes.ResourceExhausted, reason: "CALL_RATE_EXCEEDED", retry: 200 * time.Millisecond, facts: map[string]string{"limit": "5"}},
	{err: identity.ErrQueue, code: codes.Unavailable, reason: "OVERLOADED", retry: time.Second},
	{err: errNotOperator, code: codes.PermissionDenied, reason: "OPERATOR_REQUIRED"},
	{
		err:  &lifecycle.TaskError{Task: "t1", Err: lifecycle.ErrTaskNotFound},
		code: codes.NotFound, reason: "TASK_NOT_FOUND", facts: map[string]string{"task_id": "t1"},
	},
	{
		err:  &tokenError{fact: "token_id", value: "k1", err: identity.ErrTokenNotFound},
		code: codes.NotFound, reason: "TOKEN_NOT_FOUND", facts: map[string]string{"token_id": "k1"},
	},
	{
		err:  &tokenError{fact: "tenant", value: "acme", err: identity.ErrTooManyTokens},
		code: codes.FailedPrecondition, reason: "TOO_MANY_TOKENS", facts: map[string]string{"tenant": "acme"},
	},
	{
		err:  &admission.AccountError{Account: "kie-2", Err: admission.ErrAccountNotFound},
		code: codes.NotFound, reason: "ACCOUNT_NOT_FOUND", facts: map[string]string{"account": "kie-2"},
	},
	{
		err:  &callback.Error{Callback: 4711, Err: callback.ErrNotFound},
		code: codes.NotFound, reason: "CALLBACK_NOT_FOUND", facts: map[string]string{"callback_id": "4711"},
	},
	{
		err:  &sessionError{"s1", identity.ErrSessionNotFound},
		code: codes.NotFound, reason: "SESSION_NOT_FOUND", facts: map[string]string{"session_id": "s1"},
	},
	{
		err:  &modelError{model: "acme/edit"},
		code: codes.NotFound, reason: "MODEL_NOT_FOUND", facts: map[string]string{"model": "acme/edit"},
	},
	{
		err:  &webhookError{endpoint: "e1", err: notify.ErrEndpointNotFound},
		code: codes.NotFound, reason: "WEBHOOK_ENDPOINT_NOT_FOUND", facts: map[string]string{"endpoint_id": "e1"},
	},
	{
		err:  &webhookError{endpoint: "e1", event: "evt_t1_3", err: notify.ErrDeliveryNotFound},
		code: codes.NotFound, reason: "WEBHOOK_DELIVERY_NOT_FOUND", facts: map[string]string{"endpoint_id": "e1", "event_id": "evt_t1_3"},
	},
	{err: &endpointLimitError{limit: 32}, code: codes.FailedPrecondition, reason: "WEBHOOK_ENDPOINT_LIMIT", facts: map[string]string{"limit": "32"}},
	{err: &notify.TaskStateError{State: task.Running}, code: codes.FailedPrecondition, reason: "TASK_NOT_TERMINAL", facts: map[string]string{"state": "RUNNING"}},
	{err: notify.ErrSecretMissing, code: codes.FailedPrecondition, reason: "WEBHOOK_SECRET_MISSING"},
	{err: notify.ErrTestRunning, code: codes.ResourceExhausted, reason: "OVERLOADED", retry: time.Second},
	{err: watch.ErrUnknownTask, code: codes.NotFound, reason: "TASK_NOT_FOUND"},
	{
		err:  &lifecycle.TaskError{Task: "t1", State: task.Running, Err: task.ErrNotRetryable},
		code: codes.FailedPrecondition, reason: "TASK_NOT_RETRYABLE", facts: map[string]string{"task_id": "t1", "state": "RUNNING"},
	},
	{err: watch.ErrDraining, code: codes.Unavailable, reason: "SHUTTING_DOWN", retry: time.Second},
	{err: watch.ErrNotReading, code: codes.Unavailable, reason: "DATABASE_UNAVAILABLE", retry: time.Second},
	{err: callback.ErrToken, code: codes.Unauthenticated, reason: "CALLBACK_TOKEN_INVALID"},
	{err: provider.ErrCallbackSignature, code: codes.Unauthenticated, reason: "CALLBACK_SIGNATURE_INVALID"},
	{err: provider.ErrCallbackStale, code: codes.Unauthenticated, reason: "CALLBACK_STALE"},
	{err: provider.ErrCallbackMalformed, code: codes.InvalidArgument, reason: "CALLBACK_MALFORMED"},
	{err: callback.ErrTooLarge, code: codes.ResourceExhausted, reason: "CALLBACK_TOO_LARGE"},
	{err: source.ErrDraining, code: codes.Unavailable, reason: "SHUTTING_DOWN", retry: time.Second},
	{err: source.ErrDamaged, code: codes.InvalidArgument, reason: "SOURCE_DAMAGED"},
	{
		err: &source.NotFoundError{ID: "s1"}, code: codes.NotFound, reason: "SOURCE_NOT_FOUND",
		facts: map[string]string{"source_id": "s1"},
	},
	{err: callback.ErrBusy, code: codes.Unavailable, reason: "OVERLOADED", retry: time.Second}, // HTTP 503.
	{err: groupcommit.ErrFull, code: codes.ResourceExhausted, reason: "OVERLOADED", retry: time.Second},
	{err: groupcommit.ErrClosed, code: codes.Unavailable, reason: "SHUTTING_DOWN", retry: time.Second},
	{err: fence.ErrNotSettled, code: codes.FailedPrecondition, reason: "RESTORE_NOT_SETTLED"},
	{err: fence.ErrRecordsMissing, code: codes.FailedPrecondition, reason: "RESTORE_NOT_SETTLED"},
	{err: lifecycle.ErrAttemptNotFound, code: codes.NotFound, reason: "ATTEMPT_NOT_FOUND"},
	{err: media.ErrStorage, code: codes.Unavailable, reason: "STORAGE_UNAVAILABLE", retry: 5 * time.Second},

	{err: &precheck.Error{Field: "labels", Problem: "has too many"}, code: codes.InvalidArgument, reason: invalid, fields: "labels"},
	{err: &lifecycle.FieldError{Field: "source.uri", Message: "is private"}, code: codes.InvalidArgument, reason: invalid, fields: "source.uri"},
	{
		err:  &lifecycle.ConflictError{TaskID: "t1", Fields: []string{"prompt", "labels"}},
		code: codes.AlreadyExists, reason: "REQUEST_ID_CONFLICT", facts: map[string]string{"task_id": "t1"}, fields: "prompt,labels",
	},
	{
		err:  &tenants.QuotaError{Tenant: "acme", Quota: tenants.QuotaQueued, Limit: 7, Retry: 10 * time.Second},
		code: codes.ResourceExhausted, reason: "QUOTA_EXCEEDED", retry: 10 * time.Second, facts: map[string]string{"quota": "max_queued", "limit": "7"},
	},
	{
		err:  &source.QuotaError{Tenant: "acme", Quota: source.QuotaBytes, Limit: 8},
		code: codes.ResourceExhausted, reason: "QUOTA_EXCEEDED", retry: 10 * time.Minute, facts: map[string]string{"quota": "max_source_bytes", "limit": "8"},
	},
	{
		err: &watch.ExpiredError{Oldest: 12}, code: codes.OutOfRange, reason: "REVISION_EXPIRED",
		facts: map[string]string{"oldest_revision": "12"},
	},
	{
		err: &oldestTokenError{token: "tok", err: errDatabase}, code: codes.OutOfRange, reason: "REVISION_EXPIRED",
		facts: map[string]string{"oldest_resume_token": "tok"},
	},
	{
		err: &source.ConflictError{Received: 8, Message: "another size"}, code: codes.Aborted, reason: "UPLOAD_CONFLICT",
		facts: map[string]string{"received_bytes": "8"},
	},
	{
		err: &source.StalledError{Received: 9, After: time.Minute}, code: codes.Aborted, reason: "UPLOAD_STALLED",
		facts: map[string]string{"received_bytes": "9"},
	},
	{
		err: &source.BusyError{Limit: 8}, code: codes.ResourceExhausted, reason: "UPLOADS_BUSY", retry: 5 * time.Second,
		facts: map[string]string{"limit": "8"},
	},
	{
		err: &largeCallsError{limit: 16}, code: codes.ResourceExhausted, reason: "LARGE_CALLS_BUSY", retry: time.Second,
		facts: map[string]string{"limit": "16"},
	},
	{
		err: &source.TooLargeError{Limit: 500}, code: codes.ResourceExhausted, reason: "SOURCE_TOO_LARGE",
		facts: map[string]string{"limit_bytes": "500"},
	},
	{err: errMalformed, code: codes.InvalidArgument, reason: invalid},
	{err: watch.ErrFuturePosition, code: codes.InvalidArgument, reason: invalid, fields: "resume_token"},
	{err: watch.ErrFutureRevision, code: codes.InvalidArgument, reason: invalid, fields: "after_revision"},
	{err: errDatabase, code: codes.Unavailable, reason: "DATABASE_UNAVAILABLE", retry: time.Second},
	{err: errors.New("a fault of ours"), code: codes.Internal, reason: "INTERNAL", facts: map[string]string{"request_id": "call-1"}},
	{err: errPanic, code: codes.Internal, reason: "INTERNAL", facts: map[string]string{"request_id": "call-1"}},
}

func TestConvert_AnswersEveryErrorAsTheTableSays(t *testing.T) {
	t.Parallel()
	s := &Statuses{Unavailable: func(err error) bool { return errors.Is(err, errDatabase) }, Log: slog.New(slog.DiscardHandler)}
	for _, tt := range answeredErrors {
		t.Run(fmt.Sprintf("%.40v", tt.err), func(t *testing.T) {
			t.Parallel()
			ctx := context.WithValue(t.Context(), requestIDKey{}, "call-1")
			err := s.Convert(ctx, "/method", fmt.Errorf("settle attempt 3 at 10.0.0.7: %w", tt.err))
			st := status.Convert(err)
			got := answered{err: tt.err, code: st.Code(), fields: strings.Join(fieldsOfStatus(st), ",")}
			got.reason, got.facts = reasonOfStatus(st)
			for _, d := range st.Details() {
				if retry, ok := d.(*errdetails.RetryInfo); ok {
					got.retry = retry.GetRetryDelay().AsDuration()
				}
			}
			if diff := gocmp.Diff(tt, got, gocmp.AllowUnexported(answered{}), gocmp.Comparer(func(a, b error) bool { return errors.Is(a, b) })); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			// What package watch adds to ErrFutureRevision, the newest revision, is for the caller.
			if strings.Contains(st.Message(), "10.0.0.7") && !errors.Is(tt.err, watch.ErrFutureRevision) {
				t.Errorf("the message %q has what only the log may have", st.Message())
			}
		})
	}
}

// TestConvert_TheTestHasEveryRowOfTheTable fails when a row is added that no test looks at.
func TestConvert_TheTestHasEveryRowOfTheTable(t *testing.T) {
	t.Parallel()
	for _, row := range answers {
		if !slices.ContainsFunc(answeredErrors, func(a answered) bool { return errors.Is(a.err, row.err) }) {
			t.Errorf("answeredErrors has no %q", row.err)
		}
	}
	seen := map[string]bool{}
	for _, a := range answeredErrors {
		seen[a.reason] = true
	}
	for number, name := range refractv1.ErrorReason_name {
		if reason := strings.TrimPrefix(name, "ERROR_REASON_"); number != 0 && !seen[reason] {
			t.Errorf("no error of answeredErrors has the reason %s of the contract", reason)
		}
	}
}

// TestConvert_StorageIsAnsweredLast joins a fault of the storage to what else went wrong. That is what a caller can mend.
func TestConvert_StorageIsAnsweredLast(t *testing.T) {
	t.Parallel()
	s := testStatuses(slog.New(slog.DiscardHandler))
	for _, first := range []error{source.ErrDraining, source.ErrDamaged, &source.NotFoundError{ID: "s1"}} {
		st := status.Convert(s.Convert(t.Context(), "", errors.Join(media.ErrStorage, first)))
		if reason, _ := reasonOfStatus(st); reason == "STORAGE_UNAVAILABLE" {
			t.Errorf("%v together with a fault of the storage is answered %s", first, reason)
		}
	}
}

func TestConvert_LogsOnlyFaultsOfOurs(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		line string // The message of the line at error, or none.
	}{
		"a fault":             {errors.New("a fault"), "call failed"},
		"a mistake":           {&lifecycle.FieldError{Field: "prompt", Message: "is long"}, ""},
		"a status":            {status.Error(codes.NotFound, "no such thing"), ""},
		"nothing":             {nil, ""},
		"an unknown account":  {admission.ErrAccountNotFound, ""},
		"a quota":             {&tenants.QuotaError{}, ""},
		"a fault of storage":  {&media.StorageError{Err: errors.New("disk full")}, "storage failed; the caller may call again"},
		"a replica that ends": {groupcommit.ErrClosed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, lines := testLogger()
			_ = testStatuses(log).Convert(t.Context(), "/method", tc.err)
			found := len(lines.find(t, cmp.Or(tc.line, "call failed")))
			if want := min(len(tc.line), 1); found != want {
				t.Errorf("%d lines %q, want %d", found, tc.line, want)
			}
		})
	}
}

func TestViolations_NameFieldsAsTheCallerWroteThem(t *testing.T) {
	t.Parallel()
	s := testStatuses(slog.New(slog.DiscardHandler))
	bad := &refractv1.SubmitTaskRequest{
		RequestId: "order 1", Prompt: "x", Priority: 101, MaxAttempts: 6, Labels: map[string]string{"Team": "a"},
		FallbackProviders: []string{"luma", ""}, Source: &refractv1.SubmitTaskSource{},
	}
	st := status.Convert(s.Convert(t.Context(), "", obeys(bad, testValidator)))
	want := []string{"request_id", "source.location", "priority", `labels["Team"]`, "max_attempts", "fallback_providers[1]"}
	if diff := gocmp.Diff(want, fieldsOfStatus(st)); diff != "" || st.Code() != codes.InvalidArgument {
		t.Errorf("%v, fields (-want +got):\n%s", st.Code(), diff)
	}
	for _, d := range st.Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				if v.GetReason() == "" || v.GetDescription() == "" {
					t.Errorf("%s has no rule or no words: %v", v.GetField(), v)
				}
			}
		}
	}
}
