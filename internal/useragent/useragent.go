// Package useragent names the product in requests to other parties, since firewalls refuse clients without a name.
package useragent

import (
	"runtime/debug"
	"strings"
)

// Text is the value of the header User-Agent, with the version of the program.
var Text = "Refract/" + version() + " (+https://github.com/refract-video/refract)"

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || strings.HasPrefix(info.Main.Version, "(") {
		return "dev"
	}
	return info.Main.Version
}
