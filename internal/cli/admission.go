package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Admission shows and changes whether tasks are sent to providers.
type Admission struct {
	Show  admissionShowCmd  `cmd:"" help:"Show whether tasks are sent to providers, and why not."`
	Close admissionCloseCmd `cmd:"" help:"Send nothing to any provider, at any replica, until admission is opened. What was sent is followed."`
	Open  admissionOpenCmd  `cmd:"" help:"Open admission, whether an operator or the service closed it. After a restore it opens when what was sent is settled; see restore-check."`
}

type admissionShowCmd struct {
	clientFlags
}

// Run shows the state of admission.
func (c *admissionShowCmd) Run(ctx context.Context, con Console) error {
	return c.operate(func(client refractv1.OperatorServiceClient) error {
		resp, err := client.GetAdmission(ctx, &refractv1.GetAdmissionRequest{})
		if err != nil {
			return err
		}
		return c.showAdmission(con.Out, resp.GetAdmission())
	})
}

type admissionCloseCmd struct {
	clientFlags

	Reason string `required:"" help:"Why, in words that tenants read in what their tasks wait for."`
}

// Run closes admission.
func (c *admissionCloseCmd) Run(ctx context.Context, con Console) error {
	return c.operate(func(client refractv1.OperatorServiceClient) error {
		resp, err := client.CloseAdmission(ctx, &refractv1.CloseAdmissionRequest{Reason: c.Reason})
		if err != nil {
			return err
		}
		return c.showAdmission(con.Out, resp.GetAdmission())
	})
}

type admissionOpenCmd struct {
	clientFlags

	AcceptUnknown bool `name:"accept-unknown" help:"Open it although the records of what was sent are missing. What was sent since the backup may be paid for again."`
}

// Run opens admission.
func (c *admissionOpenCmd) Run(ctx context.Context, con Console) error {
	return c.operate(func(client refractv1.OperatorServiceClient) error {
		resp, err := client.OpenAdmission(ctx, &refractv1.OpenAdmissionRequest{AcceptUnknown: c.AcceptUnknown})
		if err != nil {
			return err
		}
		return c.showAdmission(con.Out, resp.GetAdmission())
	})
}

// showAdmission prints whether admission is open.
func (f *clientFlags) showAdmission(w io.Writer, a *refractv1.Admission) error {
	if f.JSON {
		return printJSON(w, a)
	}
	if a.GetOpen() {
		_, err := fmt.Fprintln(w, "admission is open")
		return err
	}
	_, err := fmt.Fprintf(w, "admission is closed since %s (%s): %s\n", stamp(a.GetCloseTime()),
		strings.TrimPrefix(a.GetCloseReason().String(), "ADMISSION_CLOSE_REASON_"), OneLine(a.GetMessage()))
	return err
}

// RestoreCheck lists what was sent to providers and what a restored database has forgotten.
type RestoreCheck struct {
	clientFlags

	Settle bool `name:"settle" help:"Take over the attempts of tasks that the database has: they are followed and not sent again."`
	Open   bool `name:"open" help:"Open admission afterwards."`
}

// Run compares the database with the records of the bucket.
func (c *RestoreCheck) Run(ctx context.Context, con Console) error {
	return c.operate(func(client refractv1.OperatorServiceClient) error {
		attempts, admission, err := c.check(ctx, client)
		if err != nil {
			return err
		}
		if c.Open {
			resp, err := client.OpenAdmission(ctx, &refractv1.OpenAdmissionRequest{})
			if err != nil {
				return err
			}
			admission = resp.GetAdmission()
		}
		if c.JSON {
			if err := printLines(con.Out, attempts); err != nil {
				return err
			}
			return printJSON(con.Out, admission)
		}
		if err := showUnknown(con.Out, attempts); err != nil {
			return err
		}
		return c.advise(con.Out, attempts, admission)
	})
}

// check reads all pages.
func (c *RestoreCheck) check(ctx context.Context, client refractv1.OperatorServiceClient) (attempts []*refractv1.UnknownAttempt, admission *refractv1.Admission, err error) {
	req := &refractv1.CheckRestoreRequest{Settle: c.Settle, PageSize: 500}
	if c.Settle { // Settling an attempt takes several reads and writes, of the bucket too, and a page must fit in the time of a call.
		req.PageSize = 50
	}
	for {
		resp, err := client.CheckRestore(ctx, req)
		if err != nil {
			return nil, nil, err
		}
		attempts = append(attempts, resp.GetAttempts()...)
		if req.PageToken = resp.GetNextPageToken(); req.GetPageToken() == "" {
			return attempts, resp.GetAdmission(), nil
		}
	}
}

func showUnknown(w io.Writer, attempts []*refractv1.UnknownAttempt) error {
	if len(attempts) == 0 {
		_, err := fmt.Fprintln(w, "the database knows everything that was sent to providers")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "TENANT\tREQUEST\tATTEMPT\tACCOUNT\tSENT\tPROVIDER TASK\tTASK NOW") // Flush returns the error of a failed write.
	for _, a := range attempts {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", OneLine(a.GetTenant()), OneLine(a.GetRequestId()), a.GetAttempt(), OneLine(a.GetAccount()),
			stamp(a.GetSendTime()), recordedAnswer(a), taskNow(a))
	}
	return table.Flush()
}

// recordedAnswer returns what is known about the answer to an attempt.
func recordedAnswer(a *refractv1.UnknownAttempt) string {
	if a.GetRefused() {
		return "refused"
	}
	return cmp.Or(OneLine(a.GetProviderTaskId()), "no answer recorded")
}

func taskNow(a *refractv1.UnknownAttempt) string {
	if !a.GetTaskKnown() {
		return "lost"
	}
	return stateName(a.GetTaskState())
}

// advise prints what to do next.
func (c *RestoreCheck) advise(w io.Writer, attempts []*refractv1.UnknownAttempt, a *refractv1.Admission) error {
	lost, open := 0, 0
	for _, attempt := range attempts {
		if !attempt.GetTaskKnown() {
			lost++
		} else {
			open++
		}
	}
	var lines []string
	if open > 0 && !c.Settle {
		lines = append(lines, fmt.Sprintf("%d attempts are of tasks that the database has: `refract restore-check --settle` takes them over", open))
	}
	if lost > 0 {
		lines = append(lines, fmt.Sprintf("%d attempts are of tasks that are lost: when their callers submit them again with the same request id, they are taken over and nothing is paid", lost))
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	if err := c.showAdmission(w, a); err != nil || a.GetOpen() || open > 0 && !c.Settle {
		return err
	}
	_, err := fmt.Fprintln(w, "open it with `refract admission open`")
	return err
}
