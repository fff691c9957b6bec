package luma

import (
	"testing"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

func TestErrors_MeanWhatTheirStatusSays(t *testing.T) {
	t.Parallel()
	adapter().TestPlainErrors(t, map[int]wiretest.Meaning{
		403: {Submit: wiretest.Paused(provider.PauseCredentials), Check: wiretest.Paused(provider.PauseCredentials)},
		410: {Submit: wiretest.Paused(provider.PauseDisabled), Check: wiretest.Class(provider.Unavailable)},
	})
}
