package audit

// limitChecks check promise 9: the fleet keeps the provider's limits, as measured at the provider.
var limitChecks = []check{
	{9, "no rate window is exceeded", func(f *Facts, fail func(string, ...any)) {
		for _, a := range f.Arrivals {
			limit, known := f.Limits[a.Profile]
			switch {
			case known && a.Window != limit.Window:
				fail("%s was measured in windows of %v, and its limit is in windows of %v", a.Profile, a.Window, limit.Window)
			case known && a.Peak > limit.Submissions:
				fail("%s saw %d submissions within %v, and %d are allowed", a.Profile, a.Peak, a.Window, limit.Submissions)
			}
		}
	}},
	{9, "no more work in flight than allowed", func(f *Facts, fail func(string, ...any)) {
		for _, c := range f.Concurrency {
			if limit, known := f.Limits[c.Profile]; known && c.Peak > limit.InFlight {
				fail("%s worked on %d attempts at a time, and %d are allowed", c.Profile, c.Peak, limit.InFlight)
			}
		}
	}},
}
