package faults_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// link is the connection of one replica to the database or to the provider. It can be cut, slowed down, and made to
// drop everything.
type link struct {
	proxy *toxiproxy.Proxy
	url   string
}

// newLink returns an intact link to the host of a URL. The URL of a database also gets the name of the replica.
func newLink(t *testing.T, target, name string) *link {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal("the URL of the link's target can't be parsed") // The error would quote a password.
	}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &link{proxy: toxiproxy.NewProxy(server, name, "127.0.0.1:0", u.Host)}
	if err := l.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.proxy.Stop)
	u.Host = l.proxy.Listen
	if u.Scheme == "postgres" || u.Scheme == "postgresql" {
		q := u.Query()
		q.Set("application_name", name)
		u.RawQuery = q.Encode()
	}
	l.url = u.String()
	return l
}

// The toxics. Neither end notices that a connection drops everything.
const (
	swallow = `{"name":"%[1]s","type":"timeout","stream":"%[1]s","attributes":{"timeout":0}}`
	reset   = `{"name":"%[1]s","type":"reset_peer","stream":"%[1]s","attributes":{"timeout":0}}`
)

// slow delays everything that passes.
func slow(d time.Duration) string {
	return fmt.Sprintf(`{"name":"%%[1]s","type":"latency","stream":"%%[1]s","attributes":{"latency":%d}}`, d.Milliseconds())
}

// poison adds a toxic to both directions.
func (l *link) poison(toxic string) error {
	for _, stream := range []string{"upstream", "downstream"} {
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(toxic, stream))); err != nil {
			return fmt.Errorf("poison the link: %w", err)
		}
	}
	return nil
}

// poisonAnswers adds a toxic to the direction from the database.
func (l *link) poisonAnswers(toxic string) error {
	_, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(toxic, "downstream")))
	return err
}

// heal removes all toxics. Connections that dropped something are closed.
func (l *link) heal(ctx context.Context) { l.proxy.Toxics.ResetToxics(ctx) }
