//go:build browser

package console_test

import "testing"

func TestBrowser_TasksAreListed(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.submit(t, acme, "A neon city [sim:never]")
	b := s.browse(t, acme, ordinary)
	b.open(t, "/tasks")
	b.find(t, "heading", "Tasks")
	b.click(t, "link", "A neon city [sim:never]").wantPath(t, "/tasks/")
}
