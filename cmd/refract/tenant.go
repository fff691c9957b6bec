package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// tenantCmd shows tenants and sets their terms.
type tenantCmd struct {
	List tenantListCmd `cmd:"" help:"Show the tenants: shares, quotas, and how much of them is used."`
	Set  tenantSetCmd  `cmd:"" help:"Set the share and the quotas of a tenant, live and on all replicas. What is not given is none."`
}

type tenantListCmd struct {
	clientFlags
}

// Run lists the tenants.
func (c *tenantListCmd) Run(ctx context.Context, con console) error {
	return c.operate(func(client refractv1.OperatorServiceClient) error {
		var tenants []*refractv1.Tenant
		for req := (&refractv1.ListTenantsRequest{PageSize: maxPage}); ; {
			resp, err := client.ListTenants(ctx, req)
			if err != nil {
				return err
			}
			tenants = append(tenants, resp.GetTenants()...)
			if req.PageToken = resp.GetNextPageToken(); req.GetPageToken() == "" {
				return c.showTenants(con.out, tenants...)
			}
		}
	})
}

type tenantSetCmd struct {
	clientFlags

	Tenant      string `arg:"" help:"Name of the tenant; - for the default, which holds for tenants without terms of their own."`
	Weight      int32  `name:"weight" default:"1" help:"How much of a provider the tenant gets while others wait, relative to them."`
	MaxQueued   int32  `name:"max-queued" placeholder:"N" help:"Tasks that may be queued; more are refused."`
	MaxInFlight int32  `name:"max-in-flight" placeholder:"N" help:"Attempts that may be open over all providers; more wait."`
	MaxPerDay   int32  `name:"max-per-day" placeholder:"N" help:"Tasks that may be submitted in a day of UTC; more are refused."`
	Default     bool   `name:"default" help:"Let the tenant go by the default's terms instead."`
}

// Run sets the terms.
func (c *tenantSetCmd) Run(ctx context.Context, con console) error {
	req := &refractv1.UpdateTenantRequest{
		Tenant: c.Tenant, Weight: c.Weight, UseDefault: c.Default,
		MaxQueued: given(c.MaxQueued), MaxInFlight: given(c.MaxInFlight), MaxPerDay: given(c.MaxPerDay),
	}
	if c.Default && c.Weight == 1 {
		req.Weight = 0
	}
	return c.operate(func(client refractv1.OperatorServiceClient) error {
		resp, err := client.UpdateTenant(ctx, req)
		if err != nil {
			return err
		}
		return c.showTenants(con.out, resp.GetTenant())
	})
}

// given is a number that was given, or nothing.
func given(n int32) *int32 {
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
	_, _ = fmt.Fprintln(table, "TENANT\tTERMS\tWEIGHT\tQUEUED\tOPEN\tTODAY") // Flush tells about failed writes.
	for _, t := range tenants {
		terms, today := "default", "-"
		if t.GetOwnTerms() {
			terms = "own"
		}
		if t.MaxPerDay != nil {
			today = ofMost(t.GetSubmissionsToday(), t.MaxPerDay)
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\n", oneLine(t.GetTenant()), terms, t.GetWeight(),
			ofMost(t.GetQueuedTasks(), t.MaxQueued), ofMost(t.GetOpenAttempts(), t.MaxInFlight), today)
	}
	return table.Flush()
}

// ofMost is how much there is, of how much there may be.
func ofMost(n int32, most *int32) string {
	text := strconv.Itoa(int(n))
	if most != nil {
		text += "/" + strconv.Itoa(int(*most))
	}
	return text
}
