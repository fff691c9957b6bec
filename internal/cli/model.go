package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/refract-video/refract/client"
	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Model shows the models that tasks can name.
type Model struct {
	List modelListCmd `cmd:"" help:"Show the models and their offerings at the providers that the service has accounts at."`
	Get  modelGetCmd  `cmd:"" help:"Show a model with all its offerings: limits, prices, dates and the schema of its parameters."`

	Close modelCloseCmd `cmd:"" help:"Send no tasks to an offering until it is opened. Queued tasks move on to the next provider of their route, or wait. For operators."`
	Open  modelOpenCmd  `cmd:"" help:"Open an offering, whether an operator or the service closed it. For operators."`
}

type modelListCmd struct {
	clientFlags

	Provider string `name:"provider" help:"Show models that this provider offers."`
	All      bool   `name:"all" help:"Show offerings without an account and retired ones, too."`
}

// Run lists the models.
func (c *modelListCmd) Run(ctx context.Context, con Console) error {
	return c.connected(func(service *client.Client) error {
		var models []*refractv1.Model
		for req := (&refractv1.ListModelsRequest{PageSize: maxPage, Provider: c.Provider, IncludeUnavailable: c.All}); ; {
			resp, err := service.Models().ListModels(ctx, req)
			if err != nil {
				return err
			}
			models = append(models, resp.GetModels()...)
			if req.PageToken = resp.GetNextPageToken(); req.GetPageToken() == "" {
				if len(models) == 0 && !c.JSON {
					return c.showNone(con.Out)
				}
				return c.showModels(con.Out, models...)
			}
		}
	})
}

type modelGetCmd struct {
	clientFlags

	Model string `arg:"" help:"Name of the model, such as luma/ray-2-modify, or a provider's own name of it."`
}

// Run shows a model.
func (c *modelGetCmd) Run(ctx context.Context, con Console) error {
	return c.connected(func(service *client.Client) error {
		resp, err := service.Models().GetModel(ctx, &refractv1.GetModelRequest{Model: c.Model})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(con.Out, resp.GetModel())
		}
		return printModel(con.Out, resp.GetModel())
	})
}

type modelCloseCmd struct {
	clientFlags

	Model    string `arg:"" help:"Name of the model, such as luma/ray-2-modify."`
	Provider string `arg:"" help:"Name of the provider at which it is closed."`
	Reason   string `required:"" help:"Why, in words that tenants read in what their tasks wait for."`
}

// Run closes the offering.
func (c *modelCloseCmd) Run(ctx context.Context, con Console) error {
	return c.operate(func(client refractv1.OperatorServiceClient) error {
		resp, err := client.CloseOffering(ctx, &refractv1.CloseOfferingRequest{Model: c.Model, Provider: c.Provider, Reason: c.Reason})
		if err != nil {
			return err
		}
		return c.showModels(con.Out, resp.GetModel())
	})
}

type modelOpenCmd struct {
	clientFlags

	Model    string `arg:"" help:"Name of the model, such as luma/ray-2-modify."`
	Provider string `arg:"" help:"Name of the provider at which it is opened."`
}

// Run opens the offering.
func (c *modelOpenCmd) Run(ctx context.Context, con Console) error {
	return c.operate(func(client refractv1.OperatorServiceClient) error {
		resp, err := client.OpenOffering(ctx, &refractv1.OpenOfferingRequest{Model: c.Model, Provider: c.Provider})
		if err != nil {
			return err
		}
		return c.showModels(con.Out, resp.GetModel())
	})
}

// showModels prints models as a table with a row for each offering, or as JSON.
func (f *clientFlags) showModels(w io.Writer, models ...*refractv1.Model) error {
	if f.JSON {
		return printLines(w, models)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "MODEL\tROUTE\tPROVIDER\tSTATE\tUSUALLY\tPRICE") // Flush returns the error of a failed write.
	for _, m := range models {
		for _, o := range m.GetOfferings() {
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", OneLine(m.GetName()), place(m, o), OneLine(o.GetProvider()),
				offeringState(o), cmp.Or(usually(o), "-"), cmp.Or(priceLine(o.GetPrice()), "-"))
		}
	}
	return table.Flush()
}

