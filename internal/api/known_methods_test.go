package api

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/stats"
)

// tagged records the name of the last call.
type tagged struct {
	stats.Handler
	method string
}

func (h *tagged) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	h.method = info.FullMethodName
	return ctx
}

func TestKnownMethods_HideWhatDoesNotExist(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"/refract.v1.TaskService/SubmitTask":                        "/refract.v1.TaskService/SubmitTask",
		"/grpc.health.v1.Health/Check":                              "/grpc.health.v1.Health/Check",
		"/refract.v1.TaskService/SubmitTasks":                       "/_OTHER",
		"/refract.v1.TaskService/" + strings.Repeat("x", 10_000):    "/_OTHER",
		"/refract.v1/Task":                                          "/_OTHER", // A message.
		"/refract.v1.TaskService":                                   "/_OTHER",
		"/refract.v1.TaskService/SubmitTask/SubmitTask":             "/_OTHER",
		"refract.v1.TaskService/SubmitTask":                         "/_OTHER",
		"":                                                          "/_OTHER",
		"/" + string([]byte{0xff}) + ".TaskService/" + "SubmitTask": "/_OTHER",
	} {
		h := &tagged{}
		info := stats.RPCTagInfo{FullMethodName: name}
		knownMethods{h}.TagRPC(t.Context(), &info)
		if h.method != want || info.FullMethodName != name {
			t.Errorf("%.60q counts as %.60q, want %q, and the caller's own stays", name, h.method, want)
		}
	}
}
