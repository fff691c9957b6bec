package luma

import (
	"strings"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// The states of a generation.
const (
	stateQueued    = "queued"
	stateDreaming  = "dreaming"
	stateCompleted = "completed"
	stateFailed    = "failed"
)

// readGeneration returns what a generation says of itself, as answers and callbacks carry it, and false where
// its state is none that we know.
func (p *Provider) readGeneration(generation wire.Object) (provider.Status, bool) {
	switch generation.Word("state") {
	case stateQueued, stateDreaming:
		return provider.Status{Phase: provider.Running}, true
	case stateCompleted:
		return p.results(generation), true
	case stateFailed:
		message := p.wire.Words(generation.Said("failure_reason"), echoSecrets(generation)...)
		return provider.Status{Phase: provider.Failed, Cause: causeOf(message), Message: message}, true
	default:
		return provider.Status{}, false
	}
}

// results returns the link to the video. The image and the progress video beside it are no results.
func (p *Provider) results(generation wire.Object) provider.Status {
	assets, ok := wire.AsObject(generation["assets"])
	if !ok {
		return p.wire.Unread(generation, "assets", echoSecrets(generation)...)
	}
	return p.wire.Success(assets, "video", echoSecrets(generation)...)
}

func causeOf(reason string) provider.Cause {
	reason = strings.ToLower(reason)
	for _, c := range causes {
		if strings.Contains(reason, c.words) {
			return c.cause
		}
	}
	return provider.CauseUnspecified
}

// echoSecrets finds the callback URL in the provider's echo of our request.
func echoSecrets(generation wire.Object) []string {
	return wire.CallbackSecrets(generation.Object("request").Text("callback_url"))
}
