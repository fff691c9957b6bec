package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/audit"
	"github.com/refract-video/refract/internal/cli"
	"github.com/refract-video/refract/internal/identity"
	"github.com/refract-video/refract/internal/postgres/credentials"
	"github.com/refract-video/refract/internal/postgres/dbpool"
)

// tokenCmd manages the API tokens of tenants. It writes to the database and calls no service, so access to the
// database is all that it needs.
type tokenCmd struct {
	Create tokenCreateCmd `cmd:"" help:"Create a token for a tenant and print it. It is shown once."`
	List   tokenListCmd   `cmd:"" help:"List tokens, without their secrets."`
	Revoke tokenRevokeCmd `cmd:"" help:"Revoke a token. Within five seconds, the service refuses calls with it and ends its open streams."`
}

type tokenCreateCmd struct {
	databaseFlags
	Tenant   string `required:"" help:"Tenant that the token identifies."`
	Operator bool   `help:"Also allow the calls of operators: providers, tenants, callbacks."`
	JSON     bool   `name:"json" help:"Print JSON."`
}

// Run creates a token.
func (c *tokenCreateCmd) Run(ctx context.Context, con cli.Console) error {
	if err := identity.CheckTenant(c.Tenant); err != nil {
		return fmt.Errorf("--tenant %w", err)
	}
	return withTokens(ctx, c.databaseFlags, func(ctx context.Context, tokens *credentials.APITokens) error {
		t, secret, err := tokens.Issue(ctx, c.Tenant, c.Operator)
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(con.Out).Encode(map[string]any{"id": t.ID, "tenant": t.Tenant, "operator": t.Operator, "token": secret})
		}
		_, err = fmt.Fprintf(con.Out, "id       %s\ntenant   %s\noperator %s\ntoken    %s\n", t.ID, t.Tenant, yesNo(t.Operator), secret)
		return err
	})
}

type tokenListCmd struct {
	databaseFlags
	Tenant string `help:"List this tenant's tokens only."`
	JSON   bool   `name:"json" help:"Print one JSON object a line."`
}

// tokenLine is a token as JSON.
type tokenLine struct {
	ID         string     `json:"id"`
	Tenant     string     `json:"tenant"`
	CreateTime time.Time  `json:"createTime"`
	RevokeTime *time.Time `json:"revokeTime,omitempty"`
	Operator   bool       `json:"operator"`
}

// Run lists tokens.
func (c *tokenListCmd) Run(ctx context.Context, con cli.Console) error {
	return withTokens(ctx, c.databaseFlags, func(ctx context.Context, tokens *credentials.APITokens) error {
		listed, err := tokens.List(ctx, identity.TokenFilter{Tenant: c.Tenant})
		if err != nil {
			return err
		}
		if c.JSON {
			lines := json.NewEncoder(con.Out)
			for _, t := range listed {
				if err := lines.Encode(tokenLine(t)); err != nil {
					return err
				}
			}
			return nil
		}
		table := tabwriter.NewWriter(con.Out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(table, "ID\tTENANT\tOPERATOR\tCREATED\tREVOKED") // Flush returns the error of a failed write.
		for _, t := range listed {
			revoked := "-"
			if t.RevokeTime != nil {
				revoked = t.RevokeTime.UTC().Format(time.RFC3339)
			}
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", t.ID, cli.OneLine(t.Tenant), yesNo(t.Operator), t.CreateTime.UTC().Format(time.RFC3339), revoked)
		}
		return table.Flush()
	})
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

type tokenRevokeCmd struct {
	databaseFlags
	ID string `arg:"" help:"Id of the token, as list shows it."`
}

// Run revokes a token.
func (c *tokenRevokeCmd) Run(ctx context.Context, con cli.Console) error {
	if _, err := uuid.Parse(c.ID); err != nil {
		return fmt.Errorf("%q is not the id of a token: see `refract token list`", c.ID)
	}
	return withTokens(ctx, c.databaseFlags, func(ctx context.Context, tokens *credentials.APITokens) error {
		if _, err := tokens.Revoke(ctx, c.ID); err != nil {
			return err
		}
		_, err := fmt.Fprintln(con.Out, "revoked")
		return err
	})
}

// withTokens opens the database, checks that it has this release's schema, and calls a function with its tokens. What the function
// changes is recorded as a change of the user who runs the command.
func withTokens(ctx context.Context, f databaseFlags, do func(context.Context, *credentials.APITokens) error) error {
	ctx = dbpool.Patient(ctx)
	pool, err := f.openMigrated(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	return do(audit.WithActor(ctx, audit.Actor{Kind: audit.Command, Name: userName()}), credentials.NewAPITokens(pool))
}

// userName returns the name of the user who runs the command and of the machine, as far as the system knows them.
func userName() string {
	name := "uid " + strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}
