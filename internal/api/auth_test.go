package api

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/identity"
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
		service                                     grpc.ServiceDesc
		stranger, tenant, byOperator, withoutTenant error
	}{
		{refractv1.TaskService_ServiceDesc, identity.ErrInvalid, nil, nil, errNoTenant},
		{refractv1.ModelService_ServiceDesc, identity.ErrInvalid, nil, nil, errNoTenant},
		{refractv1.WebhookService_ServiceDesc, identity.ErrInvalid, nil, nil, errNoTenant},
		{refractv1.OperatorService_ServiceDesc, identity.ErrInvalid, errNotOperator, nil, nil},
		{refractv1.CallbackService_ServiceDesc, nil, nil, nil, nil}, // A callback carries a token of its own.
		{grpc_health_v1.Health_ServiceDesc, nil, nil, nil, nil},
	} {
		for _, method := range methods(tt.service) {
			withoutTenant := tt.withoutTenant
			if method == refractv1.TaskService_ExplainTask_FullMethodName {
				withoutTenant = nil // Operators may ask about the tasks of all tenants.
			}
			for authorization, want := range map[string]error{"": tt.stranger, "Bearer bad": tt.stranger, "Bearer good": tt.tenant, "Bearer operator": tt.byOperator, "Bearer operator-without-tenant": withoutTenant} {
				ctx, id, err := authenticate(with(authorization), method, remoteCaller(testTenants))
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
		Authenticator: authenticatorFunc(func(string) (*identity.Identity, error) {
			return &identity.Identity{Tenant: "acme", Live: live}, nil
		}),
	})
	stream, err := refractv1.NewTaskServiceClient(conn).UploadSource(as(t, "good"))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(uploadHeader()); err != nil {
		t.Fatal(err)
	}
	<-begun
	revoke(identity.ErrInvalid)
	if _, err := stream.CloseAndRecv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("the stream ended with %v, want UNAUTHENTICATED", err)
	}
}
