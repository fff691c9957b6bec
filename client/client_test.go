package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/clienttest"
)

func TestDial_RefusesATokenInTheClear(t *testing.T) {
	t.Parallel()
	token := WithToken(clienttest.Token)
	for _, tt := range []struct {
		name    string
		address string
		options []Option
		want    string // Empty: accepted.
	}{
		{"loopback", "127.0.0.1:9090", []Option{token}, ""},
		{"loopback by name", "localhost:9090", []Option{token}, ""},
		{"elsewhere", "192.0.2.1:9090", []Option{token}, "without encryption"},
		{"elsewhere by name", "refract.example.com:9090", []Option{token}, "without encryption"},
		{"elsewhere without a token", "192.0.2.1:9090", nil, ""},
		{"elsewhere with an empty token", "192.0.2.1:9090", []Option{WithToken("")}, ""},
		{"elsewhere with TLS", "192.0.2.1:9090", []Option{token, WithTLS(nil)}, ""},
		{"elsewhere as permitted", "192.0.2.1:9090", []Option{token, WithPlaintextToken()}, ""},
		{"no port", "192.0.2.1", nil, "not of the form host:port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := Dial(tt.address, tt.options...)
			if err == nil {
				defer func() { _ = c.Close() }()
			}
			if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Dial(%q) = %v, want an error with %q", tt.address, err, tt.want)
			}
		})
	}
	if _, err := Dial("192.0.2.1:9090", token); !errors.Is(err, ErrPlaintextToken) {
		t.Errorf("got %v, want ErrPlaintextToken", err)
	}
}

func TestWithholdsToken_FromHostsThatTheCallerDidNotName(t *testing.T) {
	t.Parallel()
	far := downloadToken{token: clienttest.Token, host: "refract.example.com"}
	local := downloadToken{token: clienttest.Token, host: "127.0.0.1"}
	farInClear, named := far, far
	farInClear.plaintext = true
	named.hosts = []string{"files.example.com"}
	for _, tt := range []struct {
		name  string
		token downloadToken
		uri   string
		want  bool
	}{
		{"the same host over https", far, "https://refract.example.com/v1/x", true},
		{"the same host on another port", far, "https://REFRACT.example.com:8443/v1/x", true},
		{"the same host in the clear", far, "http://refract.example.com/v1/x", false},
		{"the same host in the clear, as permitted", farInClear, "http://refract.example.com/x", true},
		{"another host", far, "https://bucket.example.net/x?signature=1", false},
		{"another host in the clear, as permitted", farInClear, "http://bucket.example.net/x", false},
		{"a subdomain", far, "https://evil.refract.example.com/x", false},
		{"a host that looks alike", far, "https://refract.example.com.evil.net/x", false},
		{"user information in front", far, "https://refract.example.com@evil.net/x", false},
		{"a named host", named, "https://files.example.com/x", true},
		{"a named host in the clear", named, "http://files.example.com/x", false},
		{"loopback", local, "http://127.0.0.1:8080/x", true},
		{"loopback by another name", local, "http://localhost:8080/x", true},
		{"loopback, from a service elsewhere", far, "http://127.0.0.1:8080/x", false},
		{"elsewhere, from a service on loopback", local, "https://example.com/x", false},
		{"any host, from a connection of the caller's own", downloadToken{token: clienttest.Token}, "https://example.com/x", false},
		{"no host", downloadToken{token: clienttest.Token}, "https:///x", false},
		{"another scheme", far, "ftp://refract.example.com/x", false},
		{"no address", far, "::", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := (&Client{token: &tt.token}).WithholdsToken(tt.uri); got == tt.want {
				t.Errorf("WithholdsToken(%q) = %t, want %t", tt.uri, got, !tt.want)
			}
		})
	}
}

func TestClient_SendsTheTokenOverTLS(t *testing.T) {
	t.Parallel()
	pair := httptest.NewTLSServer(nil) // Lends its certificate.
	defer pair.Close()
	r := clienttest.Start(t, &clienttest.Service{Get: func() (*refractv1.Task, error) { return clienttest.NewTask(1, clienttest.Running), nil }},
		grpc.Creds(credentials.NewServerTLSFromCert(&pair.TLS.Certificates[0])))
	roots := x509.NewCertPool()
	roots.AddCert(pair.Certificate())
	get := &refractv1.GetTaskRequest{TaskId: clienttest.TaskID}
	trusting := dial(t, r, WithToken(clienttest.Token), WithTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}))
	if _, err := trusting.Tasks().GetTask(t.Context(), get); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Bearer " + clienttest.Token}, r.Authorizations()); diff != "" {
		t.Errorf("authorization (-want +got):\n%s", diff)
	}
	if _, err := dial(t, r, WithTLS(nil)).Tasks().GetTask(t.Context(), get); status.Code(err) != codes.Unavailable {
		t.Errorf("a certificate that the system does not trust: got %v", err)
	}
	if text := fmt.Sprintf("%+v %#v %+v %#v", trusting, trusting, trusting.Conn(), trusting.Conn()); strings.Contains(text, clienttest.Token) {
		t.Errorf("the token is printed: %s", text)
	}
}

