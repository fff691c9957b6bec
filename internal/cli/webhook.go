package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/refract-video/refract/client"
	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Webhook manages the webhook endpoints of a tenant, shows and repeats deliveries, and forwards events to the own machine.
type Webhook struct {
	Create       webhookCreateCmd     `cmd:"" help:"Create an endpoint, and show its secret."`
	List         webhookListCmd       `cmd:"" help:"List the endpoints."`
	Get          webhookGetCmd        `cmd:"" help:"Show an endpoint."`
	Update       webhookUpdateCmd     `cmd:"" help:"Change an endpoint; what is not given stays."`
	Enable       webhookEnableCmd     `cmd:"" help:"Send events to an endpoint again."`
	Disable      webhookDisableCmd    `cmd:"" help:"Send no events to an endpoint until it is enabled."`
	Delete       webhookDeleteCmd     `cmd:"" help:"Delete an endpoint with its deliveries."`
	RotateSecret webhookRotateCmd     `cmd:"" help:"Give an endpoint a new secret, and show it."`
	Test         webhookTestCmd       `cmd:"" help:"Post a test event to an endpoint, and show its answer."`
	Deliveries   webhookDeliveriesCmd `cmd:"" help:"List deliveries of an endpoint or of a task, newest event first."`
	Delivery     webhookDeliveryCmd   `cmd:"" help:"Show a delivery with its attempts."`
	Redeliver    webhookRedeliverCmd  `cmd:"" help:"Send events again: one, all that failed at an endpoint, or the one with which a task ended."`
	Listen       webhookListenCmd     `cmd:"" help:"Post signed events to a program on this machine, and show its answers, until interrupted."`
}

// webhooks is call for webhooks.
func (f *clientFlags) webhooks(do func(refractv1.WebhookServiceClient) error) error {
	return f.connected(func(service *client.Client) error { return do(refractv1.NewWebhookServiceClient(service.Conn())) })
}

// eventPrefix is what the contract puts before the name of a type of events.
const eventPrefix = "WEBHOOK_EVENT_TYPE_"

// parseEvents reads types of events, such as task.failed, in upper or lower case.
func parseEvents(names []string) ([]refractv1.WebhookEventType, error) {
	types := make([]refractv1.WebhookEventType, len(names))
	for i, name := range names {
		value := refractv1.WebhookEventType_value[eventPrefix+strings.ToUpper(strings.Replace(name, ".", "_", 1))]
		if value == 0 || !strings.Contains(name, ".") {
			return nil, fmt.Errorf("--event=%s is no type of events: there are %s", name, strings.Join(eventNames(allEvents()), ", "))
		}
		types[i] = refractv1.WebhookEventType(value)
	}
	return types, nil
}

// allEvents returns the types of events in the order of a task's life.
func allEvents() (all []refractv1.WebhookEventType) {
	for value := range refractv1.WebhookEventType_name {
		if value != 0 {
			all = append(all, refractv1.WebhookEventType(value))
		}
	}
	slices.Sort(all)
	return all
}

// eventName returns a type of events as bodies have it, such as task.failed.
func eventName(t refractv1.WebhookEventType) string {
	return strings.Replace(strings.ToLower(strings.TrimPrefix(t.String(), eventPrefix)), "_", ".", 1)
}

func eventNames(types []refractv1.WebhookEventType) []string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = eventName(t)
	}
	return names
}

type webhookCreateCmd struct {
	clientFlags

	URL         string            `arg:"" optional:"" help:"Public https URL that receives the events, at most 2048 bytes."`
	ForTasks    bool              `name:"for-tasks" help:"Create the endpoint without a URL, whose secret signs the events of tasks with a --webhook-uri. There is at most one."`
	Events      []string          `name:"event" placeholder:"TYPE" help:"Type of events to send, such as task.running; can be repeated. Default: task.succeeded, task.failed and task.canceled."`
	Labels      map[string]string `name:"label" mapsep:"none" placeholder:"KEY=VALUE" help:"Send events of tasks with this label; can be repeated, and then all must match."`
	Rate        int32             `name:"rate" placeholder:"N" help:"Most requests per second, from 1 to 1000. Default: no limit."`
	Description string            `name:"description" help:"Description, up to 256 characters."`
}

// Run creates the endpoint.
func (c *webhookCreateCmd) Run(ctx context.Context, con Console) error {
	if (c.URL == "") != c.ForTasks {
		return errors.New("pass the URL that receives the events, or --for-tasks, and not both")
	}
	types, err := parseEvents(c.Events)
	if err != nil {
		return err
	}
	return c.webhooks(func(client refractv1.WebhookServiceClient) error {
		resp, err := client.CreateWebhookEndpoint(ctx, &refractv1.CreateWebhookEndpointRequest{
			Url: c.URL, Description: c.Description, EventTypes: types, Labels: c.Labels, RateLimit: c.Rate,
		})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(con.Out, resp)
		}
		return printSecret(con, resp.GetEndpoint(), resp.GetSecret())
	})
}

