package e2etest

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/health/grpc_health_v1"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// StorageUnavailable is why tasks wait while no replica can store results.
const StorageUnavailable = refractv1.WaitingCause_WAITING_CAUSE_STORAGE_UNAVAILABLE

// CheckStorageUp expects a value of the metric that reports whether the storage works.
func CheckStorageUp(t *testing.T, ts *Service, want string) {
	t.Helper()
	_, metrics := ts.Rest(t, http.MethodGet, "/metrics", "")
	if !strings.Contains(string(metrics), "\nrefract_storage_up "+want+"\n") {
		t.Errorf("refract_storage_up is not %s", want)
	}
}

// AwaitReady waits until a replica is ready or not ready, over HTTP and gRPC.
func AwaitReady(t *testing.T, ts *Service, status int) {
	t.Helper()
	want := grpc_health_v1.HealthCheckResponse_SERVING
	if status != http.StatusOK {
		want = grpc_health_v1.HealthCheckResponse_NOT_SERVING
	}
	health := grpc_health_v1.NewHealthClient(Dial(t, ts.GRPCAddr()))
	Eventually(t, "readiness to be "+want.String(), func() bool {
		got, _ := ts.Rest(t, http.MethodGet, "/readyz", "")
		resp, err := health.Check(ts.Anonymous(t), &grpc_health_v1.HealthCheckRequest{})
		return got == status && err == nil && resp.GetStatus() == want
	})
}
