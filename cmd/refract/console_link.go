package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/refract-video/refract/internal/audit"
	"github.com/refract-video/refract/internal/cli"
	"github.com/refract-video/refract/internal/console"
	"github.com/refract-video/refract/internal/identity"
	"github.com/refract-video/refract/internal/postgres/credentials"
	"github.com/refract-video/refract/internal/postgres/dbpool"
)

// consoleLinkCmd makes a login link to the console. Like tokenCmd it writes to the database and calls no service.
type consoleLinkCmd struct {
	databaseFlags

	Tenant   string `help:"Tenant to sign in as."`
	Operator bool   `help:"Sign in with the rights of an operator, who needs no tenant."`
	BaseURL  string `name:"base-url" env:"REFRACT_BASE_URL" help:"Address of the HTTP listener as browsers reach it. Without it, the link begins with its path."`
}

// Run makes a link.
func (c *consoleLinkCmd) Run(ctx context.Context, con cli.Console) error {
	switch {
	case c.Tenant == "" && !c.Operator:
		return errors.New("pass --tenant, --operator or both")
	case c.Tenant != "":
		if err := identity.CheckTenant(c.Tenant); err != nil {
			return fmt.Errorf("--tenant %w", err)
		}
	}
	ctx = dbpool.Patient(ctx)
	pool, err := c.openMigrated(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	ctx = audit.WithActor(ctx, audit.Actor{Kind: audit.Command, Name: userName()})
	code, err := credentials.NewSessions(pool).CreateLink(ctx, c.Tenant, c.Operator)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(con.Out, strings.TrimSuffix(c.BaseURL, "/")+console.LinkPath(code))
	return err
}
