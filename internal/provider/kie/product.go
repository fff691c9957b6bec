package kie

import (
	"maps"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// modifyRemote is the remote name of Luma Modify. Every other remote name is a model of the market.
const modifyRemote = "modify/generate"

// product is a pair of calls that sells models: one takes a task, and one reports on it. All products share the account, its
// limits, the form of answers, and the signature of callbacks.
type product struct {
	submitPath, checkPath string
	body                  func(s provider.Submission) map[string]any
	read                  func(p *Provider, a answer, record wire.Object) (provider.Status, *provider.Error)
}

// The products. Modify takes the inputs and the callback URL in one object, and the market takes them as an object of their own.
var (
	modifyProduct = product{
		submitPath: "/api/v1/modify/generate", checkPath: "/api/v1/modify/record-info",
		body: modifyBody, read: (*Provider).readModification,
	}
	marketProduct = product{
		submitPath: "/api/v1/jobs/createTask", checkPath: "/api/v1/jobs/recordInfo",
		body: marketBody, read: (*Provider).readJob,
	}
)

// productOf returns the product that sells a model. An attempt of a release that did not record the model is one of Luma Modify.
func productOf(remote string) product {
	if remote == "" || remote == modifyRemote {
		return modifyProduct
	}
	return marketProduct
}

func modifyBody(s provider.Submission) map[string]any {
	body := maps.Clone(s.Inputs)
	if s.CallbackURL != "" {
		body["callBackUrl"] = s.CallbackURL // With a capital B.
	}
	return body
}

func marketBody(s provider.Submission) map[string]any {
	body := map[string]any{"model": s.Remote, "input": s.Inputs}
	if s.CallbackURL != "" {
		body["callBackUrl"] = s.CallbackURL
	}
	return body
}
