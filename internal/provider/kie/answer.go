package kie

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/redact"
)

// confidential returns the fields that no error and no record may show. Callbacks of some pages name the account's balance [D].
func confidential() []string { return []string{"remainedCredits"} }

// answer is the provider's envelope, and the HTTP answer that holds it.
type answer struct {
	wire.Answer
	code    int  // The body's code.
	hasCode bool // Whether the body had one.
	message string
	root    wire.Object     // The whole body, if it is an object.
	data    json.RawMessage // Undecoded: on errors it may be anything.
}

// call makes one HTTP request and judges what came back. The answer is returned with the error too.
func (p *Provider) call(ctx context.Context, c wire.Call) (answer, *provider.Error) {
	got, perr := p.wire.Do(ctx, c)
	if perr != nil {
		return answer{}, perr
	}
	a := parse(got)
	return a, p.judge(c, a)
}

// judge returns nil for a success, and else the error that the answer stands for. A 403 without the
// provider's envelope comes from the Cloudflare in front of it, whose error 1010 dislikes the User-Agent.
func (p *Provider) judge(c wire.Call, a answer) *provider.Error {
	if a.ok() {
		return nil
	}
	perr := p.wire.Judge(c, codes, wire.Refusal{
		Answer: a.Answer, Code: a.effectiveCode(), Message: a.message, Foreign: !a.hasCode,
	})
	if perr.Class == provider.ModelWithdrawn && !a.hasCode {
		perr.Class = foreignClass(perr.Code)
	}
	return perr
}

// foreignClass returns what the code of a withdrawn model means for a submission if the answer has no envelope.
//
// NOTE: a proxy may have answered, or the base URL is wrong. Such an answer says nothing about the model: read as its
// withdrawal, it would close every offering of the provider. A 404 still refuses the request, since no API took it. Without
// the envelope, 455 and 505 do not have the provider's meaning (HTTP's 505 is "version not supported"), and a proxy may have
// forwarded the request before it answered.
func foreignClass(code int) provider.Class {
	if code == http.StatusNotFound {
		return provider.Rejected
	}
	return provider.Ambiguous
}

// parse reads an answer's body. A body that is not the envelope makes an answer without a code, whose
// message is the body itself.
func parse(got wire.Answer) answer {
	a := answer{Answer: got}
	if a.Err != nil {
		return a
	}
	envelope, ok := wire.DecodeObject(a.Body)
	raw := string(redact.Fields(a.Body, confidential()...))
	if !ok {
		a.message = raw
		a.Err = errors.New("answer is not a JSON object")
		return a
	}
	a.root = envelope
	a.code, a.hasCode = envelope.Integer("code")
	a.message = cmp.Or(envelope.AnyText("msg"), envelope.AnyText("message"))
	a.data = envelope["data"]
	if !a.hasCode {
		a.Err = errors.New("answer has no code")
		if a.message == "" {
			a.message = raw
		}
	}
	return a
}

// ok reports whether the provider did what it was asked: both the HTTP status and the code must say so.
func (a answer) ok() bool {
	return a.Status >= 200 && a.Status <= 299 && a.hasCode && a.code == http.StatusOK
}

// effectiveCode is the body's code where it is an error, else the HTTP status.
func (a answer) effectiveCode() int {
	if a.hasCode && a.code != http.StatusOK {
		return a.code
	}
	return a.Status
}

// echoSecrets finds the callback URL in the provider's echoes of our request. Each is an object or, more often, a string that
// holds one, and that of the market holds the input in the same way.
func echoSecrets(o wire.Object) (secrets []string) {
	for _, key := range []string{"param", "paramJson", "promptJson"} {
		request := o.Object(key)
		for _, level := range []wire.Object{request, request.Object("input")} {
			secrets = append(secrets, wire.CallbackSecrets(level.Text("callBackUrl"))...)
		}
	}
	return secrets
}
