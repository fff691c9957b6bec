package client

import (
	"crypto/tls"
	"slices"

	"google.golang.org/grpc"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Option is a setting of a client.
type Option func(*settings)

type settings struct {
	token         string
	tls           *tls.Config // Nil: no encryption.
	plaintext     bool
	downloadHosts []string
	dial          []grpc.DialOption
}

func settingsOf(options []Option) settings {
	var s settings
	for _, set := range options {
		set(&s)
	}
	return s
}

// WithToken sends an API token with every call. An empty token is not sent.
//
// Downloads carry it to the host of the service alone, and to those of WithDownloadHost, on any port. It never follows a
// redirect to another host, and is sent without encryption only to loopback addresses.
func WithToken(token string) Option {
	return func(s *settings) { s.token = token }
}

// WithTLS encrypts the connection. A nil config trusts the certificate authorities of the system, with TLS 1.2 or later.
// Downloads use the same config.
func WithTLS(config *tls.Config) Option {
	return func(s *settings) {
		if config == nil {
			config = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		s.tls = config
	}
}

// WithPlaintextToken permits that the token is sent to other machines without encryption, for private
// networks.
func WithPlaintextToken() Option {
	return func(s *settings) { s.plaintext = true }
}

// WithDownloadHost sends the token to one more host of download URIs, where outputs are served by another host than calls.
func WithDownloadHost(host string) Option {
	return func(s *settings) { s.downloadHosts = append(slices.Clone(s.downloadHosts), host) }
}

// WithDialOptions adds options of the gRPC connection, such as interceptors. They take precedence over those of Dial.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(s *settings) { s.dial = append(slices.Clone(s.dial), options...) }
}

// CallOption is a setting of one call of Watch, WatchAll, Wait, Upload or Download. Functions that an option gets are called
// one at a time, from the goroutine of the call.
type CallOption func(*callSettings)

type callSettings struct {
	after    *int64
	update   func(*refractv1.WatchTaskResponse) error
	retry    func(error)
	progress func(done, total int64)
}

func callSettingsOf(options []CallOption) callSettings {
	s := callSettings{update: func(*refractv1.WatchTaskResponse) error { return nil }, retry: func(error) {}, progress: func(int64, int64) {}}
	for _, set := range options {
		set(&s)
	}
	return s
}

// AfterRevision lets Watch and Wait begin with the event after this revision, and not with the task as it is now. 0 asks for
// the whole history. A revision whose successor is no longer kept is refused with OUT_OF_RANGE.
func AfterRevision(revision int64) CallOption {
	return func(s *callSettings) { s.after = &revision }
}

// OnUpdate calls f for each message that Wait receives, in order: the task as it is, or an event. An error of f ends Wait, which
// returns it.
func OnUpdate(f func(*refractv1.WatchTaskResponse) error) CallOption {
	return func(s *callSettings) { s.update = f }
}

// OnRetry calls f before the call goes on after an interruption, with the reason.
func OnRetry(f func(error)) CallOption {
	return func(s *callSettings) { s.retry = f }
}

// OnProgress calls f as the bytes of Upload and Download are transferred. done can decrease when the other side lost some.
func OnProgress(f func(done, total int64)) CallOption {
	return func(s *callSettings) { s.progress = f }
}
