package lumaagents

import (
	"context"
	"errors"
	"net/http"
	"net/url"
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
	switch {
	case perr != nil && perr.Class == provider.NotFound && age < visibilityGrace:
		return provider.Status{Phase: provider.Running}, nil
	case perr != nil:
		return provider.Status{}, perr
	}
	if got := generation.Text("id"); got != "" && got != id {
		return provider.Status{}, unreadable(errors.New("answer is about another generation"), "")
	}
	switch generation.Text("state") {
	case stateQueued, stateProcessing:
		return provider.Status{Phase: provider.Running}, nil
	case stateCompleted:
		return provider.Status{Phase: provider.Succeeded, ResultURLs: results(generation)}, nil
	case stateFailed:
		return p.failure(generation), nil
	default:
		said := p.wire.Words("state " + string(generation["state"]))
		return provider.Status{}, unreadable(errors.New("unknown state"), said)
	}
}

// results returns the links to the videos among the outputs. An EXR export, which we don't ask for, would
// stand beside them.
func results(generation wire.Object) []string {
	var links []string
	for _, output := range generation.Objects("output") {
		kind, link := output.Text("type"), output.Text("url")
		if (kind == "video" || wire.IsNull(output["type"])) && wire.IsLink(link) {
			links = append(links, link)
		}
	}
	return links
}

// failure reads the end of a generation that failed. The failure code is a word and begins the message.
func (p *Provider) failure(generation wire.Object) provider.Status {
	code, message := generation.Text("failure_code"), generation.Text("failure_reason")
	switch {
	case message == "":
		message = code
	case code != "":
		message = code + ": " + message
	}
	return provider.Status{Phase: provider.Failed, Cause: causes[code], Message: p.wire.Words(message)}
}

func unreadable(err error, message string) *provider.Error {
	return &provider.Error{Class: provider.Unavailable, Op: string(wire.OpCheck), Message: message, Err: err}
}
