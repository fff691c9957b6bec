package console

import (
	"errors"
	"net/http"
	"net/url"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/refract-video/refract/internal/cookie"
	"github.com/refract-video/refract/internal/identity"
	"github.com/refract-video/refract/internal/publicerr"
)

var (
	errNoPage   = errors.New("there is no such page")
	errNoTenant = errors.New("you are signed in as an operator without a tenant, and the page is one of a tenant")
)

// fail answers a request that has no caller, or whose page could not be made.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, err error) {
	if isSignedOut(err) && c.SignIn != nil {
		c.leadToLogin(w, r)
		return
	}
	c.showError(w, r, nil, err)
}

// isSignedOut reports whether an error means that a request has no valid credentials.
func isSignedOut(err error) bool {
	return errors.Is(err, ErrSignedOut) || status.Code(err) == codes.Unauthenticated
}

// leadToLogin leads to the page to sign in, which says so where the browser had a session.
func (c *Console) leadToLogin(w http.ResponseWriter, r *http.Request) {
	query := url.Values{"to": {wanted(r)}}
	if c.Cookies.Get(r, cookie.Session) != "" {
		c.Cookies.Clear(w, cookie.Session)
		query.Set("ended", "1")
	}
	http.Redirect(w, r, "/login?"+query.Encode(), http.StatusSeeOther)
}

// fail answers with the page of an error. The visitor is known, so that signing in again would not help where the API takes them for
// no tenant: they are an operator without a tenant.
func (v *visit) fail(err error) {
	if isSignedOut(err) && !v.stranger {
		err = errNoTenant
	}
	v.console.showError(v.w, v.r, v.known(), err)
}

// wanted returns where a request leads after signing in: the page itself, or the start after a form.
func wanted(r *http.Request) string {
	if r.Method != http.MethodGet {
		return "/"
	}
	return r.URL.RequestURI()
}

// errorPage is what the page of an error shows.
type errorPage struct {
	Status  int
	Heading string
	Message string
}

func (c *Console) showError(w http.ResponseWriter, r *http.Request, caller *Caller, err error) {
	p := errorPageOf(err)
	if p.Status == http.StatusInternalServerError {
		c.Log.ErrorContext(r.Context(), "a page of the console failed", "path", r.URL.Path, "error", err)
	}
	setRetryAfter(w, err)
	data := view{Title: p.Heading, Caller: caller, Page: p}
	if caller != nil {
		data.FormToken = cookie.FormToken(caller.FormKey)
	}
	if err := c.write(w, p.Status, "error", data); err != nil {
		c.Log.ErrorContext(r.Context(), "the page of an error failed", "path", r.URL.Path, "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
	}
}

// setRetryAfter sets the header of that name where an error says when to try again.
func setRetryAfter(w http.ResponseWriter, err error) {
	after := publicerr.RetryAfter(status.Convert(err))
	if errors.Is(err, errTooMany) {
		after = signInRetry
	}
	if after != "" {
		w.Header().Set("Retry-After", after)
	}
}

// errorPageOf is the table of what pages of errors say.
func errorPageOf(err error) errorPage {
	switch {
	case errors.Is(err, errNoPage):
		return errorPage{http.StatusNotFound, "No such page", "There is nothing at this address."}
	case errors.Is(err, errNoTenant):
		return errorPage{http.StatusForbidden, "Not allowed", "You are signed in as an operator without a tenant, and this page is one of a tenant."}
	case errors.Is(err, errForged):
		return errorPage{http.StatusForbidden, "Form refused", asSentence(err.Error())}
	case errors.Is(err, errBrokenForm):
		return errorPage{http.StatusBadRequest, "Form refused", asSentence(err.Error())}
	case errors.Is(err, identity.ErrLinkNotFound):
		return errorPage{http.StatusNotFound, "No such link", "The link was used already, or has expired. Ask for a new one."}
	case errors.Is(err, errTooMany):
		return errorPage{http.StatusTooManyRequests, "Too many attempts", "There were too many attempts to sign in. Try again in a minute."}
	case errors.Is(err, errTooLong):
		return errorPage{http.StatusRequestEntityTooLarge, "Form refused", asSentence(err.Error())}
	}
	st, ok := status.FromError(err)
	if !ok {
		return errorPage{http.StatusInternalServerError, "Internal error", "The page could not be made. The log of the service has the reason."}
	}
	switch st.Code() {
	case codes.NotFound:
		return errorPage{http.StatusNotFound, "Not found", st.Message()}
	case codes.PermissionDenied:
		return errorPage{http.StatusForbidden, "Not allowed", st.Message()}
	case codes.InvalidArgument:
		return errorPage{http.StatusBadRequest, "Invalid request", st.Message()}
	case codes.FailedPrecondition, codes.Aborted, codes.AlreadyExists:
		return errorPage{http.StatusConflict, "Not possible now", st.Message()}
	case codes.ResourceExhausted:
		return errorPage{http.StatusTooManyRequests, "Too many requests", st.Message()}
	case codes.Unavailable, codes.DeadlineExceeded:
		return errorPage{http.StatusServiceUnavailable, "Unavailable", st.Message()}
	default:
		return errorPage{http.StatusInternalServerError, "Internal error", st.Message()}
	}
}
