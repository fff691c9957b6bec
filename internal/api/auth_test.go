package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// TestAuthenticate_EveryMethodHasItsRule walks the services of the contract: a method that is added needs credentials.
func TestAuthenticate_EveryMethodHasItsRule(t *testing.T) {
	t.Parallel()
	with := func(authorization string) context.Context {
		return metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", authorization))
	}
	methods := func(service grpc.ServiceDesc) (names []string) {
		for _, m := range service.Methods {
			names = append(names, "/"+service.ServiceName+"/"+m.MethodName)
		}
		for _, s := range service.Streams {
			names = append(names, "/"+service.ServiceName+"/"+s.StreamName)
		}
		return names
	}
	for _, tt := range []struct {
		service                      grpc.ServiceDesc
		stranger, tenant, byOperator error
	}{
		{refractv1.TaskService_ServiceDesc, errCredentials, nil, nil},
		{refractv1.OperatorService_ServiceDesc, errCredentials, errNotOperator, nil},
		{refractv1.CallbackService_ServiceDesc, nil, nil, nil}, // A callback carries a token of its own.
		{grpc_health_v1.Health_ServiceDesc, nil, nil, nil},
	} {
		for _, method := range methods(tt.service) {
			for authorization, want := range map[string]error{"": tt.stranger, "Bearer bad": tt.stranger, "Bearer good": tt.tenant, "Bearer operator": tt.byOperator} {
				ctx, id, err := authenticate(with(authorization), method, testTenants)
				if !errors.Is(err, want) {
					t.Errorf("%s with %q: got %v, want %v", method, authorization, err, want)
				}
				if err == nil && tenantOf(ctx) != id.Tenant {
					t.Errorf("%s with %q: the context has tenant %q, the identity %q", method, authorization, tenantOf(ctx), id.Tenant)
				}
			}
		}
	}
}

// TestAuthenticate_ANameThatBeginsAlikeIsAnotherService fails when a service is recognised by a prefix of its name.
func TestAuthenticate_ANameThatBeginsAlikeIsAnotherService(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"/refract.v1.TaskServiceX/ListTasks", "/refract.v1.TaskService", "refract.v1.TaskService/ListTasks"} {
		if isOf(refractv1.TaskService_ServiceDesc, method) {
			t.Errorf("%s belongs to TaskService", method)
		}
	}
}

func TestAs_TakesEveryCallerForAnOperator(t *testing.T) {
	t.Parallel()
	if id, err := As("local")(t.Context(), ""); id.Tenant != "local" || !id.Operator || err != nil {
		t.Errorf("got %+v, %v", id, err)
	}
}

func TestNewAPIToken_IsRandomAndStoredAsItsHash(t *testing.T) {
	t.Parallel()
	token, hash := NewAPIToken()
	other, _ := NewAPIToken()
	if token == other {
		t.Error("two tokens are equal")
	}
	sum := sha256.Sum256([]byte(token))
	if string(hash) != string(sum[:]) || !strings.HasPrefix(token, "refract_") || len(token) != len("refract_")+43 {
		t.Errorf("token %q has the hash %x, want %x", token, hash, sum)
	}
}

func TestKeyring_TakesOneFormOfTheHeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k, table, token := startKeyring(t)
		reads := table.reads
		for header, want := range map[string]error{
			"Bearer " + token:                  nil,
			"bearer " + token:                  nil, // Schemes have no case.
			"":                                 errCredentials,
			token:                              errCredentials,
			"Basic " + token:                   errCredentials,
			"Bearer":                           errCredentials,
			"Bearer  " + token:                 errCredentials,
			"Bearer " + strings.ToUpper(token): errCredentials,
			"Bearer secret":                    errCredentials,
			"Bearer refract_" + strings.Repeat("x", 1000): errCredentials,
		} {
			if id, err := k.Authenticate(t.Context(), header); !errors.Is(err, want) || (err == nil) != (id.Tenant == "films") {
				t.Errorf("%.40q: got %+v, %v, want %v", header, id, err, want)
			}
		}
		if table.reads != reads {
			t.Errorf("headers that can't be right cost %d reads", table.reads-reads)
		}
	})
}

