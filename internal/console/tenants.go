package console

import (
	"net/http"
	"net/url"
	"strings"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// tenantRoutes adds the pages of tenants.
func (c *Console) tenantRoutes() {
	c.handle("GET /tenants", c.listTenants)
	c.handle("GET /tenants/open", c.openTenant)
	c.handle("GET /tenants/{name}", c.editTenant)
	c.handle("POST /tenants/{name}", c.updateTenant)
}

var tenantNotices = map[string]string{
	"tenant-updated":   "The terms are saved. They apply from the next submission and the next round of admission.",
	"tenant-unchanged": "Nothing was changed, so nothing was saved.",
}

// defaultTenant is the name of the default in the API.
const defaultTenant = "-"

// tenantView is a tenant as pages show it.
type tenantView struct{ *refractv1.Tenant }

// IsDefault reports whether it is the default, which applies to tenants without their own terms.
func (t tenantView) IsDefault() bool { return t.GetTenant() == defaultTenant }

// Name returns the name as pages show it.
func (t tenantView) Name() string {
	if t.IsDefault() {
		return "The default"
	}
	return t.GetTenant()
}

// URL returns the URL of the tenant's page. A name may have any character.
func (t tenantView) URL() string { return tenantURL(t.GetTenant()) }

func tenantURL(name string) string {
	if name == "." || name == ".." || name == "open" {
		return "/tenants/open?" + url.Values{"tenant": {name}}.Encode() // No path can have such a name as its last part.
	}
	return "/tenants/" + url.PathEscape(name)
}

// MaxBytes returns the limit of the size of uploads with its unit.
func (t tenantView) MaxBytes() string { return amountOf(sizeUnits, t.GetMaxSourceBytes()).String() }

// UsedBytes returns the size of the uploads with its unit.
func (t tenantView) UsedBytes() string { return roundSize(t.GetSourceBytes()) }

// Usages returns how much of each quota is used.
func (t tenantView) Usages() []usage {
	usages := []usage{
		{Name: "Queued tasks", Used: int64(t.GetQueuedTasks()), Limit: limitOf(t.MaxQueued), AtLeast: t.GetQueuedTasks() > countedQueued},
		{Name: "Open attempts", Used: int64(t.GetOpenAttempts()), Limit: limitOf(t.MaxInFlight)},
		{Name: "Submitted today", Used: int64(t.GetSubmissionsToday()), Limit: limitOf(t.MaxPerDay), Uncounted: t.SubmissionsToday == nil},
	}
	if t.IsDefault() { // It has no usage of its own.
		for i := range usages {
			usages[i].Uncounted = true
		}
	}
	return usages
}

// countedQueued is the number of queued tasks that the API counts.
const countedQueued = 10000

// usage is how much of a quota is used.
type usage struct {
	Name      string
	Used      int64
	Limit     int64 // 0 for none.
	AtLeast   bool  // Whether there may be more.
	Uncounted bool
}

// Full reports whether the quota is used up.
func (u usage) Full() bool { return u.Limit > 0 && u.Used >= u.Limit }

func limitOf(n *int32) int64 {
	if n == nil {
		return 0
	}
	return int64(*n)
}

// tenantList is what the list of tenants shows.
type tenantList struct {
	Tenants []tenantView
	Next    string // The URL of the next page; empty at the end.
	First   string // The URL of the first page; empty at the first page.
}

// listTenants shows the tenants by name.
func (c *Console) listTenants(v *visit) error {
	resp, err := c.operators.ListTenants(v, &refractv1.ListTenantsRequest{PageSize: pageSize, PageToken: v.r.URL.Query().Get(pageParameter)})
	if err != nil {
		return err
	}
	list := tenantList{Next: nextPage(v.r.URL, resp.GetNextPageToken()), First: firstPage(v.r.URL)}
	for _, t := range resp.GetTenants() {
		list.Tenants = append(list.Tenants, tenantView{t})
	}
	return v.show("tenants", "Tenants", list)
}

// openTenant leads to the page of a tenant by its name, which may be new. It is the page itself for names that no path can have.
func (c *Console) openTenant(v *visit) error {
	name := strings.TrimSpace(v.r.URL.Query().Get("tenant"))
	switch to := tenantURL(name); {
	case name == "":
		return v.redirect("/tenants")
	case strings.HasPrefix(to, "/tenants/open"):
		return c.showTenant(v, name)
	default:
		return v.redirect(to)
	}
}

// editTenant shows a tenant with the form of its terms.
func (c *Console) editTenant(v *visit) error { return c.showTenant(v, v.r.PathValue("name")) }

// tenantPage is what the page of a tenant shows.
type tenantPage struct {
	tenantView

	Form tenantForm
}

func (c *Console) showTenant(v *visit, name string) error {
	t, err := c.tenant(v, name)
	if err != nil {
		return err
	}
	return v.show("tenant", t.Name(), tenantPage{t, formOf(t.Tenant)})
}

func (c *Console) tenant(v *visit, name string) (tenantView, error) {
	resp, err := c.operators.ListTenants(v, &refractv1.ListTenantsRequest{Tenant: name})
	if err != nil {
		return tenantView{}, err
	}
	if len(resp.GetTenants()) != 1 {
		return tenantView{}, errNoPage
	}
	return tenantView{resp.GetTenants()[0]}, nil
}

// updateTenant sends what the person changed.
func (c *Console) updateTenant(v *visit) error {
	name := v.r.PathValue("name")
	if name == "open" { // See tenantURL.
		name = v.r.URL.Query().Get("tenant")
	}
	form := readTenantForm(v.r.PostForm)
	req, changed := form.request(name)
	if len(form.Violations) == 0 && !changed {
		return v.done(tenantURL(name), "tenant-unchanged")
	}
	var cause error
	if len(form.Violations) == 0 {
		if _, cause = c.operators.UpdateTenant(v, req); cause == nil {
			return v.done(tenantURL(name), "tenant-updated")
		}
		form.refused(cause)
	}
	t, err := c.tenant(v, name)
	if err != nil {
		return err
	}
	page := tenantPage{t, form}
	if cause == nil {
		return v.showStatus(http.StatusBadRequest, "tenant", t.Name(), checkFields, page)
	}
	return v.refuse(cause, "tenant", t.Name(), page)
}