// printSecret prints an endpoint with its new secret.
func printSecret(con Console, e *refractv1.WebhookEndpoint, secret string) error {
	if err := printEndpoint(con.Out, e); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(con.Out, "%-11s %s\n", "secret", OneLine(secret)); err != nil {
		return err
	}
	_, err := fmt.Fprintln(con.Err, "keep the secret: no other command shows it")
	return err
}

type webhookListCmd struct {
	clientFlags
}

// Run lists the endpoints.
func (c *webhookListCmd) Run(ctx context.Context, con Console) error {
	return c.webhooks(func(client refractv1.WebhookServiceClient) error {
		resp, err := client.ListWebhookEndpoints(ctx, &refractv1.ListWebhookEndpointsRequest{})
		if err != nil {
			return err
		}
		if c.JSON {
			return printLines(con.Out, resp.GetEndpoints())
		}
		return printEndpoints(con.Out, resp.GetEndpoints())
	})
}

func printEndpoints(w io.Writer, endpoints []*refractv1.WebhookEndpoint) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ENDPOINT\tSTATE\tEVENTS\tLABELS\tURL") // Flush returns the error of a failed write.
	for _, e := range endpoints {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", OneLine(e.GetId()), endpointState(e), strings.Join(eventNames(e.GetEventTypes()), " "),
			cmp.Or(OneLine(labelsLine(e.GetLabels())), "-"), endpointURL(e))
	}
	return table.Flush()
}

// endpointURL returns the URL of an endpoint, or whose URIs it serves.
func endpointURL(e *refractv1.WebhookEndpoint) string {
	return cmp.Or(OneLine(e.GetUrl()), "(the webhook_uri of each task)")
}

// endpointState returns whether events are sent, and what holds them back.
func endpointState(e *refractv1.WebhookEndpoint) string {
	switch {
	case !e.GetEnabled():
		return "disabled: " + strings.TrimPrefix(e.GetDisableReason().String(), "WEBHOOK_DISABLE_REASON_")
	case e.GetPausedUntilTime() != nil:
		return "paused until " + stamp(e.GetPausedUntilTime())
	case e.GetFailingSinceTime() != nil:
		return "failing since " + stamp(e.GetFailingSinceTime())
	default:
		return "enabled"
	}
}

// printEndpoint writes an endpoint as lines of a name and a value. What is empty is left out.
func printEndpoint(w io.Writer, e *refractv1.WebhookEndpoint) error {
	var b strings.Builder
	line := func(name, value string) {
		if value = OneLine(value); value != "" {
			fmt.Fprintf(&b, "%-11s %s\n", name, value)
		}
	}
	line("endpoint", e.GetId())
	line("url", endpointURL(e))
	line("description", e.GetDescription())
	line("state", endpointState(e))
	line("disabled", stamp(e.GetDisableTime()))
	line("failing", stamp(e.GetFailingSinceTime()))
	line("events", strings.Join(eventNames(e.GetEventTypes()), " "))
	line("labels", labelsLine(e.GetLabels()))
	if e.GetRateLimit() > 0 {
		line("rate", strconv.Itoa(int(e.GetRateLimit()))+" requests per second")
	}
	if until := stamp(e.GetPreviousSecretExpireTime()); until != "" {
		line("old secret", "signs too until "+until)
	}
	line("created", stamp(e.GetCreateTime()))
	line("updated", stamp(e.GetUpdateTime()))
	_, err := io.WriteString(w, b.String())
	return err
}

// showEndpoint prints an endpoint for the person or the program.
func (f *clientFlags) showEndpoint(con Console, e *refractv1.WebhookEndpoint) error {
	if f.JSON {
		return printJSON(con.Out, e)
	}
	return printEndpoint(con.Out, e)
}

type webhookGetCmd struct {
	clientFlags

	ID string `arg:"" help:"Id of the endpoint."`
}

// Run shows the endpoint.
func (c *webhookGetCmd) Run(ctx context.Context, con Console) error {
	return c.webhooks(func(client refractv1.WebhookServiceClient) error {
		resp, err := client.GetWebhookEndpoint(ctx, &refractv1.GetWebhookEndpointRequest{EndpointId: c.ID})
		if err != nil {
			return err
		}
		return c.showEndpoint(con, resp.GetEndpoint())
	})
}

type webhookUpdateCmd struct {
	clientFlags

	ID          string            `arg:"" help:"Id of the endpoint."`
	URL         *string           `name:"url" help:"Public https URL that receives the events."`
	Events      []string          `name:"event" placeholder:"TYPE" help:"Type of events to send instead of those so far; can be repeated."`
	Labels      map[string]string `name:"label" mapsep:"none" placeholder:"KEY=VALUE" help:"Label that a task must have, instead of those so far; can be repeated."`
	NoLabels    bool              `name:"no-labels" help:"Send events of tasks with any labels."`
	Rate        *int32            `name:"rate" placeholder:"N" help:"Most requests per second, up to 1000; 0 for no limit."`
	Description *string           `name:"description" help:"Description, up to 256 characters."`
}

