package cli

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/clienttest"
)

func TestPrintTask_ShowsAllThatIsSetOnOneLineEach(t *testing.T) {
	t.Parallel()
	task := clienttest.NewTask(7, clienttest.Failed)
	task.Prompt = "two\nlines\x1b[2J"
	task.Source = &refractv1.Source{Location: &refractv1.Source_Uri{Uri: "https://example.com/a.mp4"}}
	task.FallbackProviders, task.Model, task.FirstFrameUri = []string{"luma", "luma-agents"}, "ray-2", "https://example.com/a.png"
	task.Parameters = &structpb.Struct{Fields: map[string]*structpb.Value{"seed": structpb.NewNumberValue(7), "audio": structpb.NewBoolValue(true)}}
	task.Strength, task.Watermark = refractv1.Strength_STRENGTH_FLEX_2, "me"
	task.WebhookUri = "https://example.com/hook"
	task.Labels = map[string]string{"team": "a", "shot": "7"}
	task.DeadlineTime = timestamppb.New(clienttest.CreateTime.Add(time.Hour))
	task.Attempt = &refractv1.Attempt{Number: 1, State: refractv1.AttemptState_ATTEMPT_STATE_FAILED, ProviderTaskId: "k-1", Cost: &refractv1.Cost{Amount: "0", Unit: "credits"}}
	task.Failure = &refractv1.Failure{Reason: refractv1.FailureReason_FAILURE_REASON_PROVIDER_FAILED, Message: "It broke.", Payment: refractv1.Payment_PAYMENT_PAID}
	task.Outputs = []*refractv1.Output{{Index: 0, ContentType: "video/mp4", SizeBytes: 5, Sha256: "ab", DownloadUri: "http://h/x"}}
	var out bytes.Buffer
	if err := printTask(&out, task); err != nil {
		t.Fatal(err)
	}
	want := `task        01990000-0000-7000-8000-000000000001
request id  order-1
state       FAILED (revision 7)
failure     PROVIDER_FAILED: It broke (the attempt was paid for, unless the provider refunds it)
provider    kie
fallbacks   luma luma-agents
model       ray-2
parameters  {"audio":true,"seed":7}
attempt     1 of at most 1, FAILED, provider task k-1, cost 0 credits
source      https://example.com/a.mp4
prompt      two lines [2J
strength    flex_2
first frame https://example.com/a.png
watermark   me
webhook     https://example.com/hook
labels      shot=7 team=a
created     2026-11-05T12:00:00Z
updated     2026-11-05T12:00:06Z
deadline    2026-11-05T13:00:00Z
output 0    video/mp4, 5 bytes, SHA-256 ab, http://h/x
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}
