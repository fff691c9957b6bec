package task

import (
	"fmt"
	"time"
)

// WaitCause is what a task waits for.
type WaitCause string

// The causes. If several apply, a task shows the first in this order.
const (
	WaitAdmissionClosed WaitCause = "ADMISSION_CLOSED"    // Admission is closed for all providers.
	WaitStorage         WaitCause = "STORAGE_UNAVAILABLE" // Results can't be stored, so that nothing more is spent.
	WaitDownload        WaitCause = "DOWNLOAD_FAILING"    // The result can't be downloaded from the provider.
	WaitLinks           WaitCause = "LINKS_MISSING"       // The provider names no link to the result.
	WaitAnswer          WaitCause = "ANSWER_UNREADABLE"   // The provider does not say where the result is.
	WaitConfirmation    WaitCause = "UNCONFIRMED_OUTCOME" // It is unknown whether the provider took the attempt.
	WaitSource          WaitCause = "SOURCE"              // The task's source is being probed, or handed to the provider.
	WaitDelay           WaitCause = "RETRY_DELAY"         // The last attempt created nothing at the provider; the next follows after a pause.
	WaitOffering        WaitCause = "OFFERING_CLOSED"     // The provider does not have the model, or an operator closed it there.
	WaitProviderPaused  WaitCause = "PROVIDER_PAUSED"     // Every account at the provider is paused.
	WaitTenantShare     WaitCause = "TENANT_SHARE"        // The tenant has its share, or other tasks of the tenant go first.
	WaitInFlightCap     WaitCause = "IN_FLIGHT_CAP"       // As many attempts are in flight as the provider allows.
	WaitRateWindow      WaitCause = "RATE_WINDOW"         // The rate windows are full.
	WaitAdmission       WaitCause = "ADMISSION"           // Nothing; it goes with the next round.
)

// Waiting says what a task waits for.
type Waiting struct {
	Cause   WaitCause
	Place   int       // The place in the tenant's queue at the provider, from 1, counted up to 10,001; 0 for a task that is not QUEUED.
	Until   time.Time // When the wait ends; zero if that is unknown.
	Message string
}

// SaveTry is a try to save outputs that failed.
type SaveTry struct {
	Cause      WaitCause     // What the next try waits for.
	Message    string        // In words for callers.
	RetryAfter time.Duration // When the next one follows.
	Storage    string        // Why the storage failed, in words for callers; empty if it did not.
}

// SaveTrouble is why the outputs of an attempt are not saved.
type SaveTrouble struct {
	Cause   WaitCause
	Message string
	Since   time.Time // When the save began to fail. It begins anew when the storage works again, and when it fails.
	Until   time.Time // When the next try follows.
	Storage StorageTrouble
}

// StorageTrouble is a failure of the storage that kept outputs from being saved. It is zero if there was none.
type StorageTrouble struct {
	Cause        string // In words for callers.
	Since, Until time.Time
}

// String describes the trouble to callers.
func (s StorageTrouble) String() string {
	const layout = "2006-01-02 15:04:05"
	return fmt.Sprintf("our storage failed between %s and %s UTC, since it %s", s.Since.UTC().Format(layout), s.Until.UTC().Format(layout), s.Cause)
}
