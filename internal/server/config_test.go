package server

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/redact"
)

func TestConfig_IsLoggedAsFields(t *testing.T) {
	t.Parallel()
	f := Config{
		Auth: "none", Bucket: "s3://name?region=eu-west-1", GRPC: Listener{Address: "127.0.0.1:9090"},
		Retention: Retention{KeepOutputs: time.Hour}, Providers: Providers{KIE: Upstream{APIKeys: []redact.Secret{"hunter2"}}},
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("serving", "config", f)
	for _, want := range []string{"config.auth=none", "config.grpc.address=127.0.0.1:9090", "config.kie.api_keys=[[redacted]]", "config.keep_outputs="} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, &log)
		}
	}
	for _, unwanted := range []string{"hunter2", "config.luma", "config.data_dir"} {
		if strings.Contains(log.String(), unwanted) {
			t.Errorf("the log has %q:\n%s", unwanted, &log)
		}
	}
}

func TestCheckListeners_AnAddressThatCantBeListenedOnEndsTheStart(t *testing.T) {
	t.Parallel()
	f := Config{GRPC: Listener{Address: "127.0.0.1:0"}, HTTP: Listener{Address: "127.0.0.1:0"}, Ingress: Listener{Address: "127.0.0.1:0"}}
	if err := f.checkListeners(); err != nil {
		t.Fatal(err)
	}
	f.HTTP.Address = "192.0.2.1:1" // An address of no machine (RFC 5737).
	if err := f.checkListeners(); err == nil || !strings.Contains(err.Error(), "192.0.2.1:1") {
		t.Errorf("got %v, want an error with the address", err)
	}
}

func TestCheckListeners_NoTwoHaveOneAddress(t *testing.T) {
	t.Parallel()
	lis, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := lis.Addr().String()
	if err := lis.Close(); err != nil {
		t.Fatal(err)
	}
	f := Config{GRPC: Listener{Address: address}, HTTP: Listener{Address: address}, Ingress: Listener{Address: "127.0.0.1:0"}}
	if err := f.checkListeners(); err == nil || !strings.Contains(err.Error(), address) {
		t.Errorf("two listeners on %s gave %v, want an error", address, err)
	}
}