// Run changes the endpoint.
func (c *webhookUpdateCmd) Run(ctx context.Context, con Console) error {
	types, err := parseEvents(c.Events)
	if err != nil {
		return err
	}
	req := &refractv1.UpdateWebhookEndpointRequest{EndpointId: c.ID, Url: c.URL, Description: c.Description, EventTypes: types, RateLimit: c.Rate}
	switch {
	case c.NoLabels && len(c.Labels) > 0:
		return errors.New("pass --label or --no-labels, and not both")
	case c.NoLabels || len(c.Labels) > 0:
		req.Labels = &refractv1.WebhookLabels{Labels: c.Labels}
	case c.URL == nil && c.Description == nil && len(types) == 0 && c.Rate == nil:
		return errors.New("nothing to change: pass --url, --event, --label, --no-labels, --rate or --description")
	}
	return c.update(ctx, con, req)
}

// update changes an endpoint and prints it.
func (f *clientFlags) update(ctx context.Context, con Console, req *refractv1.UpdateWebhookEndpointRequest) error {
	return f.webhooks(func(client refractv1.WebhookServiceClient) error {
		resp, err := client.UpdateWebhookEndpoint(ctx, req)
		if err != nil {
			return err
		}
		return f.showEndpoint(con, resp.GetEndpoint())
	})
}

type webhookEnableCmd struct {
	clientFlags

	ID string `arg:"" help:"Id of the endpoint."`
}

// Run enables the endpoint.
func (c *webhookEnableCmd) Run(ctx context.Context, con Console) error {
	return c.update(ctx, con, &refractv1.UpdateWebhookEndpointRequest{EndpointId: c.ID, Enabled: new(true)})
}

type webhookDisableCmd struct {
	clientFlags

	ID string `arg:"" help:"Id of the endpoint."`
}

// Run disables the endpoint.
func (c *webhookDisableCmd) Run(ctx context.Context, con Console) error {
	return c.update(ctx, con, &refractv1.UpdateWebhookEndpointRequest{EndpointId: c.ID, Enabled: new(false)})
}

type webhookDeleteCmd struct {
	clientFlags

	ID string `arg:"" help:"Id of the endpoint."`
}

// Run deletes the endpoint.
func (c *webhookDeleteCmd) Run(ctx context.Context, con Console) error {
	return c.webhooks(func(client refractv1.WebhookServiceClient) error {
		if _, err := client.DeleteWebhookEndpoint(ctx, &refractv1.DeleteWebhookEndpointRequest{EndpointId: c.ID}); err != nil {
			return err
		}
		_, err := fmt.Fprintln(c.people(con).Out, "deleted", OneLine(c.ID))
		return err
	})
}

type webhookRotateCmd struct {
	clientFlags

	ID    string        `arg:"" help:"Id of the endpoint."`
	Grace time.Duration `name:"grace" default:"24h" help:"Time for which the secret before signs too, up to 168h; 0s ends it at once."`
}

// Run rotates the secret.
func (c *webhookRotateCmd) Run(ctx context.Context, con Console) error {
	return c.webhooks(func(client refractv1.WebhookServiceClient) error {
		resp, err := client.RotateWebhookSecret(ctx, &refractv1.RotateWebhookSecretRequest{EndpointId: c.ID, GracePeriod: durationpb.New(c.Grace)})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(con.Out, resp)
		}
		return printSecret(con, resp.GetEndpoint(), resp.GetSecret())
	})
}

type webhookTestCmd struct {
	clientFlags

	ID string `arg:"" help:"Id of the endpoint."`
}

// Run posts the event. An endpoint that does not take it is an error.
func (c *webhookTestCmd) Run(ctx context.Context, con Console) error {
	return c.webhooks(func(client refractv1.WebhookServiceClient) error {
		resp, err := client.SendTestWebhook(ctx, &refractv1.SendTestWebhookRequest{EndpointId: c.ID})
		if err != nil {
			return err
		}
		a := resp.GetAttempt()
		if c.JSON {
			err = printJSON(con.Out, a)
		} else {
			_, err = fmt.Fprintln(con.Out, attemptOutcome(a))
		}
		if err == nil && a.GetError() != "" {
			err = errors.New("the endpoint did not take the event")
		}
		return err
	})
}

// attemptOutcome returns what became of a request to an endpoint, as one line.
func attemptOutcome(a *refractv1.WebhookAttempt) string {
	line := "no answer"
	if a.GetHttpStatus() != 0 {
		line = strconv.Itoa(int(a.GetHttpStatus()))
	}
	if ms := a.GetDurationMs(); ms > 0 {
		line += " after " + (time.Duration(ms) * time.Millisecond).String()
	} else {
		line += " after <1ms"
	}
	if e := OneLine(a.GetError()); e != "" {
		line += ": " + e
	}
	if answer := OneLine(a.GetAnswer()); answer != "" {
		line += " | " + shorten(answer, 120)
	}
	return line
}
