package kie

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// answer is the provider's envelope, and the HTTP answer that holds it.
type answer struct {
	wire.Answer
	code    int  // The body's code.
	hasCode bool // Whether the body had one.
	message string
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
	return p.wire.Judge(c, codes, wire.Refusal{
		Answer: a.Answer, Code: a.effectiveCode(), Message: a.message, Foreign: !a.hasCode,
	})
}

// parse reads an answer's body. A body that is not the envelope makes an answer without a code, whose
// message is the body itself.
func parse(got wire.Answer) answer {
	a := answer{Answer: got}
	if a.Err != nil {
		return a
	}
	envelope, ok := wire.DecodeObject(a.Body)
	if !ok {
		a.message = string(a.Body)
		a.Err = errors.New("answer is not a JSON object")
		return a
	}
	a.code, a.hasCode = envelope.Integer("code")
	a.message = cmp.Or(envelope.AnyText("msg"), envelope.AnyText("message"))
	a.data = envelope["data"]
	if !a.hasCode {
		a.Err = errors.New("answer has no code")
		if a.message == "" {
			a.message = string(a.Body)
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

// echoSecrets finds the callback URL in the provider's echo of our request, which is an object or, more
// often, a string that holds one.
func echoSecrets(o wire.Object, key string) []string {
	return wire.CallbackSecrets(o.Object(key).Text("callBackUrl"))
}
