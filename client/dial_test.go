package client

import (
	"testing"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/clienttest"
)

// dial returns a client of a service, which is closed when the test ends.
func dial(t *testing.T, s *clienttest.Service, options ...Option) *Client {
	t.Helper()
	c, err := Dial(s.Address, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// event returns an event of a watch.
func event(revision int64, state refractv1.TaskState) *refractv1.WatchTaskResponse {
	return clienttest.Event(revision, state, "")
}
