package main

import (
	"log/slog"

	"github.com/refract-video/refract/internal/redact"
)

// secret is a setting that never shows: not in logs, not in JSON, not through fmt. Only reveal returns it.
type secret string

// String hides the secret from fmt.
func (s secret) String() string {
	if s == "" {
		return ""
	}
	return redact.Mark
}

// GoString hides the secret from %#v.
func (s secret) GoString() string { return s.String() }

// LogValue hides the secret from slog.
func (s secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the secret from JSON and every other encoder of text.
//
//nolint:unparam // The interface wants an error.
func (s secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// reveal returns the secret, for the one place that needs it.
func (s secret) reveal() string { return string(s) }
