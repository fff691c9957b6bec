package wire

import (
	"errors"
	"net/http"

	"github.com/refract-video/refract/internal/provider"
)

// Verdict is what a code means for one operation.
type Verdict struct {
	Class provider.Class
	Pause provider.Pause // Why the account can't submit, for AccountBlocked.
	Input bool           // Whether the prompt or the source is what was refused, for Rejected.
}

// The verdicts that tables are made of. For a submission the question is what a code proves about money:
// Rejected, BadInput, Withdrawn, RateLimited and the blocked accounts say that nothing was created, and all that is
// not proof is Ambiguous.
var (
	Ambiguous   = Verdict{Class: provider.Ambiguous}
	Rejected    = Verdict{Class: provider.Rejected}
	BadInput    = Verdict{Class: provider.Rejected, Input: true}
	RateLimited = Verdict{Class: provider.RateLimited}
	GenFailed   = Verdict{Class: provider.GenerationFailed}
	Withdrawn   = Verdict{Class: provider.ModelWithdrawn}
	NotFound    = Verdict{Class: provider.NotFound}
	Unavailable = Verdict{Class: provider.Unavailable}

	Credentials = Verdict{Class: provider.AccountBlocked, Pause: provider.PauseCredentials}
	Credits     = Verdict{Class: provider.AccountBlocked, Pause: provider.PauseCredits}
	Quota       = Verdict{Class: provider.AccountBlocked, Pause: provider.PauseQuota}
	Maintenance = Verdict{Class: provider.AccountBlocked, Pause: provider.PauseMaintenance}
	Disabled    = Verdict{Class: provider.AccountBlocked, Pause: provider.PauseDisabled}
	Blocked     = Verdict{Class: provider.AccountBlocked, Pause: provider.PauseBlocked}
)

// Row gives the verdicts for the codes From..To, one for each operation. Link is the verdict for all that is free
// and may be asked again: uploads, too.
type Row struct {
	From, To            int
	Submit, Check, Link Verdict
}

// Table is what every code of a provider means when it is an error. The first row that fits counts, and the
// last one fits everything.
type Table []Row

func (t Table) verdict(op Op, code int) Verdict {
	for _, r := range t {
		if code < r.From || r.To < code {
			continue
		}
		switch op {
		case OpCheck, OpFunds:
			return r.Check
		case OpLink, OpUpload, OpKeys:
			return r.Link
		case OpSubmit:
		}
		return r.Submit
	}
	return Ambiguous
}

// Refusal is an answer that is no success, as the adapter read it.
type Refusal struct {
	Answer
	Code    int    // What the table is asked about: the code of the body where there is one, else the HTTP status.
	Message string // The provider's text, not redacted.
	Foreign bool   // Whether the body is not in the provider's form, so that something else may have answered.
}

// Judge returns the error that a refusal stands for. A 403 that is foreign comes from something in front of
// the provider, such as a firewall, and the request never reached the API.
func (c *Client) Judge(call Call, codes Table, r Refusal) *provider.Error {
	firewall := r.Status == http.StatusForbidden && r.Foreign
	v := codes.verdict(call.Op, r.Code)
	if firewall {
		v = Blocked
	}
	e := &provider.Error{
		Class:      v.Class,
		Pause:      v.Pause,
		Input:      v.Input,
		Op:         string(call.Op),
		Code:       r.Code,
		Message:    c.Redact(r.Message, call.Secrets...),
		RetryAfter: r.RetryAfter,
	}
	switch {
	case firewall:
		e.Message = provider.TrimMessage(
			"turned away before the API, perhaps by a firewall that dislikes our User-Agent or address: " + e.Message)
	case r.Status >= 300 && r.Status <= 399:
		e.Err = errors.New("redirect not followed; is the base URL right?")
	case r.Err != nil:
		e.Err = c.cause(r.Err, call.Secrets)
	}
	return e
}
