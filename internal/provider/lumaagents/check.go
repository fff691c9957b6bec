package lumaagents

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

const checkPath = "/generations/"

// visibilityGrace is how long a generation may stay invisible after its submission. No gap is documented or
// was seen; but a 404 that is believed too early gives a paid attempt up [I].
const visibilityGrace = 2 * time.Minute

// The states of a generation.
const (
	stateQueued     = "queued"
	stateProcessing = "processing"
	stateCompleted  = "completed"
	stateFailed     = "failed"
)

// Check asks for a generation: one GET, at most 15 s. One that is not visible within two minutes of its
// submission is Running, and NotFound after that. A state that we don't know is Unavailable.
//
// The links of one that Succeeded work for an hour; every check mints fresh ones.
func (p *Provider) Check(ctx context.Context, providerTaskID string, submitted time.Time) (provider.Status, error) {
	generation, perr := p.wire.CallObject(ctx, wire.Call{
		Op:      wire.OpCheck,
		Method:  http.MethodGet,
		Path:    checkPath + url.PathEscape(providerTaskID),
		Timeout: wire.QuestionTimeout,
	}, codes)
	status, perr := p.readCheck(generation, perr, providerTaskID, time.Since(submitted))
	if perr != nil {
		return provider.Status{}, perr
	}
	return status, nil
}

// readCheck turns the answer to a check, or the error it stands for, into a status of a generation that was
// submitted age ago.
func (p *Provider) readCheck(
	generation wire.Object, perr *provider.Error, id string, age time.Duration,
) (provider.Status, *provider.Error) {
	asked := wire.Task{ID: id, Age: age, Grace: visibilityGrace}
	return p.wire.ReadTask(generation, perr, asked, p.readGeneration)
}

// readGeneration returns what a generation says of itself, and false where its state is none that we know.
func (p *Provider) readGeneration(generation wire.Object) (provider.Status, bool) {
	switch generation.Word("state") {
	case stateQueued, stateProcessing:
		return provider.Status{Phase: provider.Running}, true
	case stateCompleted:
		return p.wire.Success(generation, "output"), true // Without the EXR export, which we don't ask for.
	case stateFailed:
		return p.failure(generation), true
	default:
		return provider.Status{}, false
	}
}

// failure reads the end of a generation that failed. The failure code is a word and begins the message.
func (p *Provider) failure(generation wire.Object) provider.Status {
	code, message := generation.Said("failure_code"), generation.Said("failure_reason")
	switch {
	case message == "":
		message = code
	case code != "":
		message = code + ": " + message
	}
	return provider.Status{Phase: provider.Failed, Cause: causes[strings.ToLower(strings.TrimSpace(code))], Message: p.wire.Words(message)}
}
