package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

type webhookDeliveriesCmd struct {
	clientFlags

	Endpoint string   `name:"endpoint" placeholder:"ID" help:"List deliveries to this endpoint."`
	Task     string   `name:"task" placeholder:"ID" help:"List deliveries of this task's events."`
	States   []string `name:"state" help:"List deliveries in this state, PENDING, SUCCEEDED or FAILED; can be repeated."`
	Limit    int      `name:"limit" default:"50" help:"Maximum number of deliveries to list; 0 lists all."`
}

// Run prints the deliveries page by page.
func (c *webhookDeliveriesCmd) Run(ctx context.Context, con Console) error {
	states, err := parseDeliveryStates(c.States)
	switch {
	case err != nil:
		return err
	case c.Limit < 0:
		return fmt.Errorf("--limit=%d is negative", c.Limit)
	case c.Endpoint == "" && c.Task == "":
		return errors.New("pass --endpoint or --task, or both")
	}
	return c.webhooks(func(client refractv1.WebhookServiceClient) error {
		req := &refractv1.ListWebhookDeliveriesRequest{EndpointId: c.Endpoint, TaskId: c.Task, States: states}
		for left := c.Limit; ; {
			req.PageSize = maxPage
			if c.Limit > 0 {
				req.PageSize = int32(min(left, maxPage))
			}
			resp, err := client.ListWebhookDeliveries(ctx, req)
			if err != nil {
				return err
			}
			if err := c.printPage(con.Out, resp.GetDeliveries(), req.GetPageToken() == ""); err != nil {
				return err
			}
			left -= len(resp.GetDeliveries())
			req.PageToken = resp.GetNextPageToken()
			if req.GetPageToken() == "" || (c.Limit > 0 && left <= 0) {
				return nil
			}
		}
	})
}

// parseDeliveryStates reads names of states in upper or lower case.
func parseDeliveryStates(names []string) ([]refractv1.WebhookDeliveryState, error) {
	states := make([]refractv1.WebhookDeliveryState, len(names))
	for i, name := range names {
		value := refractv1.WebhookDeliveryState_value[deliveryPrefix+strings.ToUpper(name)]
		if value == 0 {
			return nil, fmt.Errorf("--state=%s is no state of a delivery: there are PENDING, SUCCEEDED and FAILED", name)
		}
		states[i] = refractv1.WebhookDeliveryState(value)
	}
	return states, nil
}

// deliveryPrefix is what the contract puts before the name of a state.
const deliveryPrefix = "WEBHOOK_DELIVERY_STATE_"

func deliveryState(s refractv1.WebhookDeliveryState) string {
	return strings.TrimPrefix(s.String(), deliveryPrefix)
}

// deliveryRow is the format of a table row. The widths are fixed, as in listRow.
const deliveryRow = "%-20s  %-9s  %-8s  %-20s  %-14s  %-36s  %s\n"

func (c *webhookDeliveriesCmd) printPage(w io.Writer, deliveries []*refractv1.WebhookDelivery, first bool) error {
	if c.JSON {
		return printLines(w, deliveries)
	}
	if first {
		if _, err := fmt.Fprintf(w, deliveryRow, "TIME", "STATE", "ATTEMPTS", "NEXT ATTEMPT", "TYPE", "ENDPOINT", "EVENT"); err != nil {
			return err
		}
	}
	for _, d := range deliveries {
		if _, err := fmt.Fprintf(w, deliveryRow, stamp(d.GetEventTime()), deliveryState(d.GetState()), fmt.Sprint(d.GetAttemptCount()),
			stamp(d.GetNextAttemptTime()), eventName(d.GetEventType()), OneLine(d.GetEndpointId()), OneLine(d.GetEventId())); err != nil {
			return err
		}
	}
	return nil
}

type webhookDeliveryCmd struct {
	clientFlags

	Endpoint string `arg:"" help:"Id of the endpoint."`
	Event    string `arg:"" help:"Id of the event, such as evt_…_3."`
}

// Run shows the delivery.
func (c *webhookDeliveryCmd) Run(ctx context.Context, con Console) error {
	return c.webhooks(func(client refractv1.WebhookServiceClient) error {
		resp, err := client.GetWebhookDelivery(ctx, &refractv1.GetWebhookDeliveryRequest{EndpointId: c.Endpoint, EventId: c.Event})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(con.Out, resp.GetDelivery())
		}
		return printDelivery(con.Out, resp.GetDelivery())
	})
}

// printDelivery writes a delivery with its attempts, oldest first.
func printDelivery(w io.Writer, d *refractv1.WebhookDelivery) error {
	state := deliveryState(d.GetState())
	if next := stamp(d.GetNextAttemptTime()); next != "" {
		state += ", next attempt at " + next
	}
	if _, err := fmt.Fprintf(w, "event     %s\ntype      %s\ntime      %s\ntask      %s (revision %d)\nendpoint  %s\nstate     %s\nattempts  %d\n",
		OneLine(d.GetEventId()), eventName(d.GetEventType()), stamp(d.GetEventTime()), OneLine(d.GetTaskId()), d.GetRevision(), OneLine(d.GetEndpointId()), state,
		d.GetAttemptCount()); err != nil {
		return err
	}
	for _, a := range slices.Backward(d.GetAttempts()) {
		if _, err := fmt.Fprintf(w, "%s  %s\n", stamp(a.GetStartTime()), attemptOutcome(a)); err != nil {
			return err
		}
	}
	return nil
}

