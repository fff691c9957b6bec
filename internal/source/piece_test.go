package source

import (
	"io"
	"testing"
	"testing/synctest"
	"time"
)

type trickle struct{}

func (trickle) Read(p []byte) (int, error) {
	<-time.After(10 * time.Second)
	p[0] = 'x'
	return 1, nil
}

// A part takes one of the few places in which a process writes, so a caller who sends little must leave it to others.
func TestPiece_EndsWithWhatItHas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &piece{r: trickle{}, left: 1 << 20, until: time.Now().Add(partTime)}
		got, err := io.ReadAll(p)
		if err != nil || len(got) != 7 || p.err != nil || time.Since(p.until) > 10*time.Second {
			t.Errorf("read %d bytes until %s after its time: %v, %v", len(got), time.Since(p.until), err, p.err)
		}
		late := &piece{r: trickle{}, left: 1 << 20, until: time.Now()}
		if got, err := io.ReadAll(late); err != nil || len(got) != 1 {
			t.Errorf("a part that begins late has %d bytes, %v, want one", len(got), err)
		}
	})
}
