package loop_test

import (
	"testing"

	"github.com/refract-video/refract/internal/loop"
)

func TestSignal_HoldsOneWake(t *testing.T) {
	t.Parallel()
	s := loop.NewSignal()
	s.Send()
	s.Send()
	<-s
	select {
	case <-s:
		t.Error("two sends without a reader wake the loop twice, want once")
	default:
	}
}