// showNone says that no model matches, and what to do.
func (c *modelListCmd) showNone(w io.Writer) error {
	text := "no model has an offering"
	if c.Provider != "" {
		text += " at " + OneLine(c.Provider)
	}
	if !c.All {
		text += " that the service can use; --all shows the others"
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// place returns the place of an offering in the route of its model.
func place(m *refractv1.Model, o *refractv1.Offering) string {
	for i, name := range m.GetRoute() {
		if name == o.GetProvider() {
			return strconv.Itoa(i + 1)
		}
	}
	return "-"
}

// offeringState returns the state of an offering, with the date of its end.
func offeringState(o *refractv1.Offering) string {
	state := strings.TrimPrefix(o.GetAvailability().GetState().String(), "AVAILABILITY_STATE_")
	if retire := date(o.GetLifecycle().GetRetireTime()); retire != "" && o.GetAvailability().GetState() == refractv1.AvailabilityState_AVAILABILITY_STATE_DEPRECATED {
		state += " until " + retire
	}
	return state
}

// usually returns how long attempts take: as the service has learned, or by the catalog.
func usually(o *refractv1.Offering) string {
	if d := o.GetTypicalDuration(); d != nil {
		return shortDuration(d.AsDuration().Round(time.Second))
	}
	if d := o.GetUsualDuration().GetDuration(); d != nil {
		return "about " + shortDuration(d.AsDuration())
	}
	return ""
}

// priceUnits are the units of prices.
var priceUnits = map[refractv1.PriceUnit]string{
	refractv1.PriceUnit_PRICE_UNIT_INPUT_SECOND:            "second of the source",
	refractv1.PriceUnit_PRICE_UNIT_OUTPUT_SECOND:           "second of the output",
	refractv1.PriceUnit_PRICE_UNIT_INPUT_AND_OUTPUT_SECOND: "second of source and output",
	refractv1.PriceUnit_PRICE_UNIT_MEGAPIXEL:               "megapixel",
	refractv1.PriceUnit_PRICE_UNIT_RUN:                     "attempt",
}

func priceLine(p *refractv1.Price) string {
	if p == nil {
		return ""
	}
	unit, ok := priceUnits[p.GetUnit()]
	if !ok {
		unit = p.GetUnit().String() // Of a newer service.
	}
	return OneLine(p.GetAmount()) + " " + OneLine(p.GetCurrency()) + " per " + unit
}

// printModel writes a model and its offerings as lines of a name and a value. What is empty is left out.
func printModel(w io.Writer, m *refractv1.Model) error {
	var b strings.Builder
	line := func(name, value string) {
		if value = OneLine(value); value != "" {
			fmt.Fprintf(&b, "%-11s %s\n", name, value)
		}
	}
	line("model", m.GetName())
	line("title", m.GetTitle())
	line("description", m.GetDescription())
	line("route", cmp.Or(strings.Join(m.GetRoute(), ", "), "none: no offering takes tasks now"))
	for _, o := range m.GetOfferings() {
		b.WriteByte('\n')
		line("offering", o.GetProvider()+", as "+o.GetRemoteName()+suffix(", its default", o.GetProviderDefault()))
		line("state", offeringState(o))
		line("", o.GetAvailability().GetMessage())
		line("prompt", promptLine(o.GetPrompt()))
		line("source", sourceLine(o.GetSource()))
		line("takes", takesLine(o))
		line("usually", usuallyLine(o))
		line("price", priceLine(o.GetPrice())+suffix("; "+o.GetPrice().GetNote(), o.GetPrice().GetNote() != "")+certainty(o.GetPrice().GetFact()))
		line("dates", datesLine(o.GetLifecycle()))
		schema, err := schemaText(o.GetParametersSchema())
		if err != nil {
			return err
		}
		if schema != "" {
			fmt.Fprintf(&b, "%-11s %s\n", "parameters", schema)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// suffix returns a text if a condition holds.
func suffix(text string, holds bool) string {
	if holds {
		return text
	}
	return ""
}

func promptLine(p *refractv1.PromptLimits) string {
	if p == nil {
		return "none"
	}
	text := "optional"
	if p.GetRequired() {
		text = "required"
	}
	if n := p.GetMaxCharacters(); n > 0 {
		text += fmt.Sprintf(", at most %d characters", n) + certainty(p.GetFact())
	}
	return text
}

// sourceLine returns the limits of sources. A fact that all of them share is there once, at the end.
func sourceLine(s *refractv1.SourceLimits) string {
	limits := []struct {
		field, text string
		known       bool
	}{
		{"types", strings.Join(s.GetTypes(), " or "), len(s.GetTypes()) > 0},
		{"min_duration", "at least " + shortDuration(s.GetMinDuration().AsDuration()), s.GetMinDuration() != nil},
		{"max_duration", "at most " + shortDuration(s.GetMaxDuration().AsDuration()), s.GetMaxDuration() != nil},
		{"max_bytes", fmt.Sprintf("at most %d bytes", s.GetMaxBytes()), s.GetMaxBytes() > 0},
		{"min_side", fmt.Sprintf("sides of at least %d pixels", s.GetMinSide()), s.GetMinSide() > 0},
		{"max_side", fmt.Sprintf("sides of at most %d pixels", s.GetMaxSide()), s.GetMaxSide() > 0},
		{"max_pixels", fmt.Sprintf("at most %d pixels", s.GetMaxPixels()), s.GetMaxPixels() > 0},
		{"min_ratio", fmt.Sprintf("width to height at least %g", s.GetMinRatio()), s.GetMinRatio() > 0},
		{"max_ratio", fmt.Sprintf("width to height at most %g", s.GetMaxRatio()), s.GetMaxRatio() > 0},
	}
	var texts, facts []string
	for _, l := range limits {
		if l.known {
			texts, facts = append(texts, l.text), append(facts, certainty(s.GetFacts()[l.field]))
		}
	}
	if len(slices.Compact(slices.Clone(facts))) == 1 {
		return strings.Join(texts, ", ") + facts[0]
	}
	for i := range texts {
		texts[i] += facts[i]
	}
	return strings.Join(texts, ", ")
}

// takesLine returns what else a request may have.
func takesLine(o *refractv1.Offering) string {
	var parts []string
	if o.GetFirstFrame() {
		parts = append(parts, "a first frame")
	}
	if o.GetWatermark() {
		parts = append(parts, "a watermark")
	}
	if len(o.GetStrengths()) > 0 {
		names := make([]string, len(o.GetStrengths()))
		for i, s := range o.GetStrengths() {
			names[i] = strengthName(s)
		}
		parts = append(parts, "a strength: "+strings.Join(names, ", ")+" (default "+strengthName(o.GetDefaultStrength())+")")
	}
	return strings.Join(parts, "; ")
}

func usuallyLine(o *refractv1.Offering) string {
	var parts []string
	if d := o.GetTypicalDuration(); d != nil {
		parts = append(parts, shortDuration(d.AsDuration().Round(time.Second))+" by recent attempts")
	}
	if d := o.GetUsualDuration(); d != nil {
		parts = append(parts, shortDuration(d.GetDuration().AsDuration())+" by the catalog"+certainty(d.GetFact()))
	}
	return strings.Join(parts, "; ")
}

func datesLine(l *refractv1.OfferingLifecycle) string {
	var parts []string
	if d := date(l.GetDeprecateTime()); d != "" {
		parts = append(parts, "deprecated "+d)
	}
	if d := date(l.GetRetireTime()); d != "" {
		parts = append(parts, "retires "+d)
	}
	if r := l.GetReplacedBy(); r != "" {
		parts = append(parts, "replaced by "+r)
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, ", ") + certainty(l.GetFact())
}

// certainty returns how certain a figure is and where it comes from.
func certainty(f *refractv1.Fact) string {
	if f == nil {
		return ""
	}
	return " (" + strings.ToLower(strings.TrimPrefix(f.GetCertainty().String(), "CERTAINTY_")) + ": " + f.GetSource() + ")"
}

// date returns the day of a time, or nothing where it is not set.
func date(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().Format(time.DateOnly)
}

// shortDuration returns a duration without units of 0: 5m, not 5m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	for _, unit := range []string{"m", "h"} {
		if short, ok := strings.CutSuffix(text, unit+"0s"); ok {
			text = short + unit
		} else if short, ok := strings.CutSuffix(text, unit+"0m"); ok {
			text = short + unit
		}
	}
	return text
}

// schemaText returns a JSON Schema as indented JSON, or nothing where there is none.
func schemaText(s *structpb.Struct) (string, error) {
	if s == nil {
		return "", nil
	}
	loose, err := protojson.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("encode JSON: %w", err)
	}
	var text bytes.Buffer
	if err := json.Indent(&text, loose, strings.Repeat(" ", 12), "  "); err != nil {
		return "", fmt.Errorf("encode JSON: %w", err)
	}
	return text.String(), nil
}
