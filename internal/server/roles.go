package server

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The roles of a replica.
const (
	roleAPI     = "api"     // Serves callers: gRPC, REST, streams.
	roleIngress = "ingress" // Receives callbacks of providers.
	roleWorker  = "worker"  // Does everything that no one waits for: admission, jobs, checks, webhooks, retention.
)

var roles = []string{roleAPI, roleIngress, roleWorker}

// has reports whether the replica has a role. Without a setting it has all.
func (f *Config) has(role string) bool { return len(f.Roles) == 0 || slices.Contains(f.Roles, role) }

// ingressAlone reports whether the replica only stores callbacks, for workers to settle. An ingress with another role settles them as
// they arrive.
func (f *Config) ingressAlone() bool {
	return f.has(roleIngress) && !f.has(roleAPI) && !f.has(roleWorker)
}

// checkRoles refuses roles that do not exist, and roles that lack a setting.
func (f *Config) checkRoles() error {
	for _, role := range f.Roles {
		if !slices.Contains(roles, role) {
			return fmt.Errorf("--roles=%s: there is no role %q; the roles are %s", strings.Join(f.Roles, ","), role, strings.Join(roles, ", "))
		}
	}
	one := fmt.Sprintf("--roles=%s ", strings.Join(f.Roles, ","))
	all := f.has(roleAPI) && f.has(roleIngress) && f.has(roleWorker)
	switch {
	case !all && f.private():
		return errors.New(one + "needs --database-url: replicas share their work through one database")
	case f.ingressAlone() && len(f.CallbackKeys) == 0:
		return errors.New(one + "needs --callback-key, the same as all other replicas have: its database role can't read the key that the database keeps")
	case f.ingressAlone() && f.Migrate:
		return errors.New(one + "can't --migrate: its database role may only append; run `refract migrate`, or let a worker migrate")
	case f.ingressAlone() && f.PublicSources:
		return errors.New(one + "can't serve --public-sources: its database role can't find them; add the role api or worker, or leave sources to the bucket or to the provider's uploads")
	case f.has(roleWorker) && !f.has(roleAPI) && f.BaseURL == "":
		return errors.New(one + "needs --base-url, the address of the HTTP listener of api replicas as callers reach it: webhooks link to outputs there")
	case f.has(roleWorker) && !f.has(roleIngress) && f.CallbackURL == "":
		return errors.New(one + "needs --callback-url, the public https address of the ingress replicas: providers call it")
	}
	return nil
}
