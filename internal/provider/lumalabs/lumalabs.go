// Package lumalabs contains the common parts of the adapters of Luma's two APIs.
//
// Neither API has an envelope: errors are real HTTP statuses with a JSON body that holds "detail". The answer to a submission
// is a generation with an id. A check by that id returns the generation with its current state. Neither API documents an
// idempotency key or a way to renew links. Both accept the same strengths.
//
// In comments, [D] is what Luma documents, [T] what third parties saw, and [I] what we infer.
package lumalabs

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// VisibilityGrace is how long a generation may stay invisible after its submission. No such gap is documented or was seen.
// But an attempt that is already paid is lost if we believe a 404 too early [I].
const VisibilityGrace = 2 * time.Minute

// Spec has the parts that differ between the APIs.
type Spec struct {
	Name         string
	BaseURL      string // The default.
	Capabilities provider.Capabilities
	Codes        wire.Table // See [Codes].

	// Running is the API's name for the state of a generation that has started and has not ended.
	Running string
	// Results and Failure read a generation that is completed or failed.
	Results func(c *wire.Client, generation wire.Object) provider.Status
	Failure func(c *wire.Client, generation wire.Object) provider.Status
	// Secrets returns the values of a generation that must not appear in messages. Nil means that there are none.
	Secrets func(generation wire.Object) []string
}

// API is the common part of both adapters. It may be used concurrently.
type API struct {
	Wire         *wire.Client
	spec         Spec
	capabilities provider.Capabilities
}

// Open returns the API for an account. Its errors contain no secret of the configuration. Open sends no request.
func Open(cfg wire.Config, spec Spec) (*API, error) {
	cfg.BaseURL = cmp.Or(cfg.BaseURL, spec.BaseURL)
	client, caps, err := wire.Open(spec.Name, cfg, spec.Capabilities)
	if err != nil {
		return nil, err
	}
	return &API{Wire: client, spec: spec, capabilities: caps}, nil
}

// Name implements [provider.Provider].
func (a *API) Name() string { return a.spec.Name }

// Capabilities returns the documented capabilities of the API, with the configured limits and durations.
func (a *API) Capabilities() provider.Capabilities { return a.capabilities }

// CloseIdleConnections closes the connections to the API that no call uses. Later calls open new ones.
func (a *API) CloseIdleConnections() { a.Wire.CloseIdleConnections() }

// RefreshLink returns an error of class Rejected and sends no request: Luma does not renew links. A check returns the
// generation with its links again.
func (a *API) RefreshLink(context.Context, string) (string, error) {
	return "", &provider.Error{
		Class: provider.Rejected,
		Op:    string(wire.OpLink),
		Err:   errors.New("links can't be renewed; a check returns them again"),
	}
}

// Create sends a submission: one POST, at most 30 s. It succeeds only if the answer has an id. An answer that reports a
// created generation without its id is Ambiguous.
func (a *API) Create(ctx context.Context, path string, body any, secrets ...string) (provider.Receipt, error) {
	generation, perr := a.Wire.CallObject(ctx, wire.Call{
		Op:      wire.OpSubmit,
		Method:  http.MethodPost,
		Path:    path,
		Body:    body,
		Timeout: wire.SubmitTimeout,
		Secrets: secrets,
	}, a.spec.Codes)
	return wire.Created(generation, perr)
}

// Check asks for a generation: one GET, at most 15 s. An invisible generation is Running for two minutes after its
// submission, and NotFound after that. An unknown state is Unavailable.
func (a *API) Check(ctx context.Context, q provider.Query) (provider.Status, error) {
	generation, perr := a.Wire.CallObject(ctx, wire.Call{
		Op:      wire.OpCheck,
		Method:  http.MethodGet,
		Path:    "/generations/" + url.PathEscape(q.TaskID),
		Timeout: wire.QuestionTimeout,
	}, a.spec.Codes)
	status, perr := a.ReadCheck(generation, perr, q.TaskID, time.Since(q.Submitted))
	if perr != nil {
		return provider.Status{}, perr
	}
	return status, nil
}

// ReadCheck returns the status of a generation that was submitted age ago. It reads the status from the answer to a check, or
// from the error of the check.
func (a *API) ReadCheck(
	generation wire.Object, perr *provider.Error, id string, age time.Duration,
) (provider.Status, *provider.Error) {
	asked := wire.Task{ID: id, Age: age, Grace: VisibilityGrace}
	return a.Wire.ReadTask(generation, perr, asked, a.ReadGeneration, a.secrets(generation)...)
}

// ReadGeneration returns the status of a generation from an answer or a callback. It returns false for an unknown state.
func (a *API) ReadGeneration(generation wire.Object) (provider.Status, bool) {
	switch generation.Word("state") {
	case "queued", a.spec.Running:
		return provider.Status{Phase: provider.Running}, true
	case "completed":
		return a.spec.Results(a.Wire, generation), true
	case "failed":
		return a.spec.Failure(a.Wire, generation), true
	default:
		return provider.Status{}, false
	}
}

func (a *API) secrets(generation wire.Object) []string {
	if a.spec.Secrets == nil {
		return nil
	}
	return a.spec.Secrets(generation)
}
