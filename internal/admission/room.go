package admission

import "slices"

// Rooms is how many more attempts offerings may have in flight. An offering that is not in it may have any number.
type Rooms struct {
	left map[string]*int // By the names by which tasks ask for offerings.
	full []string        // The names without room.
}

// Add says that an offering may have n more attempts in flight.
func (r *Rooms) Add(o Offering, n int) {
	if r.left == nil {
		r.left = map[string]*int{}
	}
	for _, name := range o.Names {
		r.left[name] = &n
	}
	if n <= 0 {
		r.full = append(r.full, o.Names...)
	}
}

// Full returns the names of offerings without room.
func (r *Rooms) Full() []string { return r.full }

// HasRoom reports whether an offering may have one more attempt in flight.
func (r *Rooms) HasRoom(o Offering) bool {
	return !slices.ContainsFunc(o.Names, func(name string) bool {
		left, limited := r.left[name]
		return limited && *left <= 0
	})
}

// take takes a place for a task, and reports whether there was one.
func (r *Rooms) take(t QueuedTask) bool {
	left, limited := r.left[t.Model]
	if !limited {
		return true
	}
	*left--
	return *left >= 0
}
