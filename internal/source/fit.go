package source

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/catalog"
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

// usable returns an UnfitError for a clip that no provider can work with.
func usable(c task.Clip) error {
	switch {
	case c.Flaw != "":
		return &UnfitError{task.InputUnsupported, "the source can't be used: " + c.Flaw, true}
	case !strings.HasPrefix(c.ContentType, "video/"):
		return &UnfitError{task.InputUnsupported, fmt.Sprintf("the source is no video but %s", c.ContentType), true}
	default:
		return nil
	}
}

// fit returns an UnfitError for a clip that an offering does not take, as far as both are known.
func fit(o *catalog.Offering, c task.Clip) error {
	takes := o.Source
	unfit := func(reason task.Reason, has, limit string) error {
		return &UnfitError{reason, fmt.Sprintf("the source %s; provider %s takes %s (%s)", has, o.Provider, limit, o.Model), false}
	}
	long, short := max(c.Width, c.Height), min(c.Width, c.Height)
	ratio := 0.0
	if c.Height > 0 {
		ratio = float64(c.Width) / float64(c.Height)
	}
	size := fmt.Sprintf("has %d × %d pixels", c.Width, c.Height)
	switch {
	case len(takes.Types) > 0 && !slices.Contains(takes.Types, c.ContentType):
		return unfit(task.InputUnsupported, "is "+c.ContentType, strings.Join(takes.Types, ", "))
	case takes.MaxBytes > 0 && c.SizeBytes > takes.MaxBytes:
		return unfit(task.InputTooLarge, "has "+megabytes(c.SizeBytes), "at most "+megabytes(takes.MaxBytes))
	case takes.MaxDuration > 0 && c.Duration > takes.MaxDuration+durationSlack:
		return unfit(task.InputTooLong, "has "+seconds(c.Duration), "at most "+seconds(takes.MaxDuration))
	case c.Duration > 0 && c.Duration < takes.MinDuration-durationSlack:
		return unfit(task.InputUnsupported, "has "+seconds(c.Duration), "at least "+seconds(takes.MinDuration))
	case short == 0: // Its size is unknown.
		return nil
	case short < takes.MinSide:
		return unfit(task.InputUnsupported, size, fmt.Sprintf("at least %d on the shorter side", takes.MinSide))
	case takes.MaxSide > 0 && long > takes.MaxSide:
		return unfit(task.InputUnsupported, size, fmt.Sprintf("at most %d on the longer side", takes.MaxSide))
	case takes.MaxPixels > 0 && c.Width*c.Height > takes.MaxPixels:
		return unfit(task.InputUnsupported, size, fmt.Sprintf("at most %d in all", takes.MaxPixels))
	case ratio < takes.MinRatio, takes.MaxRatio > 0 && ratio > takes.MaxRatio:
		return unfit(task.InputUnsupported, size, fmt.Sprintf("ratios of width to height from %g to %g", takes.MinRatio, takes.MaxRatio))
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
