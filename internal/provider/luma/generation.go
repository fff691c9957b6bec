package luma

import (
	"strings"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// results returns the link to the video. The image and the progress video are no results.
func results(c *wire.Client, generation wire.Object) provider.Status {
	assets, ok := wire.AsObject(generation["assets"])
	if !ok {
		return c.Unread(generation, "assets", echoSecrets(generation)...)
	}
	return c.Success(assets, "video", echoSecrets(generation)...)
}

// failure reads the reason of a generation that failed.
func failure(c *wire.Client, generation wire.Object) provider.Status {
	message := c.Redact(generation.AnyText("failure_reason"), echoSecrets(generation)...)
	return provider.Status{Phase: provider.Failed, Cause: causeOf(message), Message: message}
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
