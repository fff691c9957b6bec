package providertest

import (
	"net/http"
	"time"

	"github.com/refract-video/refract/internal/provider"
)

// signatureCases are the callbacks that a configured signing key has to refuse.
func signatureCases() []testCase {
	bad := func(want error) func(*rig) {
		return func(r *rig) {
			d := r.genuine()
			r.wantBadCallback(d.Header, d.Body, time.Now(), want)
		}
	}
	return []testCase{
		{name: "signed with another key", faults: "bad-signature", run: bad(provider.ErrCallbackSignature)},
		{name: "not signed", faults: "no-signature", run: bad(provider.ErrCallbackSignature)},
		{name: "signed long ago", faults: "stale", run: bad(provider.ErrCallbackStale)},
		{name: "no headers", run: func(r *rig) {
			r.wantBadCallback(http.Header{}, r.genuine().Body, time.Now(), provider.ErrCallbackSignature)
		}},
		{name: "signed for another task", run: func(r *rig) {
			r.wantBadCallback(r.genuine().Header, r.genuine().Body, time.Now(), provider.ErrCallbackSignature)
		}},
		{name: "sent again later", run: func(r *rig) {
			d := r.genuine()
			r.decode(d)
			r.wantBadCallback(d.Header, d.Body, time.Now().Add(time.Hour), provider.ErrCallbackStale)
		}},
		{name: "signed in the future", run: func(r *rig) {
			d := r.genuine()
			r.wantBadCallback(d.Header, d.Body, time.Now().Add(-time.Hour), provider.ErrCallbackStale)
		}},
	}
}
