package api

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/explain"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/task"
)

// TestEnums_HaveTheirTwins checks that every word of the domain is in the contract, and the other way round.
func TestEnums_HaveTheirTwins(t *testing.T) {
	t.Parallel()
	for _, s := range task.States {
		if stateOf(s) == refractv1.TaskState_TASK_STATE_UNSPECIFIED {
			t.Errorf("state %s is not in the contract", s)
		}
	}
	for _, r := range task.Reasons {
		if reasonOf(r) == refractv1.FailureReason_FAILURE_REASON_UNSPECIFIED {
			t.Errorf("reason %s is not in the contract", r)
		}
	}
	if got, want := len(refractv1.TaskState_name), len(task.States)+1; got != want {
		t.Errorf("the contract has %d states, want %d", got, want)
	}
	if got, want := len(refractv1.FailureReason_name), len(task.Reasons)+1; got != want {
		t.Errorf("the contract has %d reasons, want %d", got, want)
	}
	for _, s := range []task.AttemptState{
		task.AttemptSubmitting, task.AttemptUnconfirmed, task.AttemptRunning, task.AttemptSucceeded, task.AttemptFailed,
		task.AttemptRefused, task.AttemptLost,
	} {
		if attemptStateOf(s) == refractv1.AttemptState_ATTEMPT_STATE_UNSPECIFIED {
			t.Errorf("attempt state %s is not in the contract", s)
		}
	}
	for _, p := range []task.Payment{task.PaymentNone, task.PaymentPaid, task.PaymentUnknown} {
		if paymentOf(p) == refractv1.Payment_PAYMENT_UNSPECIFIED {
			t.Errorf("payment %s is not in the contract", p)
		}
	}
	for _, w := range []task.WaitCause{
		task.WaitConfirmation, task.WaitSource, task.WaitDelay, task.WaitProviderPaused, task.WaitOffering, task.WaitTenantShare,
		task.WaitRateWindow, task.WaitInFlightCap, task.WaitAdmission,
	} {
		if waiting(&task.Waiting{Cause: w}).GetCause() == refractv1.WaitingCause_WAITING_CAUSE_UNSPECIFIED {
			t.Errorf("cause %s is not in the contract", w)
		}
	}
	for _, k := range explain.Kinds {
		if entryKind(k) == refractv1.ExplanationEntryKind_EXPLANATION_ENTRY_KIND_UNSPECIFIED {
			t.Errorf("kind %s is not in the contract", k)
		}
	}
	if got, want := len(refractv1.ExplanationEntryKind_name), len(explain.Kinds)+1; got != want {
		t.Errorf("the contract has %d kinds of entries, want %d", got, want)
	}
	for _, v := range lifecycle.Verdicts {
		if verdictOf(v) == refractv1.CallbackVerdict_CALLBACK_VERDICT_UNSPECIFIED {
			t.Errorf("verdict %s is not in the contract", v)
		}
	}
	if got, want := len(refractv1.CallbackVerdict_name), len(lifecycle.Verdicts)+1; got != want {
		t.Errorf("the contract has %d verdicts, want %d", got, want)
	}
	outcomes := []lifecycle.Outcome{lifecycle.InquiryConfirming, lifecycle.InquirySettled, lifecycle.InquiryNoProviderTaskID, lifecycle.InquiryAccountNotConfigured}
	for _, o := range outcomes {
		if inquiry(lifecycle.Inquiry{Outcome: o}).GetOutcome() == refractv1.InquiryOutcome_INQUIRY_OUTCOME_UNSPECIFIED {
			t.Errorf("outcome %s is not in the contract", o)
		}
	}
	if got, want := len(refractv1.InquiryOutcome_name), len(outcomes)+1; got != want {
		t.Errorf("the contract has %d outcomes of inquiries, want %d", got, want)
	}
	for _, state := range notify.Subscribable {
		if eventTypeOf(state) == refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_UNSPECIFIED {
			t.Errorf("the event of state %s is not in the contract", state)
		}
	}
	for _, r := range []notify.DisableReason{notify.DisabledByCaller, notify.DisabledGone, notify.DisabledFailing} {
		if disableReasonOf(r) == refractv1.WebhookDisableReason_WEBHOOK_DISABLE_REASON_UNSPECIFIED {
			t.Errorf("the reason %s is not in the contract", r)
		}
	}
	for _, state := range []notify.DeliveryState{notify.DeliveryPending, notify.DeliverySucceeded, notify.DeliveryFailed} {
		if back := deliveryStates([]refractv1.WebhookDeliveryState{deliveryStateOf(state)}); back[0] != state {
			t.Errorf("the delivery state %s is read as %s", state, back[0])
		}
	}
	for value, name := range refractv1.Strength_name {
		s := refractv1.Strength(value)
		if back := strength(strengthOf(s)); back != s {
			t.Errorf("%s is spelt %q, which is %s", name, strengthOf(s), back)
		}
	}
}

// TestPageTokens_OfStrangersAreRefused reads what is no token of ours.
func TestPageTokens_OfStrangersAreRefused(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"x", "====", "AAAA", strings.Repeat("A", 100), "LTE"} {
		if id, err := parseTaskPageToken(token); err == nil {
			t.Errorf("task page token %q gave %q", token, id)
		}
		if revision, err := parseEventPageToken(token); err == nil {
			t.Errorf("event page token %q gave %d", token, revision)
		}
		if place, err := parseDeliveryPageToken(token); err == nil {
			t.Errorf("delivery page token %q gave %v", token, place)
		}
	}
}

// FuzzPageTokens checks that a page token that is taken is one that we make for the same page, to the letter.
func FuzzPageTokens(f *testing.F) {
	f.Fuzz(func(t *testing.T, token string, revision int64) {
		if token == "" {
			return // The first page.
		}
		id, err := parseTaskPageToken(token)
		if err == nil && (taskPageToken(id) != token || uuid.Validate(string(id)) != nil) {
			t.Errorf("%q gave task %q, whose token is %q", token, id, taskPageToken(id))
		}
		if _, refused := errors.AsType[*lifecycle.FieldError](err); err != nil && (!refused || id != "") {
			t.Errorf("%q gave task %q and %v", token, id, err)
		}
		last, err := parseEventPageToken(token)
		if err == nil && (eventPageToken(last) != token || last < 0) {
			t.Errorf("%q gave revision %d, whose token is %q", token, last, eventPageToken(last))
		}
		if _, refused := errors.AsType[*lifecycle.FieldError](err); err != nil && (!refused || last != 0) {
			t.Errorf("%q gave revision %d and %v", token, last, err)
		}
		place, err := parseDeliveryPageToken(token)
		if err == nil && (deliveryPageToken(*place) != token || place.Event.Revision < 1) {
			t.Errorf("%q gave the delivery %v, whose token is %q", token, place, deliveryPageToken(*place))
		}
		if last, err := parseEventPageToken(eventPageToken(revision)); revision >= 0 && (err != nil || last != revision) {
			t.Errorf("the token of revision %d gave %d, %v", revision, last, err)
		}
	})
}
