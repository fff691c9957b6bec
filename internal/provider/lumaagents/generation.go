package lumaagents

import (
	"strings"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// results returns the links of a generation, without the EXR export, which we don't request. They are valid for an hour.
// Every check returns new ones.
func results(c *wire.Client, generation wire.Object) provider.Status {
	return c.Success(generation, "output")
}

// failure returns the status of a failed generation. The failure code is a word, and the message begins with it.
func failure(c *wire.Client, generation wire.Object) provider.Status {
	code, message := generation.AnyText("failure_code"), generation.AnyText("failure_reason")
	switch {
	case message == "":
		message = code
	case code != "":
		message = code + ": " + message
	}
	return provider.Status{Phase: provider.Failed, Cause: causes[strings.ToLower(strings.TrimSpace(code))], Message: c.Redact(message)}
}
