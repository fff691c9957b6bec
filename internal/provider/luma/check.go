package luma

import (
	"context"
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

// Check asks for a generation: one GET, at most 15 s. One that is not visible within two minutes of its
// submission is Running, and NotFound after that. A state that we don't know is Unavailable.
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
	return p.wire.ReadTask(generation, perr, asked, p.readGeneration, echoSecrets(generation)...)
}
