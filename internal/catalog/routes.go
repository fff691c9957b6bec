package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Routes are the routes of an operator, by the name of the model. Each replaces the catalog's.
type Routes map[string][]string

// ParseRoutes parses routes of the form MODEL=PROVIDER,PROVIDER. It checks no names.
func ParseRoutes(texts []string) (Routes, error) {
	routes := Routes{}
	for _, text := range texts {
		model, list, found := strings.Cut(text, "=")
		if !found || model == "" {
			return nil, fmt.Errorf("%q is not of the form MODEL=PROVIDER,PROVIDER", text)
		}
		if _, again := routes[model]; again {
			return nil, fmt.Errorf("%s: the model has two routes", model)
		}
		route := strings.Split(list, ",")
		for i, name := range route {
			route[i] = strings.TrimSpace(name)
			switch {
			case route[i] == "" && len(route) == 1:
				return nil, fmt.Errorf("%s: the route is empty", model)
			case route[i] == "":
				return nil, fmt.Errorf("%s: the route %q has an empty name", model, list)
			case slices.Contains(route[:i], route[i]):
				return nil, fmt.Errorf("%s: the route names provider %q twice", model, route[i])
			}
		}
		routes[model] = route
	}
	return routes, nil
}

// WithRoutes returns a catalog whose models have these routes. Providers that a route does not name are not in it, so that only
// tasks that name such a provider go there.
func (c *Catalog) WithRoutes(routes Routes) (*Catalog, error) {
	changed := &Catalog{models: slices.Clone(c.models), byName: maps.Clone(c.byName)}
	for _, name := range slices.Sorted(maps.Keys(routes)) {
		model := c.byName[name]
		if model == nil {
			return nil, fmt.Errorf("%s: there is no such model; known are: %s", name, strings.Join(slices.Sorted(maps.Keys(c.byName)), ", "))
		}
		for _, provider := range routes[name] {
			if model.At(provider) == nil {
				return nil, fmt.Errorf("%s: provider %q has no offering of the model; these have: %s", name, provider, strings.Join(model.Route, ", "))
			}
		}
		routed := *model
		routed.Route = routes[name]
		changed.byName[name] = &routed
		changed.models[slices.Index(changed.models, model)] = &routed
	}
	return changed, nil
}
