package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Callback shows and replays the callback inbox.
type Callback struct {
	List   callbackListCmd   `cmd:"" help:"List callbacks, newest first."`
	Get    callbackGetCmd    `cmd:"" help:"Show a callback with its body, in which links and tokens are redacted."`
	Replay callbackReplayCmd `cmd:"" help:"Ask the provider now about the attempt that a callback names."`
}

type callbackListCmd struct {
	clientFlags

	Task     string    `name:"task" help:"List callbacks about this task."`
	Account  string    `name:"account" help:"List callbacks from this provider account."`
	Verdicts []string  `name:"verdict" help:"List callbacks with this verdict; can be repeated."`
	From     time.Time `name:"from" help:"List callbacks received at this time or later, such as 2026-11-05T12:00:00Z."`
	To       time.Time `name:"to" help:"List callbacks received before this time."`
	Limit    int       `name:"limit" default:"50" help:"Maximum number of callbacks to list; 0 lists all."`
}

// Run prints the callbacks page by page.
func (c *callbackListCmd) Run(ctx context.Context, con Console) error {
	verdicts, err := parseVerdicts(c.Verdicts)
	if err != nil {
		return err
	}
	if c.Limit < 0 {
		return fmt.Errorf("--limit=%d is negative", c.Limit)
	}
	req := &refractv1.ListCallbacksRequest{TaskId: c.Task, Account: c.Account, Verdicts: verdicts}
	if !c.From.IsZero() {
		req.ReceiveTimeFrom = timestamppb.New(c.From)
	}
	if !c.To.IsZero() {
		req.ReceiveTimeTo = timestamppb.New(c.To)
	}
	return c.operate(func(client refractv1.OperatorServiceClient) error {
		for left := c.Limit; ; {
			req.PageSize = maxPage
			if c.Limit > 0 {
				req.PageSize = int32(min(left, maxPage))
			}
			resp, err := client.ListCallbacks(ctx, req)
			if err != nil {
				return err
			}
			if err := c.printPage(con.Out, resp.GetCallbacks(), req.GetPageToken() == ""); err != nil {
				return err
			}
			left -= len(resp.GetCallbacks())
			req.PageToken = resp.GetNextPageToken()
			if req.GetPageToken() == "" || (c.Limit > 0 && left <= 0) {
				return nil
			}
		}
	})
}

// callbackRow is the format of a table row. The widths are fixed, as in listRow.
const callbackRow = "%-10s  %-20s  %-12s  %-13s  %-36s  %-7s  %s\n"

func (c *callbackListCmd) printPage(w io.Writer, callbacks []*refractv1.Callback, first bool) error {
	if c.JSON {
		return printLines(w, callbacks)
	}
	if first {
		if _, err := fmt.Fprintf(w, callbackRow, "CALLBACK", "RECEIVED", "ACCOUNT", "VERDICT", "TASK", "ATTEMPT", "PROVIDER TASK"); err != nil {
			return err
		}
	}
	for _, cb := range callbacks {
		if _, err := fmt.Fprintf(w, callbackRow, OneLine(cb.GetId()), stamp(cb.GetReceiveTime()), OneLine(cb.GetAccount()), verdictName(cb.GetVerdict()),
			OneLine(cb.GetTaskId()), fmt.Sprint(cb.GetAttempt()), shorten(OneLine(cb.GetProviderTaskId()), 48)); err != nil {
			return err
		}
	}
	return nil
}

// verdictName returns a verdict without the prefix of the enum.
func verdictName(v refractv1.CallbackVerdict) string {
	return strings.TrimPrefix(v.String(), "CALLBACK_VERDICT_")
}

// parseVerdicts parses names of verdicts in upper or lower case.
func parseVerdicts(names []string) ([]refractv1.CallbackVerdict, error) {
	verdicts := make([]refractv1.CallbackVerdict, len(names))
	for i, name := range names {
		value, ok := refractv1.CallbackVerdict_value["CALLBACK_VERDICT_"+strings.ToUpper(name)]
		if !ok || value == 0 {
			return nil, fmt.Errorf("--verdict=%s is not a verdict: use APPLIED, ASKED, DUPLICATE, CONFLICT, MISMATCH, BAD_SIGNATURE, STALE or MALFORMED", name)
		}
		verdicts[i] = refractv1.CallbackVerdict(value)
	}
	return verdicts, nil
}

type callbackGetCmd struct {
	clientFlags

	ID string `arg:"" help:"Id of the callback."`
}

// Run prints the callback.
func (c *callbackGetCmd) Run(ctx context.Context, con Console) error {
	return c.operate(func(client refractv1.OperatorServiceClient) error {
		resp, err := client.GetCallback(ctx, &refractv1.GetCallbackRequest{CallbackId: c.ID})
		if err != nil {
			return err
		}
		cb := resp.GetCallback()
		if c.JSON {
			return printJSON(con.Out, cb)
		}
		_, err = fmt.Fprintf(con.Out, "callback  %s\nreceived  %s\naccount   %s\nverdict   %s\ntask      %s (attempt %d)\nnames     %s\nbody      %d bytes\n%s\n",
			OneLine(cb.GetId()), stamp(cb.GetReceiveTime()), OneLine(cb.GetAccount()), verdictName(cb.GetVerdict()), OneLine(cb.GetTaskId()), cb.GetAttempt(),
			OneLine(cb.GetProviderTaskId()), cb.GetBodySizeBytes(), OneLine(string(cb.GetBody())))
		return err
	})
}

type callbackReplayCmd struct {
	clientFlags

	ID string `arg:"" help:"Id of the callback."`
}

// Run replays the callback.
func (c *callbackReplayCmd) Run(ctx context.Context, con Console) error {
	return c.operate(func(client refractv1.OperatorServiceClient) error {
		resp, err := client.ReplayCallback(ctx, &refractv1.ReplayCallbackRequest{CallbackId: c.ID})
		if err != nil {
			return err
		}
		return c.showInquiry(con.Out, resp.GetInquiry())
	})
}