func TestServiceConfig_RepeatsWhatIsSafe(t *testing.T) {
	t.Parallel()
	unavailable := func() (*refractv1.Task, error) { return nil, clienttest.ErrDraining }
	r := clienttest.Start(t, &clienttest.Service{
		Submit: func(*refractv1.SubmitTaskRequest) (*refractv1.Task, error) { return unavailable() },
		Retry:  func(*refractv1.RetryTaskRequest) (*refractv1.Task, error) { return unavailable() },
		Get:    unavailable,
	})
	c := dial(t, r)
	if _, err := c.Submit(t.Context(), &refractv1.SubmitTaskRequest{}); status.Code(err) != codes.Unavailable || !Transient(err) {
		t.Errorf("submit: got %v", err)
	}
	if _, err := c.Tasks().GetTask(t.Context(), &refractv1.GetTaskRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("get: got %v", err)
	}
	if _, err := c.Tasks().RetryTask(t.Context(), &refractv1.RetryTaskRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("retry: got %v", err)
	}
	if diff := cmp.Diff(map[string]int{"SubmitTask": 4, "GetTask": 4, "RetryTask": 1}, r.Calls()); diff != "" {
		t.Errorf("tries (-want +got):\n%s", diff)
	}
}

func TestServiceConfig_BoundsEveryUnaryCallAndNoStream(t *testing.T) {
	t.Parallel()
	var config struct {
		MethodConfig []struct {
			Name    []struct{ Service, Method string }
			Timeout string
		}
	}
	if err := json.Unmarshal([]byte(ServiceConfig), &config); err != nil {
		t.Fatal(err)
	}
	bounded := map[string]bool{}
	for _, m := range config.MethodConfig {
		for _, name := range m.Name {
			bounded[name.Service+"/"+name.Method] = m.Timeout != ""
		}
	}
	for _, file := range []protoreflect.FileDescriptor{
		refractv1.File_refract_v1_task_service_proto, refractv1.File_refract_v1_model_service_proto, refractv1.File_refract_v1_webhook_service_proto,
		refractv1.File_refract_v1_operator_service_proto,
	} {
		service := file.Services().Get(0)
		for i := range service.Methods().Len() {
			m := service.Methods().Get(i)
			got := bounded[string(service.FullName())+"/"] || bounded[string(service.FullName())+"/"+string(m.Name())]
			if unary := !m.IsStreamingClient() && !m.IsStreamingServer(); got != unary {
				t.Errorf("%s: the call is bounded: %t, want %t", m.FullName(), got, unary)
			}
		}
	}
}

func TestSubmit_GoesOnWhenTheServiceIsBack(t *testing.T) {
	t.Parallel()
	r := &clienttest.Service{}
	r.Submit = func(*refractv1.SubmitTaskRequest) (*refractv1.Task, error) {
		if r.Calls()["SubmitTask"] < 3 {
			return nil, clienttest.ErrDraining
		}
		return clienttest.NewTask(1, clienttest.Queued), nil
	}
	task, err := dial(t, clienttest.Start(t, r)).Submit(t.Context(), &refractv1.SubmitTaskRequest{RequestId: "order-1"})
	if err != nil || task.GetId() != clienttest.TaskID {
		t.Errorf("got %v, %v", task, err)
	}
}

func TestTransient_IsWhatMaySucceedLater(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err    error
		want   bool
		reason string
	}{
		{nil, false, ""},
		{io.ErrShortWrite, false, ""},
		{context.Canceled, false, ""},
		{clienttest.Refused(codes.Unavailable, "draining", clienttest.Reason("SHUTTING_DOWN")), true, "SHUTTING_DOWN"},
		{fmt.Errorf("watch: %w", clienttest.Refused(codes.Unavailable, "draining", clienttest.Reason("SHUTTING_DOWN"))), true, "SHUTTING_DOWN"},
		{clienttest.Refused(codes.Unavailable, "transport is closing"), true, ""},
		{clienttest.Refused(codes.ResourceExhausted, "quota", clienttest.Reason("QUOTA"), &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)}), true, "QUOTA"},
		{clienttest.Refused(codes.ResourceExhausted, "message too large"), false, ""},
		{clienttest.Refused(codes.Internal, "stream terminated by RST_STREAM"), true, ""},
		{clienttest.Refused(codes.Internal, "internal error", clienttest.Reason("INTERNAL")), false, "INTERNAL"},
		{clienttest.Refused(codes.NotFound, "no such task", clienttest.Reason("TASK_NOT_FOUND")), false, "TASK_NOT_FOUND"},
		{clienttest.Refused(codes.OutOfRange, "too old", clienttest.Reason("REVISION_EXPIRED")), false, "REVISION_EXPIRED"},
	} {
		if got := Transient(tt.err); got != tt.want {
			t.Errorf("Transient(%v) = %t, want %t", tt.err, got, tt.want)
		}
		if got := Reason(tt.err); got != tt.reason {
			t.Errorf("Reason(%v) = %q, want %q", tt.err, got, tt.reason)
		}
	}
}
