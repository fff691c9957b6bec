package providertest

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/provider"
)

var goodName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

func capabilityCases() []testCase {
	return []testCase{
		{name: "the name can stand in URLs and metrics", run: func(r *rig) {
			if got := r.p.Name(); got != r.subject.Name || !goodName.MatchString(got) {
				r.Errorf("name is %q, want %q, in lower case", got, r.subject.Name)
			}
		}},
		{name: "the facts can be used", run: (*rig).sane},
		{name: "one provider serves many at a time", run: (*rig).concurrent},
	}
}

// sane wants capabilities that validation, admission and checks can work with.
func (r *rig) sane() {
	c := r.p.Capabilities()
	_, uploads := r.p.Provider.(provider.Uploader)
	for what, ok := range map[string]bool{
		"the kind of callbacks is known":            c.Callbacks.String() != "unknown",
		"signed callbacks have headers":             c.Callbacks.Signed() == (len(c.CallbackHeaders) > 0),
		"headers of callbacks can be passed on":     !slices.ContainsFunc(c.CallbackHeaders, unusableHeader) && distinct(c.CallbackHeaders),
		"who says that it takes files has a method": c.Upload == uploads && c.Upload == (c.UploadLifetime > 0),
		"links live for a while":                    c.LinkLifetime > 0,
		"checks have a pause between them":          c.PollInterval > 0,
		"links outlive a few checks":                c.LinkLifetime > 3*c.PollInterval,
		"an attempt takes time":                     c.TypicalDuration > 0,
		"submissions are limited":                   c.Limits.Submissions > 0 && c.Limits.Window > 0,
		"attempts at a time are limited":            c.Limits.InFlight > 0,
		"questions a second have a limit, or 0":     c.Limits.Queries >= 0,
		"two calls tell the same of the same thing": c.Limits == r.p.Capabilities().Limits,
	} {
		if !ok {
			r.Errorf("want that %s: %+v", what, c)
		}
	}
}

// unusableHeader reports whether the ingress can't pass on a header of this name: names are in canonical form, and the gateway gives some
// headers a meaning of its own.
func unusableHeader(name string) bool {
	switch name {
	case "Authorization", "Content-Type", "Grpc-Timeout", "Te":
		return true
	}
	return name != http.CanonicalHeaderKey(name) || strings.HasPrefix(name, "X-Forwarded-") || strings.HasSuffix(name, "-Bin")
}

func distinct(list []string) bool {
	return len(slices.Compact(slices.Sorted(slices.Values(list)))) == len(list)
}

// concurrent uses all methods of one provider from many goroutines. The race detector sees what results don't show.
func (r *rig) concurrent() {
	const many = 8
	var wg sync.WaitGroup
	ids, errs := make([]string, many), make([]error, many)
	for i := range many {
		s := r.submission()
		wg.Go(func() {
			receipt, err := r.p.Submit(r.Context(), s)
			ids[i], errs[i] = receipt.TaskID, err
			if err != nil {
				return
			}
			_, errs[i] = r.p.Check(r.Context(), r.query(ids[i], time.Now()))
			_, _ = r.p.Callback(r.Context(), nil, []byte(`{}`), time.Now())
			_, _ = r.p.RefreshLink(r.Context(), "https://example.com/"+ids[i])
			_ = r.p.Capabilities()
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			r.Errorf("submission %d: %v", i, err)
		}
	}
	if !distinct(ids) {
		r.Errorf("ids are not distinct: %q", ids)
	}
	r.wantPaid(many)
	for _, id := range ids {
		if status := r.finish(id); status.Phase != provider.Succeeded {
			r.Errorf("task %s ended as %v", id, status.Phase)
		}
	}
}
