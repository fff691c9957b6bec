package console

import (
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// hostile are texts that a shell would change or run without quotes.
var hostile = []string{
	"", "plain", "two words", "it's", "''", `"double"`, "$(touch /tmp/x) `id` $HOME ${PATH}", `back\slash \n \'`, "a\nb\r\n\tc", "!history !!", "* ? [a-z] ~ {a,b}",
	"; rm -rf / & true | cat > x < y #z", "--flag=value", "-n", "%s %d %%", "日本語 😀 \u202e", "'\"'\"'", "trailing\\", "trailing\n",
}

// shell runs a script and returns what it prints.
func shell(t *testing.T, script string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("sh -c %q: %v: %s", script, err, out)
	}
	return string(out)
}

func TestShellQuote_AShellReadsTheTextAsItIs(t *testing.T) {
	t.Parallel()
	for _, text := range hostile {
		if got := shell(t, "printf '%s.' "+shellQuote(text)); got != text+"." {
			t.Errorf("a shell reads %q as %q", text, got)
		}
	}
}

// words returns the words that a shell makes of a command: the program is replaced by one that prints its arguments.
func words(t *testing.T, command string) []string {
	t.Helper()
	out := shell(t, `REFRACT_TOKEN=secret REFRACT_ADDRESS=host:1; show() { for w in "$@"; do printf '%s\1' "$w"; done; }`+"\nshow "+command)
	return strings.Split(strings.TrimSuffix(out, "\x01"), "\x01")
}

func TestCommandsOf_CarryTheWholeRequestThroughAShell(t *testing.T) {
	t.Parallel()
	for _, text := range hostile[1:] {
		parameters, err := structpb.NewStruct(map[string]any{"style": text, "steps": 3})
		if err != nil {
			t.Fatal(err)
		}
		task := &refractv1.Task{
			Id: "01a231b2-76fb-7cab-8c3c-5dfacb5dc26b", Prompt: text, Source: &refractv1.Source{Location: &refractv1.Source_Uri{Uri: "https://example.com/a.mp4?x=1&y='"}},
			Labels: map[string]string{"project": text}, Provider: "kie", Parameters: parameters, MaxAttempts: 2, Watermark: text,
			Strength: refractv1.Strength_STRENGTH_FLEX_1,
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/tasks/1", nil)
		r.Host = "refract.example:8080"
		c := commandsOf(r, task)

		curl := words(t, c.Curl)
		if diff := cmp.Diff([]string{"curl", "-X", "POST", "http://refract.example:8080/v1/tasks", "-H", "Authorization: Bearer secret"}, curl[:6]); diff != "" {
			t.Errorf("curl of %q: (-want +got)\n%s", text, diff)
		}
		grpcurl := words(t, c.GRPCurl)
		for name, body := range map[string]string{"curl": curl[len(curl)-1], "grpcurl": grpcurl[len(grpcurl)-3]} {
			var got refractv1.SubmitTaskRequest
			if err := protojson.Unmarshal([]byte(body), &got); err != nil {
				t.Fatalf("%s of %q: %v", name, text, err)
			}
			if want := requestOf(task); !proto.Equal(want, &got) {
				t.Errorf("%s of %q submits %v, want %v", name, text, &got, want)
			}
		}

		got := words(t, c.CLI)
		for _, want := range []string{"--prompt=" + text, "--label=project=" + text, "--watermark=" + text, "--strength=flex_1", "--parameter=steps=3", "--provider=kie"} {
			if !slices.Contains(got, want) {
				t.Errorf("refract of %q gets %q, which lacks %q", text, got, want)
			}
		}
	}
}

func TestCommandsOf_DownloadAnUploadedSourceFirst(t *testing.T) {
	t.Parallel()
	task := &refractv1.Task{Id: "01a231b2-76fb-7cab-8c3c-5dfacb5dc26b", Prompt: "p", Source: &refractv1.Source{Location: &refractv1.Source_SourceId{SourceId: "s"}}}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/tasks/1", nil)
	got := commandsOf(r, task).CLI
	if !strings.Contains(got, "/v1/tasks/01a231b2-76fb-7cab-8c3c-5dfacb5dc26b/source") || !strings.Contains(got, "--video='source.mp4'") {
		t.Errorf("the command is %q", got)
	}
}
