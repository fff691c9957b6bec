package console

import (
	"slices"
	"strconv"
	"strings"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// submitModel is a model as pages show it.
type submitModel struct {
	Name, Title, Description string
	Available                bool // Whether an offering takes tasks.
	Offerings                []submitOffering
}

// Warnings returns what a person should know before using the model.
func (m submitModel) Warnings() []string {
	var warnings []string
	for _, o := range m.Offerings {
		if o.Warning != "" {
			warnings = append(warnings, o.Warning)
		}
	}
	return warnings
}

// submitOffering is an offering as pages show it.
type submitOffering struct {
	Provider   string
	Remote     string
	InRoute    bool
	TakesTasks bool
	State      string // In words.
	Badge      string // The colour of State.
	Message    string // Why it is in this state.
	Price      string // Empty where it is unknown, like the next two.
	Duration   string
	Limits     string
	Warning    string // When the provider withdraws it; empty for a long life.
}

func viewModel(m *refractv1.Model) submitModel {
	shown := submitModel{Name: m.GetName(), Title: m.GetTitle(), Description: m.GetDescription()}
	if shown.Title == "" {
		shown.Title = shown.Name
	}
	for _, o := range m.GetOfferings() {
		shown.Available = shown.Available || takesTasks(o)
		shown.Offerings = append(shown.Offerings, submitOffering{
			Provider: o.GetProvider(), Remote: o.GetRemoteName(), InRoute: slices.Contains(m.GetRoute(), o.GetProvider()),
			TakesTasks: takesTasks(o), State: availabilityWord(o), Badge: availabilityBadge(o), Message: o.GetAvailability().GetMessage(),
			Price: priceText(o.GetPrice()), Duration: durationText(o), Limits: sourceLimits(o), Warning: lifecycleWarning(o),
		})
	}
	return shown
}

// takesTasks reports whether tasks can be sent to an offering now.
func takesTasks(o *refractv1.Offering) bool {
	switch o.GetAvailability().GetState() {
	case refractv1.AvailabilityState_AVAILABILITY_STATE_AVAILABLE, refractv1.AvailabilityState_AVAILABILITY_STATE_DEPRECATED:
		return true
	default:
		return false
	}
}

func availabilityWord(o *refractv1.Offering) string {
	return strings.ToLower(strings.ReplaceAll(word("AVAILABILITY_STATE_", o.GetAvailability().GetState()), "_", " "))
}

func availabilityBadge(o *refractv1.Offering) string {
	switch o.GetAvailability().GetState() {
	case refractv1.AvailabilityState_AVAILABILITY_STATE_AVAILABLE:
		return "OK"
	case refractv1.AvailabilityState_AVAILABILITY_STATE_DEPRECATED:
		return "WAIT"
	case refractv1.AvailabilityState_AVAILABILITY_STATE_CLOSED, refractv1.AvailabilityState_AVAILABILITY_STATE_RETIRED:
		return "BAD"
	default:
		return ""
	}
}

var priceUnits = map[refractv1.PriceUnit]string{
	refractv1.PriceUnit_PRICE_UNIT_INPUT_SECOND:            "second of the source",
	refractv1.PriceUnit_PRICE_UNIT_OUTPUT_SECOND:           "second of the output",
	refractv1.PriceUnit_PRICE_UNIT_INPUT_AND_OUTPUT_SECOND: "second of source and output together",
	refractv1.PriceUnit_PRICE_UNIT_MEGAPIXEL:               "million pixels of the output",
	refractv1.PriceUnit_PRICE_UNIT_RUN:                     "attempt",
}

func priceText(p *refractv1.Price) string {
	if p == nil {
		return ""
	}
	text := p.GetAmount() + " " + p.GetCurrency() + " per " + priceUnits[p.GetUnit()]
	if p.GetNote() != "" {
		text += " (" + p.GetNote() + ")"
	}
	return text + doubt(p.GetFact())
}

// durationText returns how long an attempt takes: as the service has learned it, or else by the catalog.
func durationText(o *refractv1.Offering) string {
	switch {
	case o.GetTypicalDuration() != nil:
		return "about " + formatDuration(o.GetTypicalDuration().AsDuration()) + ", as measured"
	case o.GetUsualDuration() != nil:
		return "about " + formatDuration(o.GetUsualDuration().GetDuration().AsDuration()) + doubt(o.GetUsualDuration().GetFact())
	default:
		return ""
	}
}

// doubt says how uncertain a figure is.
func doubt(f *refractv1.Fact) string {
	switch f.GetCertainty() {
	case refractv1.Certainty_CERTAINTY_CONTRADICTED:
		return " (the provider's pages differ)"
	case refractv1.Certainty_CERTAINTY_REPORTED:
		return " (reported by others)"
	case refractv1.Certainty_CERTAINTY_GUESS:
		return " (a guess)"
	default:
		return ""
	}
}

// sourceLimits returns what sources and prompts an offering takes.
func sourceLimits(o *refractv1.Offering) string {
	s := o.GetSource()
	var parts []string
	low, high := s.GetMinDuration().AsDuration(), s.GetMaxDuration().AsDuration()
	switch {
	case low > 0 && high > 0:
		parts = append(parts, secondsText(low)+" to "+secondsText(high)+" s")
	case high > 0:
		parts = append(parts, "up to "+secondsText(high)+" s")
	case low > 0:
		parts = append(parts, "at least "+secondsText(low)+" s")
	}
	if s.GetMaxBytes() > 0 {
		parts = append(parts, "up to "+formatBytes(s.GetMaxBytes()))
	}
	switch {
	case s.GetMinSide() > 0 && s.GetMaxSide() > 0:
		parts = append(parts, "sides of "+strconv.Itoa(int(s.GetMinSide()))+" to "+strconv.Itoa(int(s.GetMaxSide()))+" pixels")
	case s.GetMaxSide() > 0:
		parts = append(parts, "sides up to "+strconv.Itoa(int(s.GetMaxSide()))+" pixels")
	case s.GetMinSide() > 0:
		parts = append(parts, "sides from "+strconv.Itoa(int(s.GetMinSide()))+" pixels")
	}
	if n := s.GetMaxPixels(); n > 0 {
		parts = append(parts, "frames up to "+strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64)+" million pixels")
	}
	if s.GetMinRatio() > 0 && s.GetMaxRatio() > 0 {
		parts = append(parts, "width to height "+numberText(s.GetMinRatio())+" to "+numberText(s.GetMaxRatio()))
	}
	if len(s.GetTypes()) > 0 {
		parts = append(parts, strings.Join(mediaNames(s.GetTypes()), ", "))
	}
	return strings.Join(parts, " · ")
}

