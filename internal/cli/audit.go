package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Audit shows the audit log.
type Audit struct {
	clientFlags

	Actor  string    `name:"actor" help:"Show changes by this actor: the id of a token, issuer and subject of a JWT, the name in a certificate, or a user who ran a command."`
	Action string    `name:"action" help:"Show this action, such as tenant.update, or all on a noun, such as tenant."`
	Target string    `name:"target" help:"Show changes of what has this name or id."`
	Tenant string    `name:"tenant" help:"Show changes that are about this tenant."`
	From   time.Time `name:"from" help:"Show changes at this time or later, such as 2026-11-05T12:00:00Z."`
	To     time.Time `name:"to" help:"Show changes before this time."`
	Limit  int       `name:"limit" default:"50" help:"Maximum number of changes to show; 0 shows all."`
}

// Run prints the events page by page.
func (c *Audit) Run(ctx context.Context, con Console) error {
	if c.Limit < 0 {
		return fmt.Errorf("--limit=%d is negative", c.Limit)
	}
	req := &refractv1.ListAuditEventsRequest{Actor: c.Actor, Action: c.Action, Target: c.Target, Tenant: c.Tenant}
	if !c.From.IsZero() {
		req.CreateTimeFrom = timestamppb.New(c.From)
	}
	if !c.To.IsZero() {
		req.CreateTimeTo = timestamppb.New(c.To)
	}
	return c.operate(func(client refractv1.OperatorServiceClient) error {
		for left := c.Limit; ; {
			req.PageSize = maxPage
			if c.Limit > 0 {
				req.PageSize = int32(min(left, maxPage))
			}
			resp, err := client.ListAuditEvents(ctx, req)
			if err != nil {
				return err
			}
			if err := c.printPage(con.Out, resp.GetEvents(), req.GetPageToken() == ""); err != nil {
				return err
			}
			left -= len(resp.GetEvents())
			req.PageToken = resp.GetNextPageToken()
			if req.GetPageToken() == "" || (c.Limit > 0 && left <= 0) {
				return nil
			}
		}
	})
}

// auditRow is the format of a table row. The widths are fixed, as in listRow.
const auditRow = "%-20s  %-12s  %-44s  %-30s  %-36s  %s\n"

func (c *Audit) printPage(w io.Writer, events []*refractv1.AuditEvent, first bool) error {
	if c.JSON {
		return printLines(w, events)
	}
	if first {
		if _, err := fmt.Fprintf(w, auditRow, "TIME", "BY", "ACTOR", "ACTION", "TARGET", "CHANGE"); err != nil {
			return err
		}
	}
	for _, e := range events {
		kind := strings.ToLower(strings.TrimPrefix(e.GetActor().GetKind().String(), "AUDIT_ACTOR_KIND_"))
		if _, err := fmt.Fprintf(w, auditRow, stamp(e.GetCreateTime()), kind, OneLine(e.GetActor().GetName()), OneLine(e.GetAction()),
			OneLine(e.GetTarget()), changeOf(e)); err != nil {
			return err
		}
	}
	return nil
}

// changeOf returns what changed: the fields that differ, or all of what is new or gone.
func changeOf(e *refractv1.AuditEvent) string {
	before, after := e.GetBefore().GetFields(), e.GetAfter().GetFields()
	switch {
	case e.GetBefore() == nil && e.GetAfter() == nil:
		return "-"
	case e.GetBefore() == nil:
		return valuesText(e.GetAfter())
	case e.GetAfter() == nil:
		return valuesText(e.GetBefore()) + " -> nothing"
	}
	was, is := &structpb.Struct{Fields: map[string]*structpb.Value{}}, &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for name, value := range before {
		if valueText(value) != valueText(after[name]) {
			was.Fields[name] = value
		}
	}
	for name, value := range after {
		if valueText(value) != valueText(before[name]) {
			is.Fields[name] = value
		}
	}
	return valuesText(was) + " -> " + valuesText(is)
}

func valueText(v *structpb.Value) string {
	if v == nil {
		return ""
	}
	return valuesText(&structpb.Struct{Fields: map[string]*structpb.Value{"": v}})
}

// valuesText returns values as one line of JSON.
func valuesText(values *structpb.Struct) string {
	text, err := protojson.Marshal(values)
	if err != nil {
		return "?"
	}
	var line bytes.Buffer
	if json.Compact(&line, text) != nil { // protojson varies its blanks on purpose.
		return "?"
	}
	return OneLine(line.String())
}
