package task

// Reason is why a task failed. The set of reasons is fixed.
type Reason string

// The reasons of a failure. FailureReason in the contract describes the meaning of each for
// callers.
const (
	InputRejected     Reason = "INPUT_REJECTED"
	ProviderRejected  Reason = "PROVIDER_REJECTED"
	ProviderFailed    Reason = "PROVIDER_FAILED"
	OutcomeUnknown    Reason = "OUTCOME_UNKNOWN"
	DeadlineExceeded  Reason = "DEADLINE_EXCEEDED"
	OutputUnavailable Reason = "OUTPUT_UNAVAILABLE"
	OutputInvalid     Reason = "OUTPUT_INVALID"

	ContentModerated    Reason = "CONTENT_MODERATED"
	InputUnsupported    Reason = "INPUT_UNSUPPORTED"
	InputTooLarge       Reason = "INPUT_TOO_LARGE"
	InputTooLong        Reason = "INPUT_TOO_LONG"
	InputUnreachable    Reason = "INPUT_UNREACHABLE"
	InsufficientCredits Reason = "INSUFFICIENT_CREDITS"
)

// Reasons has all reasons.
var Reasons = []Reason{
	InputRejected, ProviderRejected, ProviderFailed, OutcomeUnknown, DeadlineExceeded, OutputUnavailable, OutputInvalid,
	ContentModerated, InputUnsupported, InputTooLarge, InputTooLong, InputUnreachable, InsufficientCredits,
}

// Retryable reports whether a retry can help without changing the request.
func (r Reason) Retryable() bool {
	switch r {
	case InputRejected, ContentModerated, InputUnsupported, InputTooLarge, InputTooLong:
		return false
	default:
		return true
	}
}

// Payment is what is known about payment for an attempt.
type Payment string

// The values of Payment.
const (
	PaymentNone    Payment = "NONE"
	PaymentPaid    Payment = "PAID"
	PaymentUnknown Payment = "UNKNOWN"
)

// Failure is why a task failed.
type Failure struct {
	Reason  Reason
	Message string // One sentence. It may quote the provider, and contains no secret.
	Payment Payment
}
