// Package lumalabs is what the adapters of Luma's two APIs have in common.
//
// Neither API has an envelope: errors are real HTTP statuses with a JSON body that holds "detail". A submission answers with
// a generation, which a check returns again under its id, with a state of its own. Neither documents an idempotency key or an
// exchange of links, and both know the same strengths.
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

// DefaultStrength is the strength of a submission that names none.
const DefaultStrength = "flex_1"

// Strengths returns the strengths that both APIs take [D].
func Strengths() []string {
	return []string{
		"adhere_1", "adhere_2", "adhere_3", "flex_1", "flex_2", "flex_3", "reimagine_1", "reimagine_2", "reimagine_3",
	}
}

// VisibilityGrace is how long a generation may stay invisible after its submission. No gap is documented or was seen; but a
// 404 that is believed too early gives a paid attempt up [I].
const VisibilityGrace = 2 * time.Minute

// Spec is what one of the APIs has of its own.
type Spec struct {
	Name         string
	BaseURL      string // The default.
	Capabilities provider.Capabilities
	Codes        wire.Table // See [Codes].

	// Running is the state of a generation that neither waits nor ended.
	Running string
	// Results and Failure read a generation that is completed or failed.
	Results func(c *wire.Client, generation wire.Object) provider.Status
	Failure func(c *wire.Client, generation wire.Object) provider.Status
	// Secrets returns what must not be repeated of a generation. Nil means that it holds no secret.
	Secrets func(generation wire.Object) []string
}

// API is the common part of both adapters. It may be used concurrently.
type API struct {
	Wire         *wire.Client
	spec         Spec
	capabilities provider.Capabilities
}

// Open returns the API for an account. An error quotes no secret of the configuration. Open makes no request.
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

// Capabilities returns what the API is documented to take and give, with the configured limits and durations.
func (a *API) Capabilities() provider.Capabilities { return a.capabilities }

// CloseIdleConnections closes the connections to the API that no call uses. More are made when there are more calls.
func (a *API) CloseIdleConnections() { a.Wire.CloseIdleConnections() }

// RefreshLink refuses, with class Rejected and without a request: Luma exchanges no links. A check returns the generation
// with its links again.
func (a *API) RefreshLink(context.Context, string) (string, error) {
	return "", &provider.Error{
		Class: provider.Rejected,
		Op:    string(wire.OpLink),
		Err:   errors.New("links can't be exchanged; a check returns them again"),
	}
}

// Create sends a submission: one POST, at most 30 s. It succeeds only with an id in hand; an answer that says a generation
// was created and does not name it is Ambiguous.
func (a *API) Create(ctx context.Context, path string, body any, secrets ...string) (string, error) {
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

// Check asks for a generation: one GET, at most 15 s. One that is not visible within two minutes of its submission is
// Running, and NotFound after that. A state that we don't know is Unavailable.
func (a *API) Check(ctx context.Context, providerTaskID string, submitted time.Time) (provider.Status, error) {
	generation, perr := a.Wire.CallObject(ctx, wire.Call{
		Op:      wire.OpCheck,
		Method:  http.MethodGet,
		Path:    "/generations/" + url.PathEscape(providerTaskID),
		Timeout: wire.QuestionTimeout,
	}, a.spec.Codes)
	status, perr := a.ReadCheck(generation, perr, providerTaskID, time.Since(submitted))
	if perr != nil {
		return provider.Status{}, perr
	}
	return status, nil
}

// ReadCheck returns the status of a generation that was submitted age ago, as the answer to a check, or the error in its
// place, shows it.
func (a *API) ReadCheck(
	generation wire.Object, perr *provider.Error, id string, age time.Duration,
) (provider.Status, *provider.Error) {
	asked := wire.Task{ID: id, Age: age, Grace: VisibilityGrace}
	return a.Wire.ReadTask(generation, perr, asked, a.ReadGeneration, a.secrets(generation)...)
}

// ReadGeneration returns the status that a generation has, as answers and callbacks carry it, and false where its state is
// none that we know.
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
