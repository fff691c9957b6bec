package source

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// Preparation is the work of probing a source of a tenant, or of handing it to a provider account, in the background. There is at
// most one for each source and account, however many tasks wait for it.
type Preparation struct {
	Tenant  string
	Account string
	Source  task.SourceID // Empty if URI names the source.
	URI     string        // Empty if Source names the source, or if no task waits for the URI any more.
}

// PreparationOf returns the preparation of a task's source for an account.
func PreparationOf(t task.Task, account string) Preparation {
	return Preparation{Tenant: t.Tenant, Account: account, Source: t.Spec.SourceID, URI: t.Spec.SourceURI}
}

// Subject names the source among those of its tenant. It does not contain the URI, which may be signed.
func (p Preparation) Subject() string {
	if p.Source != "" {
		return string(p.Source)
	}
	sum := sha256.Sum256([]byte(p.URI))
	return hex.EncodeToString(sum[:])
}

// Host returns what may delay the preparation: the host of the URI, or the account that gets an uploaded source.
func (p Preparation) Host() string {
	if p.Source != "" {
		return p.Account
	}
	return p.Spec().SourceHost()
}

// Spec returns the fields of a task that concern its preparation.
func (p Preparation) Spec() task.Spec { return task.Spec{SourceID: p.Source, SourceURI: p.URI} }

// PreparationID names a preparation that is under way.
type PreparationID int64

// Claim says which due preparations a replica claims.
type Claim struct {
	Uploaded bool          // Whether it claims uploaded sources, which are handed over, or URIs, which are probed.
	Free     int           // How many free places it has. It gets preparations for up to half of them, shared as by package fair.
	Made     map[Party]int // How many preparations each party has under way here.
	Lease    time.Duration // How long no other replica claims them.
}

// Party is a tenant and a host that share the places of a replica.
type Party struct {
	Tenant string
	Host   string // As by Preparation.Host.
}

// Claimed is a preparation that this replica has claimed.
type Claimed struct {
	Preparation

	ID    PreparationID
	Party Party
	Tries int           // How many tries failed.
	Age   time.Duration // Since the first task waited for it.
}

// Waiter is a task that waits for a preparation, at the revision at which it began to wait.
type Waiter struct {
	Task     task.ID
	Revision int64
}
