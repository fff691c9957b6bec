package postgrestest

import (
	"net/url"
	"strings"
)

// poolSize is the parameter of a URL that pgx reads and PostgreSQL's own programs refuse.
const poolSize = "pool_max_conns"

// With returns the address of a database with a parameter, in the place of one of that name. It works on the text, because an encoder of
// forms would write a space as "+", which means "+" to PostgreSQL.
func With(databaseURL, name, value string) string {
	databaseURL = withoutParameter(databaseURL, name)
	separator := "?"
	if strings.Contains(databaseURL, "?") {
		separator = "&"
	}
	return databaseURL + separator + name + "=" + strings.ReplaceAll(url.QueryEscape(value), "+", "%20")
}

// WithPool returns the address of a database for a pool of at most so many connections.
func WithPool(databaseURL, connections string) string {
	return With(databaseURL, poolSize, connections)
}

// withoutParameter returns the address of a database without the parameter of a name.
func withoutParameter(databaseURL, name string) string {
	base, query, _ := strings.Cut(databaseURL, "?")
	var kept []string
	for parameter := range strings.SplitSeq(query, "&") {
		if parameter != "" && !strings.HasPrefix(parameter, name+"=") {
			kept = append(kept, parameter)
		}
	}
	if len(kept) == 0 {
		return base
	}
	return base + "?" + strings.Join(kept, "&")
}
