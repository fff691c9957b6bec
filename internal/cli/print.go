package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// printJSON writes a message as one line of JSON, in the same shape as the REST API.
func printJSON(w io.Writer, m proto.Message) error {
	loose, err := protojson.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode JSON: %w", err)
	}
	var line bytes.Buffer
	if err := json.Compact(&line, loose); err != nil { // protojson varies its blanks on purpose.
		return fmt.Errorf("encode JSON: %w", err)
	}
	line.WriteByte('\n')
	_, err = w.Write(line.Bytes())
	return err
}

// showTask prints a task for the person or the program.
func (f *clientFlags) showTask(con Console, t *refractv1.Task) error {
	if f.JSON {
		return printJSON(con.Out, t)
	}
	return printTask(con.Out, t)
}

// people returns the console for people: with --json, standard output is for JSON alone, and progress goes to standard error.
func (f *clientFlags) people(con Console) Console {
	if f.JSON {
		con.Out = con.Err
	}
	return con
}

// printTask writes a task as lines of a name and a value. What is empty is left out.
func printTask(w io.Writer, t *refractv1.Task) error {
	var b strings.Builder
	line := func(name, value string) {
		if value = OneLine(value); value != "" {
			fmt.Fprintf(&b, "%-11s %s\n", name, value)
		}
	}
	line("task", t.GetId())
	line("request id", t.GetRequestId())
	line("state", stateName(t.GetState())+" (revision "+strconv.FormatInt(t.GetRevision(), 10)+")")
	line("waits for", waitingLine(t.GetWaiting()))
	line("failure", failureLine(t.GetFailure()))
	line("provider", t.GetProvider())
	line("fallbacks", strings.Join(t.GetFallbackProviders(), " "))
	line("model", t.GetModel())
	line("parameters", parametersLine(t.GetParameters()))
	line("attempt", attemptLine(t))
	line("source", cmp.Or(t.GetSource().GetUri(), t.GetSource().GetSourceId()))
	line("prompt", t.GetPrompt())
	line("strength", strengthName(t.GetStrength()))
	line("first frame", t.GetFirstFrameUri())
	line("watermark", t.GetWatermark())
	line("webhook", t.GetWebhookUri())
	line("labels", labelsLine(t.GetLabels()))
	line("created", stamp(t.GetCreateTime()))
	line("updated", stamp(t.GetUpdateTime()))
	line("deadline", stamp(t.GetDeadlineTime()))
	for _, o := range t.GetOutputs() {
		line("output "+strconv.Itoa(int(o.GetIndex())), fmt.Sprintf("%s, %d bytes, SHA-256 %s, %s",
			o.GetContentType(), o.GetSizeBytes(), o.GetSha256(), o.GetDownloadUri()))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printOutput writes where a downloaded output is and what it was verified to be.
func printOutput(con Console, path string, o *refractv1.Output) error {
	_, err := fmt.Fprintf(con.Out, "path    %s\nsize    %d bytes\nsha256  %s\n", path, o.GetSizeBytes(), OneLine(o.GetSha256()))
	return err
}

// stateName returns a state without its prefix.
func stateName(s refractv1.TaskState) string {
	return strings.TrimPrefix(s.String(), "TASK_STATE_")
}

// failureLine returns why a task failed and what was paid.
func failureLine(f *refractv1.Failure) string {
	if f == nil {
		return ""
	}
	return fmt.Sprintf("%s: %s (%s)", strings.TrimPrefix(f.GetReason().String(), "FAILURE_REASON_"),
		strings.TrimRight(OneLine(f.GetMessage()), "."), paymentPhrase(f.GetPayment()))
}

// waitingLine returns what a task waits for and its place in the queue.
func waitingLine(w *refractv1.Waiting) string {
	if w == nil {
		return ""
	}
	text := strings.TrimPrefix(w.GetCause().String(), "WAITING_CAUSE_") + ": " + OneLine(w.GetMessage())
	if w.GetPlaceInLine() > 0 {
		text += fmt.Sprintf(" (place %d in line)", w.GetPlaceInLine())
	}
	if until := stamp(w.GetUntilTime()); until != "" {
		text += ", until " + until
	}
	return text
}

func paymentPhrase(p refractv1.Payment) string {
	switch p {
	case refractv1.Payment_PAYMENT_NONE:
		return "nothing was paid"
	case refractv1.Payment_PAYMENT_PAID:
		return "the attempt was paid for, unless the provider refunds it"
	default:
		return "it is unknown whether the attempt was paid for"
	}
}

func attemptLine(t *refractv1.Task) string {
	a := t.GetAttempt()
	if a == nil {
		return ""
	}
	line := fmt.Sprintf("%d of at most %d, %s", a.GetNumber(), t.GetMaxAttempts(), strings.TrimPrefix(a.GetState().String(), "ATTEMPT_STATE_"))
	if id := a.GetProviderTaskId(); id != "" {
		line += ", provider task " + id
	}
	if c := a.GetCost(); c != nil {
		line += ", cost " + OneLine(c.GetAmount()) + " " + OneLine(c.GetUnit())
	}
	return line
}

func labelsLine(labels map[string]string) string {
	pairs := make([]string, 0, len(labels))
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, key+"="+labels[key])
	}
	return strings.Join(pairs, " ")
}

// stamp returns a time in UTC, or nothing when it is not set.
func stamp(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().UTC().Format(time.RFC3339)
}

// printLines writes messages as JSON, one a line.
func printLines[M proto.Message](w io.Writer, messages []M) error {
	for _, m := range messages {
		if err := printJSON(w, m); err != nil {
			return err
		}
	}
	return nil
}

// parametersLine returns the parameters of a model as JSON with sorted names.
func parametersLine(p *structpb.Struct) string {
	if len(p.GetFields()) == 0 {
		return ""
	}
	text, err := json.Marshal(p.AsMap())
	if err != nil {
		return err.Error()
	}
	return string(text)
}
