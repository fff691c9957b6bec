package lifecycle_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/lifecycle"
)

// TestNextID_FollowsTheGivenClock expects ids that sort by a clock that is not the machine's, and that keep their
// order when it goes back.
func TestNextID_FollowsTheGivenClock(t *testing.T) {
	t.Parallel()
	now := time.Date(2031, 5, 6, 7, 8, 9, 123_456_789, time.UTC)
	next := lifecycle.IDs(func() time.Time { return now })
	last := next()
	id, err := uuid.Parse(last)
	if err != nil || id.Version() != 7 || id.Variant() != uuid.RFC4122 {
		t.Fatalf("%s is no UUID of version 7: %v", last, err)
	}
	if sec, nsec := id.Time().UnixTime(); !time.Unix(sec, nsec).Equal(now.Truncate(time.Millisecond)) {
		t.Errorf("the id is of %v, want %v", time.Unix(sec, nsec).UTC(), now)
	}
	for _, step := range []time.Duration{0, 0, time.Microsecond, time.Millisecond, -time.Minute, 0, time.Hour} {
		now = now.Add(step)
		if id := next(); id <= last {
			t.Errorf("after a step of %v came %s, which does not sort after %s", step, id, last)
		} else {
			last = id
		}
	}
}
