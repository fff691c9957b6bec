// Package audit defines what the audit log records: who changed what, and the values before and after.
//
// The actor of a change is in the context of the call, where authentication or a command puts it. The store that makes the change
// records it in the same transaction, so that neither exists without the other. A change without an actor is one of the service
// itself, and is not recorded.
package audit

import (
	"context"
	"time"
)

// Kind is how an actor was authenticated.
type Kind string

// The kinds of actors.
const (
	Token       Kind = "TOKEN"       // By an API token.
	JWT         Kind = "JWT"         // By a JWT of an OIDC issuer.
	Certificate Kind = "CERTIFICATE" // By a client certificate.
	Anonymous   Kind = "ANONYMOUS"   // Not at all: authentication is off.
	Command     Kind = "COMMAND"     // By the database, to which a command connects.
)

// Kinds are all kinds.
var Kinds = []Kind{Token, JWT, Certificate, Anonymous, Command}

// Actor is who makes changes.
type Actor struct {
	Kind   Kind
	Name   string // The id of the token, the issuer and the subject of the JWT, the name in the certificate, or the user of the machine.
	Tenant string // Empty for a command, and for an operator without a tenant.
}

// Change is a change to record.
type Change struct {
	Action string // A noun and a verb, such as "tenant.update".
	Target string // The name or id of what is changed.
	Tenant string // The tenant that the change is about; empty for the whole installation.
	// Before and After are values that encoding/json makes objects of, without secrets. Nil means that there are none.
	Before, After any
}

// Event is a recorded change.
type Event struct {
	ID            int64
	CreateTime    time.Time
	Actor         Actor
	Action        string
	Target        string
	Tenant        string
	Before, After []byte // JSON; nil where there are no values.
}

// Place is where an event is in the log. The zero value is before the newest event.
type Place struct {
	Time time.Time
	ID   int64
}

// Filter selects events. Empty fields select all.
type Filter struct {
	Actor  string // The name of the actor.
	Action string // An action, or the noun before its dot.
	Target string
	Tenant string // The tenant that the change is about.

	FromTime, ToTime time.Time // From the first, before the second.
	Before           Place     // Only older events.
	Limit            int
}

type actorKey struct{}

// WithActor returns a context whose changes are those of an actor.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf returns whose changes those of a context are.
func ActorOf(ctx context.Context) (Actor, bool) {
	a, ok := ctx.Value(actorKey{}).(Actor)
	return a, ok
}
