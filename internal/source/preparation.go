package source

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// Preparation is background work on a source of a tenant: to probe it, or to upload it to a provider account. There is at most
// one for each source and account, however many tasks wait for it.
type Preparation struct {
	Tenant  string
	Account string
	Source  task.SourceID // Empty if URI names the source.
	URI     string        // Empty if Source names the source, or if no task waits for the URI any more.
	Model   string        // The model of the task that begins it, which judges the source. It is not kept.
}

// PreparationOf returns the preparation of a task's source for an account.
func PreparationOf(t task.Task, account string) Preparation {
	return Preparation{Tenant: t.Tenant, Account: account, Source: t.Spec.SourceID, URI: t.Spec.SourceURI, Model: t.Spec.Model}
}

// Subject returns a name of the source that is unique within its tenant. It does not contain the URI, which may be signed.
func (p Preparation) Subject() string {
	if p.Source != "" {
		return string(p.Source)
	}
	sum := sha256.Sum256([]byte(p.URI))
	return hex.EncodeToString(sum[:])
}

// Host returns the host that may delay the preparation: the host of the URI, or the account that gets an uploaded source.
func (p Preparation) Host() string {
	if p.Source != "" {
		return p.Account
	}
	return p.Spec().SourceHost()
}

// Spec returns the fields of a task that concern its preparation.
func (p Preparation) Spec() task.Spec {
	return task.Spec{SourceID: p.Source, SourceURI: p.URI, Model: p.Model}
}

// PreparationID is the id of a preparation that has not ended.
type PreparationID int64

// Claim selects the due preparations that a replica claims.
type Claim struct {
	Uploaded bool          // Whether to claim uploaded sources, which are uploaded to accounts, or URIs, which are probed.
	Free     int           // How many free slots the replica has. It gets preparations for up to half of them, shared as package fair does.
	Made     map[Party]int // How many preparations of each party run on this replica.
	Lease    time.Duration // The time in which no other replica claims them.
}

// Party is a tenant and a host that share the slots of a replica.
type Party struct {
	Tenant string
	Host   string // The result of Preparation.Host.
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
