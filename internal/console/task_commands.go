package console

import (
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// commands are the request of a task as commands for a shell. They take the token from REFRACT_TOKEN.
type commands struct {
	Curl, GRPCurl, CLI string
	RequestID          string
	Host               string // Where the gRPC address probably is.
}

// commandsOf returns the commands that submit the request of a task again as another task. All three, run any number of times, make
// one task: they have the same request id.
func commandsOf(r *http.Request, t *refractv1.Task) commands {
	req := requestOf(t)
	body := compactJSON(req)
	return commands{
		RequestID: req.GetRequestId(),
		Host:      hostOf(r),
		Curl: lines(
			"curl -X POST "+shellQuote(schemeOf(r)+"://"+r.Host+"/v1/tasks"),
			`-H "Authorization: Bearer $REFRACT_TOKEN"`,
			"-H 'Content-Type: application/json'",
			"-d "+shellQuote(body),
		),
		GRPCurl: lines(
			"grpcurl"+plaintextFlag(r)+` -H "Authorization: Bearer $REFRACT_TOKEN"`,
			"-d "+shellQuote(body),
			`"$REFRACT_ADDRESS" refract.v1.TaskService/SubmitTask`,
		),
		CLI: cliCommand(r, t, req),
	}
}

// requestOf returns the submission that made a task, with another request id. A deadline that a retry set anew is not part of it.
func requestOf(t *refractv1.Task) *refractv1.SubmitTaskRequest {
	req := &refractv1.SubmitTaskRequest{
		RequestId: t.GetId() + "-again", Prompt: t.GetPrompt(), Watermark: t.GetWatermark(), Priority: t.GetPriority(), Labels: t.GetLabels(),
		MaxAttempts: t.GetMaxAttempts(), Strength: t.GetStrength(), Model: t.GetModel(), FirstFrameUri: t.GetFirstFrameUri(),
		Parameters: t.GetParameters(), WebhookUri: t.GetWebhookUri(), Source: &refractv1.SubmitTaskSource{},
	}
	if t.GetModel() == "" || len(t.GetFallbackProviders()) > 0 {
		// Without a model the provider decides what is made. With one, its route may choose again.
		req.Provider, req.FallbackProviders = t.GetProvider(), t.GetFallbackProviders()
	}
	if id := t.GetSource().GetSourceId(); id != "" {
		req.Source.Location = &refractv1.SubmitTaskSource_SourceId{SourceId: id}
	} else {
		req.Source.Location = &refractv1.SubmitTaskSource_Uri{Uri: t.GetSource().GetUri()}
	}
	return req
}

// compactJSON returns a request as JSON of one line.
func compactJSON(req *refractv1.SubmitTaskRequest) string {
	body, err := protojson.Marshal(req)
	if err != nil {
		return "{}" // Text of the API is valid UTF-8, and its numbers are finite.
	}
	return string(body)
}

// cliCommand returns the command of the refract program. It takes files rather than ids of sources, so an uploaded source is downloaded
// first; the service finds that it has the file.
func cliCommand(r *http.Request, t *refractv1.Task, req *refractv1.SubmitTaskRequest) string {
	video, before := t.GetSource().GetUri(), ""
	if t.GetSource().GetSourceId() != "" {
		video = "source.mp4"
		before = lines("curl -o source.mp4 "+`-H "Authorization: Bearer $REFRACT_TOKEN"`, shellQuote(schemeOf(r)+"://"+r.Host+"/v1/tasks/"+t.GetId()+"/source")) + "\n"
	}
	args := []string{"refract submit --video=" + shellQuote(video)}
	add := func(flag, value string) {
		if value != "" {
			args = append(args, "--"+flag+"="+shellQuote(value))
		}
	}
	add("prompt", req.GetPrompt())
	add("request-id", req.GetRequestId())
	add("model", req.GetModel())
	for _, p := range parametersOf(t) {
		add("parameter", p.Name+"="+p.Value)
	}
	if s := req.GetStrength(); s != refractv1.Strength_STRENGTH_UNSPECIFIED {
		add("strength", strings.ToLower(word("STRENGTH_", s)))
	}
	add("first-frame", req.GetFirstFrameUri())
	add("watermark", req.GetWatermark())
	add("provider", req.GetProvider())
	for _, fallback := range req.GetFallbackProviders() {
		add("fallback-provider", fallback)
	}
	if p := req.GetPriority(); p != 0 {
		add("priority", strconv.Itoa(int(p)))
	}
	for _, key := range slices.Sorted(maps.Keys(req.GetLabels())) {
		add("label", key+"="+req.GetLabels()[key])
	}
	if n := req.GetMaxAttempts(); n != 0 {
		add("max-attempts", strconv.Itoa(int(n)))
	}
	add("webhook-uri", req.GetWebhookUri())
	return before + lines(args...)
}

// lines joins the parts of a command, each on a line of its own.
func lines(parts ...string) string { return strings.Join(parts, " \\\n  ") }

// schemeOf returns the scheme with which the page was requested.
func schemeOf(r *http.Request) string {
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		return "https"
	}
	return "http"
}

// plaintextFlag returns the flag with which grpcurl uses no TLS.
func plaintextFlag(r *http.Request) string {
	if schemeOf(r) == "https" {
		return ""
	}
	return " -plaintext"
}

// hostOf returns the host of a request without its port.
func hostOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		return host
	}
	return r.Host
}

// shellQuote returns a text as one word of a POSIX shell: nothing in it is expanded.
func shellQuote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