// mediaNames returns media types in short.
func mediaNames(types []string) []string {
	names := make([]string, len(types))
	for i, t := range types {
		_, name, _ := strings.Cut(t, "/")
		switch name = strings.TrimPrefix(name, "x-"); name {
		case "quicktime":
			name = "mov"
		case "msvideo":
			name = "avi"
		case "matroska":
			name = "mkv"
		}
		names[i] = strings.ToUpper(name)
	}
	return names
}

func secondsText(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }

// lifecycleWarning returns that an offering is withdrawn, or soon will be.
func lifecycleWarning(o *refractv1.Offering) string {
	l := o.GetLifecycle()
	if o.GetAvailability().GetState() != refractv1.AvailabilityState_AVAILABILITY_STATE_DEPRECATED && !l.GetRetiresSoon() {
		return ""
	}
	text := o.GetProvider() + " advises against this model"
	if l.GetRetireTime() != nil {
		text = o.GetProvider() + " retires this model on " + l.GetRetireTime().AsTime().Format("2 January 2006")
	} else if l.GetDeprecateTime() != nil {
		text += " since " + l.GetDeprecateTime().AsTime().Format("2 January 2006")
	}
	text += doubt(l.GetFact()) + "."
	if l.GetReplacedBy() != "" {
		text += " Use " + l.GetReplacedBy() + " instead."
	}
	return text
}