func TestKeyring_AnUnknownTokenWaitsNoLongerThanItsCaller(t *testing.T) {
	t.Parallel()
	k := NewKeyring(&tokenTable{}) // It does not run, so no read comes.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	unknown, _ := NewAPIToken()
	if _, err := k.Authenticate(ctx, bearer(unknown)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if k.waiters != 0 {
		t.Errorf("%d calls still wait", k.waiters)
	}
}

func TestKeyring_LoadReturnsWhyTokensAreUnread(t *testing.T) {
	t.Parallel()
	token, _ := NewAPIToken()
	table := &tokenTable{live: map[string]string{token: "films"}, hangs: true}
	k := NewKeyring(table)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.Load(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("load: got %v", err)
	}
	table.set(func() { table.hangs = false })
	if err := k.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if id, err := k.Authenticate(t.Context(), bearer(token)); id.Tenant != "films" || err != nil {
		t.Errorf("after the load: %+v, %v", id, err)
	}
}

// TestKeyring_ATokenThatChangesHandsEndsItsStreams gives a token to another tenant.
func TestKeyring_ATokenThatChangesHandsEndsItsStreams(t *testing.T) {
	t.Parallel()
	token, _ := NewAPIToken()
	table := &tokenTable{live: map[string]string{token: "films"}}
	k := NewKeyring(table)
	load := func() Identity {
		if err := k.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		id, err := k.Authenticate(t.Context(), bearer(token))
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	first := load()
	ctx, stop := first.Bind(t.Context())
	defer stop()
	if load(); ctx.Err() != nil {
		t.Errorf("a token that stays as it is ended its streams: %v", context.Cause(ctx))
	}
	table.set(func() { table.live[token] = "ads" })
	if id := load(); id.Tenant != "ads" {
		t.Errorf("the token belongs to %q", id.Tenant)
	}
	select {
	case <-ctx.Done():
	case <-time.After(hung):
	}
	if !errors.Is(context.Cause(ctx), errCredentials) {
		t.Errorf("the streams ended with %v", context.Cause(ctx))
	}
}

func TestBind_EndsWithTheCallToo(t *testing.T) {
	t.Parallel()
	live, end := context.WithCancelCause(t.Context())
	defer end(nil)
	ctx, stop := Identity{live: live}.Bind(t.Context())
	stop()
	if ctx.Err() == nil {
		t.Error("a call that has ended is still bound")
	}
	if errors.Is(context.Cause(ctx), errCredentials) {
		t.Error("the end of a call counts as the end of its credentials")
	}
	if ctx, _ := (Identity{}).Bind(t.Context()); ctx != t.Context() {
		t.Error("credentials without an end bind the call")
	}
}

// TestServer_RevokedCredentialsEndAStream revokes a token while its stream waits for the next message.
func TestServer_RevokedCredentialsEndAStream(t *testing.T) {
	t.Parallel()
	live, revoke := context.WithCancelCause(t.Context())
	begun := make(chan struct{})
	uploads := &uploadsStandIn{receive: func(ctx context.Context) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	}}
	conn, _ := serveInMemory(t, Config{
		Tasks: NewTaskService(TaskServiceConfig{Uploads: uploads}),
		Authenticate: func(context.Context, string) (Identity, error) {
			return Identity{Tenant: "acme", live: live, end: revoke}, nil
		},
	})
	stream, err := refractv1.NewTaskServiceClient(conn).UploadSource(as(t, "good"))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(uploadHeader()); err != nil {
		t.Fatal(err)
	}
	<-begun
	revoke(errCredentials)
	if _, err := stream.CloseAndRecv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("the stream ended with %v, want UNAUTHENTICATED", err)
	}
}
