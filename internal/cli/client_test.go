package cli

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/clienttest"
	"github.com/refract-video/refract/internal/nettest"
)

// command runs a command line and returns its exit status and what it wrote.
func command(t *testing.T, r *clienttest.Service, args ...string) (exit int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	exit = run(t.Context(), append(args, "--address="+r.Address), Console{Out: &o, Err: &e})
	return exit, o.String(), e.String()
}

func TestDial_RefusesATokenInTheClear(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		flags clientFlags
		want  string
	}{
		{"loopback", clientFlags{Address: "127.0.0.1:9090", Token: clienttest.Token}, ""},
		{"loopback by name", clientFlags{Address: "localhost:9090", Token: clienttest.Token}, ""},
		{"elsewhere", clientFlags{Address: "192.0.2.1:9090", Token: clienttest.Token}, "would travel to 192.0.2.1:9090 in the clear"},
		{"elsewhere by name", clientFlags{Address: "refract.example.com:9090", Token: clienttest.Token}, "in the clear"},
		{"elsewhere without a token", clientFlags{Address: "192.0.2.1:9090"}, ""},
		{"elsewhere with TLS", clientFlags{Address: "192.0.2.1:9090", Token: clienttest.Token, TLS: true}, ""},
		{"elsewhere on the user's word", clientFlags{Address: "192.0.2.1:9090", Token: clienttest.Token, Insecure: true}, ""},
		{"no port", clientFlags{Address: "192.0.2.1"}, "not of the form host:port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			service, err := tt.flags.dial()
			if service != nil {
				defer func() { _ = service.Close() }()
			}
			if tt.want == "" && err != nil {
				t.Fatalf("refused: %v", err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Fatalf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestDial_TrustsTheHostsOfTheFlagsAlone(t *testing.T) {
	t.Parallel()
	flags := clientFlags{Address: "refract.example.com:9090", Token: clienttest.Token, TLS: true}
	named, insecure := flags, flags
	named.DownloadHost = "files.example.com"
	insecure.Insecure = true
	for _, tt := range []struct {
		name  string
		flags clientFlags
		uri   string
		want  bool // Whether the download carries the token.
	}{
		{"the host of --address", flags, "https://refract.example.com/x", true},
		{"another host", flags, "https://files.example.com/x", false},
		{"the host of --download-host", named, "https://files.example.com/x", true},
		{"the clear", flags, "http://refract.example.com/x", false},
		{"the clear with --insecure", insecure, "http://refract.example.com/x", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			service, err := tt.flags.dial()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = service.Close() }()
			if got := !service.WithholdsToken(tt.uri); got != tt.want {
				t.Errorf("the download from %s carries the token: %t, want %t", tt.uri, got, tt.want)
			}
		})
	}
}

func TestClient_SendsTheTokenAndNeverPrintsIt(t *testing.T) {
	t.Parallel()
	r := clienttest.Start(t, &clienttest.Service{Get: func() (*refractv1.Task, error) {
		return nil, status.Error(codes.Unauthenticated, "the API token is missing, wrong or revoked")
	}})
	exit, out, errs := command(t, r, "get", clienttest.TaskID, "--token="+clienttest.Token)
	if exit != 1 || len(r.Authorizations()) != 1 || r.Authorizations()[0] != "Bearer "+clienttest.Token {
		t.Errorf("exit %d, the service got %q", exit, r.Authorizations())
	}
	for _, args := range [][]string{{"get", "--help"}, {"get", "--bogus"}, {"get", clienttest.TaskID, "--address=192.0.2.1:1"}} {
		var o, e bytes.Buffer
		run(t.Context(), append(args, "--token="+clienttest.Token), Console{Out: &o, Err: &e})
		out, errs = out+o.String(), errs+e.String()
	}
	if strings.Contains(out+errs, clienttest.Token) {
		t.Errorf("the token was printed:\n%s\n%s", out, errs)
	}
}

func TestClient_TrustsTheGivenCA(t *testing.T) {
	t.Parallel()
	pair := httptest.NewTLSServer(nil) // Lends its certificate.
	defer pair.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	r := clienttest.Start(t, &clienttest.Service{Get: func() (*refractv1.Task, error) { return clienttest.NewTask(1, clienttest.Running), nil }},
		grpc.Creds(credentials.NewServerTLSFromCert(&pair.TLS.Certificates[0])))
	if exit, _, errs := command(t, r, "get", clienttest.TaskID, "--ca="+ca); exit != 0 {
		t.Errorf("with --ca: exit %d: %s", exit, errs)
	}
	if exit, _, errs := command(t, r, "get", clienttest.TaskID, "--tls"); exit != 1 || !strings.Contains(errs, "check --tls and --ca") {
		t.Errorf("with --tls alone: exit %d: %s", exit, errs)
	}
	if exit, _, errs := command(t, r, "get", clienttest.TaskID); exit != 1 || !strings.Contains(errs, "pass --tls") {
		t.Errorf("in the clear: exit %d: %s", exit, errs)
	}
}

func TestClient_SaysWhatToDoWhenNothingAnswers(t *testing.T) {
	t.Parallel()
	address := nettest.FreeAddress(t)
	for _, args := range [][]string{{"get", clienttest.TaskID}, {"list"}, {"watch", clienttest.TaskID}, {"cancel", clienttest.TaskID}, {"retry", clienttest.TaskID}} {
		exit, out, errs := command(t, &clienttest.Service{Address: address}, args...)
		want := "refract: nothing answers at " + address + ": start the service with `refract serve`, or pass --address\n"
		if exit != 1 || out != "" || errs != want {
			t.Errorf("%v: exit %d, output %q, error %q, want %q", args, exit, out, errs, want)
		}
	}
}

func TestClient_RepeatsReadsThatMeetUnavailable(t *testing.T) {
	t.Parallel()
	r := &clienttest.Service{}
	r.Get = func() (*refractv1.Task, error) {
		if r.Calls()["GetTask"] < 3 {
			return nil, status.Error(codes.Unavailable, "draining")
		}
		return clienttest.NewTask(1, clienttest.Running), nil
	}
	clienttest.Start(t, r)
	exit, out, errs := command(t, r, "get", clienttest.TaskID, "--json")
	if exit != 0 {
		t.Fatalf("exit %d: %s", exit, errs)
	}
	var got struct{ ID, State string }
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.ID != clienttest.TaskID || got.State != "TASK_STATE_RUNNING" {
		t.Errorf("got %q (%v)", out, err)
	}
}
