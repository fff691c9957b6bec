package luma

import (
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/lumalabs"
	"github.com/refract-video/refract/internal/provider/wire"
)

// codes returns what every HTTP status means when it is an error.
func codes() wire.Table {
	return lumalabs.Codes(
		// The key may not do this. Without an error body it is a firewall's, see wire.Client.Judge.
		lumalabs.Row(403, 403, wire.Credentials, wire.Credentials),
		// The legacy API is switched off.
		lumalabs.Row(410, 410, wire.Disabled, wire.Unavailable),
	)
}

// causes are the failure reasons that Luma documents and that tell more than "it failed". The first whose
// words stand in a generation's failure_reason, in whatever case, counts. The reason is free text, so a
// match decides what callers see and nothing else.
var causes = []struct {
	words string
	cause provider.Cause
}{
	{"contains blacklisted words", provider.CauseModerated},
	{"advanced prompt moderation failed", provider.CauseModerated},
	{"frame moderation failed", provider.CauseModerated},
	{"failed to read user input frames", provider.CauseInputUnreachable},
}