type webhookRedeliverCmd struct {
	clientFlags

	Endpoint string        `name:"endpoint" placeholder:"ID" help:"Id of the endpoint, for --event and --failed."`
	Event    string        `name:"event" placeholder:"ID" help:"Send this event again."`
	Failed   bool          `name:"failed" help:"Send all events again whose delivery has failed."`
	Since    time.Duration `name:"since" placeholder:"TIME" help:"With --failed: those that happened within this time, such as 1h. Default: all."`
	Task     string        `name:"task" placeholder:"ID" help:"Send the event with which this task ended, to all enabled endpoints that it matches."`
	DryRun   bool          `name:"dry-run" help:"Count the events, and send none."`
	Yes      bool          `name:"yes" help:"Send without asking."`
}

// Run counts the deliveries, asks where there may be many, and begins them again.
func (c *webhookRedeliverCmd) Run(ctx context.Context, con Console) error {
	req, err := c.request()
	if err != nil {
		return err
	}
	return c.webhooks(func(client refractv1.WebhookServiceClient) error {
		req.DryRun = true
		counted, err := client.RedeliverWebhooks(ctx, req)
		if err != nil {
			return err
		}
		people := c.people(con)
		atLeast := ""
		if counted.GetMore() {
			atLeast = "more than "
		}
		if _, err := fmt.Fprintf(people.Out, "%s%d deliveries match\n", atLeast, counted.GetDeliveries()); err != nil {
			return err
		}
		if c.DryRun || counted.GetDeliveries() == 0 {
			return c.printCount(con, counted)
		}
		if c.Event == "" && !c.Yes {
			question := fmt.Sprintf("Send %s%d events again?", atLeast, counted.GetDeliveries())
			if err := confirm(con, question, "nothing was sent again", "pass --yes to send them, or --dry-run to count them"); err != nil {
				return err
			}
		}
		return c.redeliver(ctx, con, client, req)
	})
}

// request returns the request that the flags describe.
func (c *webhookRedeliverCmd) request() (*refractv1.RedeliverWebhooksRequest, error) {
	chosen := 0
	for _, is := range []bool{c.Event != "", c.Failed, c.Task != ""} {
		if is {
			chosen++
		}
	}
	switch {
	case chosen != 1:
		return nil, errors.New("pass one of --event, --failed and --task")
	case (c.Task == "") != (c.Endpoint != ""):
		return nil, errors.New("--event and --failed need --endpoint, and --task is for all endpoints")
	case c.Since != 0 && !c.Failed, c.Since < 0:
		return nil, errors.New("--since is a time that has passed, such as 1h, and for --failed")
	}
	switch {
	case c.Event != "":
		return &refractv1.RedeliverWebhooksRequest{Events: &refractv1.RedeliverWebhooksRequest_Event{Event: &refractv1.RedeliverEvent{EndpointId: c.Endpoint, EventId: c.Event}}}, nil
	case c.Task != "":
		return &refractv1.RedeliverWebhooksRequest{Events: &refractv1.RedeliverWebhooksRequest_Task{Task: &refractv1.RedeliverTask{TaskId: c.Task}}}, nil
	default:
		failed := &refractv1.RedeliverFailed{EndpointId: c.Endpoint}
		if c.Since > 0 {
			failed.SinceTime = timestamppb.New(time.Now().Add(-c.Since))
		}
		return &refractv1.RedeliverWebhooksRequest{Events: &refractv1.RedeliverWebhooksRequest_Failed{Failed: failed}}, nil
	}
}

// redeliver begins the deliveries again, call by call until none is left.
func (c *webhookRedeliverCmd) redeliver(ctx context.Context, con Console, client refractv1.WebhookServiceClient, req *refractv1.RedeliverWebhooksRequest) error {
	req.DryRun = false
	total := &refractv1.RedeliverWebhooksResponse{}
	for {
		resp, err := client.RedeliverWebhooks(ctx, req)
		if err != nil {
			if total.GetDeliveries() > 0 {
				_, _ = fmt.Fprintf(con.Err, "%d events are sent again; call again for the rest\n", total.GetDeliveries()) // The error matters more.
			}
			return err
		}
		total.Deliveries += resp.GetDeliveries()
		if !resp.GetMore() || resp.GetDeliveries() == 0 {
			break
		}
	}
	if _, err := fmt.Fprintf(c.people(con).Out, "%d events are sent again\n", total.GetDeliveries()); err != nil {
		return err
	}
	return c.printCount(con, total)
}

// printCount prints a count for programs.
func (c *webhookRedeliverCmd) printCount(con Console, resp *refractv1.RedeliverWebhooksResponse) error {
	if !c.JSON {
		return nil
	}
	return printJSON(con.Out, resp)
}
