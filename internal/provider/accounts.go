package provider

import (
	"maps"
	"slices"
)

// Accounts are the accounts that the service has at providers, by the name of the account. The first account
// at a provider is called like the provider; several at one provider differ in key and limits.
type Accounts map[string]Provider

// Names returns the names of all accounts, sorted.
func (a Accounts) Names() []string { return slices.Sorted(maps.Keys(a)) }

// At returns the names of the accounts at a provider, sorted.
func (a Accounts) At(providerName string) []string {
	return slices.DeleteFunc(a.Names(), func(name string) bool { return a[name].Name() != providerName })
}

// Providers returns the names of the providers that have an account, sorted.
func (a Accounts) Providers() []string {
	var names []string
	for _, account := range a.Names() {
		names = append(names, a[account].Name())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// CallbackHeaders returns the HTTP headers that the adapter of any account needs to judge a callback, sorted.
func (a Accounts) CallbackHeaders() []string {
	var headers []string
	for _, p := range a {
		headers = append(headers, p.Capabilities().CallbackHeaders...)
	}
	slices.Sort(headers)
	return slices.Compact(headers)
}
