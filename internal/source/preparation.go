package source

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// Preparation is a source of a tenant that is looked at or handed to a provider account in the background. There is one
// at a time for each source and account, whatever number of tasks wait for it.
type Preparation struct {
	Tenant  string
	Account string
	Source  task.SourceID // Empty where URI names the source.
	URI     string        // Empty where Source names the source, or where no task waits for the URI any more.
}

// PreparationOf is the preparation of a task's source for an account.
func PreparationOf(t task.Task, account string) Preparation {
	return Preparation{Tenant: t.Tenant, Account: account, Source: t.Spec.SourceID, URI: t.Spec.SourceURI}
}

// Subject names the source among those of its tenant. It does not tell the URI, which may be signed.
func (p Preparation) Subject() string {
	if p.Source != "" {
		return string(p.Source)
	}
	sum := sha256.Sum256([]byte(p.URI))
	return hex.EncodeToString(sum[:])
}

// Host is the party that may keep the preparation waiting: the host of the URI, or the account that gets an uploaded source.
func (p Preparation) Host() string {
	if p.Source != "" {
		return p.Account
	}
	return p.Spec().SourceHost()
}

// Spec is what of a task concerns its preparation.
func (p Preparation) Spec() task.Spec { return task.Spec{SourceID: p.Source, SourceURI: p.URI} }

// PreparationID names a preparation that is under way.
type PreparationID int64

// Claim says which due preparations a replica takes up.
type Claim struct {
	Uploaded bool          // Whether it wants uploaded sources, which are handed over, or URIs, which are looked at.
	Free     int           // How many places it has for them. It gets up to half of them at a time, shared as by package fair,
	Made     map[Party]int // beside what it makes already.
	Lease    time.Duration // For how long nobody else takes them up.
}

// Party is what holds the places of a replica that makes preparations.
type Party struct {
	Tenant string
	Host   string // As by Preparation.Host.
}

// Claimed is a preparation that this replica is to make.
type Claimed struct {
	Preparation

	ID    PreparationID
	Party Party
	Tries int           // How often it failed.
	Age   time.Duration // How long ago it was first wanted.
}

// Waiter is a task that waits for a preparation, at the revision since which it does.
type Waiter struct {
	Task     task.ID
	Revision int64
}
