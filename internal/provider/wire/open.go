package wire

import (
	"fmt"

	"github.com/refract-video/refract/internal/provider"
)

// Open returns what every adapter is made of: a client for its account, and its capabilities with the settings in
// place of the defaults. An error names the provider and quotes no secret. It makes no request.
func Open(name string, cfg Config, s Settings, defaults provider.Capabilities) (*Client, provider.Capabilities, error) {
	client, err := NewClient(cfg)
	if err != nil {
		return nil, provider.Capabilities{}, fmt.Errorf("configure %s: %w", name, err)
	}
	caps, err := s.Apply(defaults)
	if err != nil {
		return nil, provider.Capabilities{}, fmt.Errorf("configure %s: %w", name, err)
	}
	return client, caps, nil
}
