package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Tenant shows tenants and sets their terms.
type Tenant struct {
	List tenantListCmd `cmd:"" help:"Show the tenants: shares, quotas and how much of them is used, and for how long their things are kept."`
	Set  tenantSetCmd  `cmd:"" help:"Set the share and the quotas of a tenant, live and on all replicas; of these, what is not given is none. Retention times that are not given stay, and given alone they change nothing else."`
}

type tenantListCmd struct {
	clientFlags
}

// Run lists the tenants.
func (c *tenantListCmd) Run(ctx context.Context, con Console) error {
	return c.operate(func(client refractv1.OperatorServiceClient) error {
		var tenants []*refractv1.Tenant
		for req := (&refractv1.ListTenantsRequest{PageSize: maxPage}); ; {
			resp, err := client.ListTenants(ctx, req)
			if err != nil {
				return err
			}
			tenants = append(tenants, resp.GetTenants()...)
			if req.PageToken = resp.GetNextPageToken(); req.GetPageToken() == "" {
				return c.showTenants(con.Out, tenants...)
			}
		}
	})
}

type tenantSetCmd struct {
	clientFlags

	Tenant         string `arg:"" help:"Name of the tenant; - for the default, which holds for tenants without terms of their own."`
	Weight         int32  `name:"weight" placeholder:"N" help:"How much of a provider the tenant gets while others wait, relative to them. Default: 1."`
	MaxQueued      int32  `name:"max-queued" placeholder:"N" help:"Tasks that may be queued; more are refused."`
	MaxInFlight    int32  `name:"max-in-flight" placeholder:"N" help:"Attempts that may be open over all providers; more wait."`
	MaxPerDay      int32  `name:"max-per-day" placeholder:"N" help:"Tasks that may be submitted in a day of UTC; more are refused."`
	MaxCalls       int32  `name:"max-calls-per-second" placeholder:"N" help:"Calls that may be made per second at each replica, and twice as many at once; more are refused."`
	MaxSourceBytes int64  `name:"max-source-bytes" placeholder:"N" help:"Bytes that uploaded sources and unfinished uploads may have; more are refused. Default: 107374182400."`
	MaxSources     int32  `name:"max-sources" placeholder:"N" help:"Uploaded sources and unfinished uploads that may be kept; more are refused. Default: 10000."`
	MaxUploads     int32  `name:"max-unfinished-uploads" placeholder:"N" help:"Unfinished uploads that may be kept; more are refused. Default: 1000."`
	Default        bool   `name:"default" help:"Let the tenant go by the default's terms instead, retention times too."`

	KeepOutputs   keepTime `name:"keep-outputs" placeholder:"TIME" help:"How long outputs are kept after they were saved: a time such as 48h, 0 for no limit, or default. As in the next three."`
	KeepSources   keepTime `name:"keep-sources" placeholder:"TIME" help:"How long uploaded sources are kept after their last use; at least 24h."`
	KeepCallbacks keepTime `name:"keep-callbacks" placeholder:"TIME" help:"How long callbacks are kept."`
	KeepTasks     keepTime `name:"keep-tasks" placeholder:"TIME" help:"How long tasks are kept after they ended; at least 24h."`
}

// keepTime is a retention time as it was given, or nothing.
type keepTime struct{ time *refractv1.KeepTime }

// UnmarshalText reads a duration, or the word default.
func (k *keepTime) UnmarshalText(text []byte) error {
	if string(text) == "default" {
		k.time = &refractv1.KeepTime{Time: &refractv1.KeepTime_AsDefault{AsDefault: true}}
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil {
		return errors.New("want a time such as 48h, 0 for no limit, or default")
	}
	k.time = &refractv1.KeepTime{Time: &refractv1.KeepTime_KeepFor{KeepFor: durationpb.New(d)}}
	return nil
}

// Run sets the terms.
func (c *tenantSetCmd) Run(ctx context.Context, con Console) error {
	req := &refractv1.UpdateTenantRequest{
		Tenant: c.Tenant, Weight: c.Weight, UseDefault: c.Default,
		MaxQueued: given(c.MaxQueued), MaxInFlight: given(c.MaxInFlight), MaxPerDay: given(c.MaxPerDay), MaxCallsPerSecond: given(c.MaxCalls),
		MaxSourceBytes: given(c.MaxSourceBytes), MaxSources: given(c.MaxSources), MaxUnfinishedUploads: given(c.MaxUploads),
		KeepOutputs: c.KeepOutputs.time, KeepSources: c.KeepSources.time, KeepCallbacks: c.KeepCallbacks.time, KeepTasks: c.KeepTasks.time,
	}
	return c.operate(func(client refractv1.OperatorServiceClient) error {
		resp, err := client.UpdateTenant(ctx, req)
		if err != nil {
			return err
		}
		return c.showTenants(con.Out, resp.GetTenant())
	})
}

// given is a number that was given, or nothing.
func given[N int32 | int64](n N) *N {
	if n == 0 {
		return nil
	}
	return &n
}

// showTenants prints tenants as a table, or as JSON.
func (f *clientFlags) showTenants(w io.Writer, tenants ...*refractv1.Tenant) error {
	if f.JSON {
		return printLines(w, tenants)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "TENANT\tTERMS\tWEIGHT\tQUEUED\tOPEN\tTODAY\tOUTPUTS\tSOURCES\tCALLBACKS\tTASKS\tUPLOADED\tUPLOADS\tUNFINISHED") // Flush returns the error of a failed write.
	for _, t := range tenants {
		terms, today := "default", "-"
		if t.GetOwnTerms() {
			terms = "own"
		}
		if t.MaxPerDay != nil {
			today = ofMost(t.GetSubmissionsToday(), t.MaxPerDay)
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", OneLine(t.GetTenant()), terms, t.GetWeight(),
			ofMost(t.GetQueuedTasks(), t.MaxQueued), ofMost(t.GetOpenAttempts(), t.MaxInFlight), today,
			keptTime(t.GetKeepOutputs()), keptTime(t.GetKeepSources()), keptTime(t.GetKeepCallbacks()), keptTime(t.GetKeepTasks()),
			ofMost(t.GetSourceBytes(), &t.MaxSourceBytes), ofMost(t.GetSources(), &t.MaxSources), ofMost(t.GetUnfinishedUploads(), &t.MaxUnfinishedUploads))
	}
	return table.Flush()
}

// keptTime is for how long something is kept.
func keptTime(d *durationpb.Duration) string {
	if d.AsDuration() == 0 {
		return "no limit"
	}
	return shortDuration(d.AsDuration())
}

// ofMost is how much there is, of how much there may be.
func ofMost[N int32 | int64](n N, most *N) string {
	text := strconv.FormatInt(int64(n), 10)
	if most != nil {
		text += "/" + strconv.FormatInt(int64(*most), 10)
	}
	return text
}
