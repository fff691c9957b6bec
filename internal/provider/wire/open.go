package wire

import (
	"fmt"

	"github.com/refract-video/refract/internal/provider"
)

// Open returns what every adapter needs: a client for its account, and its capabilities as configured. An error names the
// provider and quotes no secret. Open makes no request.
func Open(name string, cfg Config, defaults provider.Capabilities) (*Client, provider.Capabilities, error) {
	client, err := NewClient(cfg)
	if err != nil {
		return nil, provider.Capabilities{}, fmt.Errorf("configure %s: %w", name, err)
	}
	caps, err := cfg.capabilities(defaults)
	if err != nil {
		return nil, provider.Capabilities{}, fmt.Errorf("configure %s: %w", name, err)
	}
	return client, caps, nil
}
