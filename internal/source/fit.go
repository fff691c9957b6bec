package source

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// UnfitError says why a provider can't work with a source. Nothing was sent to it.
type UnfitError struct {
	Reason     task.Reason
	Message    string // A sentence for the caller, with figures.
	Everywhere bool   // Whether no other provider could work with it either.
}

// Error returns the reason.
func (e *UnfitError) Error() string { return e.Message }

// durationSlack is by how much a source may be longer than a provider takes: containers count the last frame and the
// padding of the sound, so clips that were cut at 10 s have a little more.
const durationSlack = 250 * time.Millisecond

// fit returns an UnfitError when a provider with these capabilities does not take a clip, as far as both are known.
func fit(name string, caps provider.Capabilities, c task.Clip) error {
	switch {
	case c.Flaw != "":
		return &UnfitError{task.InputUnsupported, "the source can't be used: " + c.Flaw, true}
	case len(caps.SourceTypes) > 0 && !slices.Contains(caps.SourceTypes, c.ContentType):
		return &UnfitError{task.InputUnsupported, fmt.Sprintf("the source is %s; provider %s takes %s",
			c.ContentType, name, strings.Join(caps.SourceTypes, ", ")), false}
	case len(caps.SourceTypes) == 0 && !strings.HasPrefix(c.ContentType, "video/"):
		return &UnfitError{task.InputUnsupported, fmt.Sprintf("the source is no video but %s", c.ContentType), true}
	case c.SizeBytes > caps.MaxSourceBytes:
		return &UnfitError{task.InputTooLarge, fmt.Sprintf("the source has %s; provider %s takes at most %s",
			megabytes(c.SizeBytes), name, megabytes(caps.MaxSourceBytes)), false}
	case c.Duration > caps.MaxSourceDuration+durationSlack:
		return &UnfitError{task.InputTooLong, fmt.Sprintf("the source has %s; provider %s takes at most %s",
			seconds(c.Duration), name, seconds(caps.MaxSourceDuration)), false}
	default:
		return nil
	}
}

// megabytes is a size as people and providers count it, rounded up so that what is over a limit looks so.
func megabytes(n int64) string { return figure((n+999)/1000) + " MB" }

func seconds(d time.Duration) string { return figure((d + time.Millisecond - 1).Milliseconds()) + " s" }

// figure writes a number of thousandths.
func figure(thousandths int64) string {
	return strconv.FormatFloat(float64(thousandths)/1000, 'f', -1, 64)
}
