package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/api"
	"github.com/refract-video/refract/internal/cli"
	"github.com/refract-video/refract/internal/postgres/credentials"
	"github.com/refract-video/refract/internal/postgres/migrations"
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
	if len(c.Tenant) == 0 || len(c.Tenant) > 64 {
		return errors.New("--tenant takes 1 to 64 characters")
	}
	if c.Tenant == "-" {
		return errors.New("--tenant=- is reserved for the default quotas; choose another name")
	}
	return withTokens(ctx, c.databaseFlags, func(tokens *credentials.APITokens) error {
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("make an id: %w", err)
		}
		token, hash := api.NewAPIToken()
		if _, err := tokens.Create(ctx, credentials.APIToken{ID: id.String(), Tenant: c.Tenant, Operator: c.Operator}, hash); err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(con.Out).Encode(map[string]any{"id": id.String(), "tenant": c.Tenant, "operator": c.Operator, "token": token})
		}
		_, err = fmt.Fprintf(con.Out, "id       %s\ntenant   %s\noperator %s\ntoken    %s\n", id, c.Tenant, yesNo(c.Operator), token)
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
	return withTokens(ctx, c.databaseFlags, func(tokens *credentials.APITokens) error {
		listed, err := tokens.List(ctx, c.Tenant)
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
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", t.ID, t.Tenant, yesNo(t.Operator), t.CreateTime.UTC().Format(time.RFC3339), revoked)
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
	return withTokens(ctx, c.databaseFlags, func(tokens *credentials.APITokens) error {
		if err := tokens.Revoke(ctx, c.ID); err != nil {
			return err
		}
		_, err := fmt.Fprintln(con.Out, "revoked")
		return err
	})
}

// withTokens opens the database, checks that it has this release's schema, and calls a function with its tokens.
func withTokens(ctx context.Context, f databaseFlags, do func(*credentials.APITokens) error) error {
	pool, err := f.open(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := migrations.Check(ctx, pool); err != nil {
		return err
	}
	return do(credentials.NewAPITokens(pool))
}
