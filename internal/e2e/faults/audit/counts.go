package audit

import (
	"maps"
	"slices"
)

// counts returns the lines of the report: what the run did, then what happened.
func (f *Facts) counts() []Count {
	counts := slices.Clone(f.Done)
	add := func(name string, n int) { counts = append(counts, Count{name, n}) }
	group := func(name string, n map[string]int) {
		for _, key := range slices.Sorted(maps.Keys(n)) {
			add(name+" "+key, n[key])
		}
	}
	add("tasks", len(f.Tasks))
	outcomes, verdicts, deliveries, posts := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	for i := range f.Tasks {
		outcomes[f.Tasks[i].Outcome()]++
	}
	group("  that are", outcomes)
	add("revisions", len(f.Events))
	seen, reconnects := 0, 0
	for _, w := range f.Watches {
		seen, reconnects = seen+len(w.Seen), reconnects+w.Reconnects
	}
	add("watches", len(f.Watches))
	add("  reconnects", reconnects)
	add("  revisions seen", seen)
	streams, bookmarks := 0, 0
	for _, w := range f.Witnesses {
		streams += len(w.Streams)
		for _, s := range w.Streams {
			for _, h := range s.Heard {
				if h.TaskID == "" {
					bookmarks++
				}
			}
		}
	}
	add("streams of witnesses", streams)
	add("  bookmarks", bookmarks)
	paid := 0
	for _, p := range f.Posts {
		if p.Paid {
			paid++
		}
		posts[p.Profile+" "+p.Result]++
	}
	add("attempts", len(f.Attempts))
	group("  posts to", posts)
	add("  paid", paid)
	answered := 0
	for _, d := range f.Deliveries {
		deliveries[d.Kind]++
		if d.Status == 200 {
			answered++
		}
	}
	add("callbacks sent", len(f.Deliveries))
	group("  of kind", deliveries)
	add("  answered 200", answered)
	for _, c := range f.Callbacks {
		verdicts[c.Verdict]++
	}
	add("callbacks kept", len(f.Callbacks))
	group("  with verdict", verdicts)
	add("outputs", len(f.Outputs))
	if len(f.Endpoints) > 0 {
		behaviors, events, accepted := map[string]int{}, map[reached]bool{}, 0
		for _, r := range f.Receptions {
			behaviors[r.Behavior]++
			if r.Accepted {
				events[reached{r.Endpoint, r.EventID}] = true
				accepted++
			}
		}
		add("webhook requests", len(f.Receptions))
		group("  that met", behaviors)
		add("  events accepted", len(events))
		add("  accepted again", accepted-len(events))
	}
	for _, a := range f.Arrivals {
		add("peak submissions in a window of "+a.Profile, a.Peak)
	}
	for _, c := range f.Concurrency {
		add("peak in flight at "+c.Profile, c.Peak)
	}
	return counts
}
