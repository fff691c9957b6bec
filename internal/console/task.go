package console

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// maxBodies bounds the callbacks whose bodies the page of a task shows.
const maxBodies = 5

// taskPage is what the page of a task shows.
type taskPage struct {
	*refractv1.Task

	Row          taskRow
	Own          bool // Whether the task belongs to the caller's tenant. Another one's is an operator's to see, not to change.
	Steps        []taskStep
	StepsVague   bool // Whether changes are missing between the steps, so that their durations are not exact.
	Next         *refractv1.NextStep
	Retry        *refractv1.RetryAdvice // Nil unless the task is FAILED or CANCELED.
	TraceID      string
	Player       player
	Attempts     []taskAttempt
	Story        []storyGroup
	Parameters   []parameter
	Callbacks    []taskCallback
	MoreInbox    bool // Whether there are more callbacks than the page shows.
	Commands     commands
	PriorityText string
}

// parameter is a parameter of the model.
type parameter struct{ Name, Value string }

// taskCallback is a callback of a task, with its body where the page shows it.
type taskCallback struct {
	*refractv1.Callback

	Text string
}

// VerdictName returns the verdict in words.
func (c taskCallback) VerdictName() string { return word("CALLBACK_VERDICT_", c.GetVerdict()) }

// StateName returns the name of the task's state.
func (p taskPage) StateName() string { return p.Row.StateName() }

// CanCancel reports whether a cancel can change anything.
func (p taskPage) CanCancel() bool { return p.Own && !p.Row.Ended() }

// CanCheck reports whether the provider can be asked about the task. Only operators may.
func (p taskPage) CanCheck() bool {
	return p.Attempt != nil && p.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED
}

// Strength returns the name of the strength; empty for the provider's default.
func (p taskPage) StrengthName() string {
	if p.GetStrength() == refractv1.Strength_STRENGTH_UNSPECIFIED {
		return ""
	}
	return word("STRENGTH_", p.GetStrength())
}

// Route returns the providers in the order in which the task may use them, from the present one.
func (p taskPage) Route() []string {
	return append([]string{p.GetProvider()}, p.GetFallbackProviders()...)
}

// Reason returns the name of the reason of the failure.
func (p taskPage) Reason() string { return word("FAILURE_REASON_", p.GetFailure().GetReason()) }

// Paid returns what is known about payment for the attempt that failed, as a sentence.
func (p taskPage) Paid() string { return paidText(p.GetFailure().GetPayment()) }

// NewAttempt reports whether a retry that would adopt an earlier attempt can be made to pay for another one instead.
func (p taskPage) NewAttempt() bool { return p.Retry.GetPayment() == refractv1.Payment_PAYMENT_NONE }

// RetryPays reports whether a retry is paid for.
func (p taskPage) RetryPays() bool { return p.Retry.GetPayment() != refractv1.Payment_PAYMENT_NONE }

func paidText(p refractv1.Payment) string {
	switch p {
	case refractv1.Payment_PAYMENT_NONE:
		return "Nothing was paid."
	case refractv1.Payment_PAYMENT_PAID:
		return "The attempt was paid for, unless the provider refunds it."
	case refractv1.Payment_PAYMENT_UNKNOWN:
		return "The attempt may have been paid for."
	default:
		return ""
	}
}

// taskNotices are what the page of a task says after a form.
var taskNotices = map[string]string{
	"task-canceled":                     "The task is canceled.",
	"task-ended":                        "The task had ended before it could be canceled.",
	"task-retried":                      "The task continues.",
	"task-check-CONFIRMING":             "The provider is being asked. Its answer is applied within moments.",
	"task-check-SETTLED":                "The result of the newest attempt is known, so there was nothing to ask.",
	"task-check-NO_PROVIDER_TASK_ID":    "The provider cannot be asked: it has not named the attempt. The service waits for its callback.",
	"task-check-ACCOUNT_NOT_CONFIGURED": "The provider cannot be asked: the account of the attempt is not configured.",
}

// showTask shows a task, its files and its story.
func (c *Console) showTask(v *visit) error { return c.taskPage(v, http.StatusOK, "") }

// taskPage shows a task with a status, and with what is wrong with the form that led to it.
func (c *Console) taskPage(v *visit, code int, problem string) error {
	id := v.r.PathValue("id")
	resp, err := c.tasks.ExplainTask(v, &refractv1.ExplainTaskRequest{TaskId: id})
	if status.Code(err) == codes.InvalidArgument {
		return errNoPage // The address has no id of a task.
	}
	if err != nil {
		return err
	}
	e := resp.GetExplanation()
	t := e.GetTask()
	mine, err := c.ownTask(v, id)
	if err != nil {
		return err
	}
	own := mine != nil
	if own {
		t = mine
	}
	now := time.Now()
	page := taskPage{
		Task: t, Row: newTaskRow(t, now), Own: own,
		Steps: taskSteps(e, now), StepsVague: e.GetEntriesLeftOut() > 0, Next: e.GetNext(), Retry: e.GetRetry(), TraceID: e.GetTraceId(),
		Attempts: taskAttempts(e), Story: story(e), Parameters: parametersOf(t), Commands: commandsOf(v.r, t),
		PriorityText: strconv.Itoa(int(t.GetPriority())),
	}
	page.Player = playerOf(t, own, v.r.URL.Query().Get("output"))
	if v.caller.Operator {
		if err := c.addCallbacks(v, &page); err != nil {
			return err
		}
	}
	return v.showStatus(code, "task", stateName(t.GetState())+" · "+firstWords(t.GetPrompt(), 60), problem, page)
}

// ownTask returns a task of the caller's tenant, or nil if it belongs to another one. Unlike an explanation, it has the addresses of its
// request in full.
func (c *Console) ownTask(v *visit, id string) (*refractv1.Task, error) {
	if v.caller.Tenant == "" {
		return nil, nil //nolint:nilnil // A task of another tenant is no error: an operator sees it all the same.
	}
	resp, err := c.tasks.GetTask(v, &refractv1.GetTaskRequest{TaskId: id})
	if status.Code(err) == codes.NotFound && v.caller.Operator {
		return nil, nil //nolint:nilnil // As above.
	}
	return resp.GetTask(), err
}

// addCallbacks adds the newest callbacks of a task, and the bodies of the first of them.
func (c *Console) addCallbacks(v *visit, page *taskPage) error {
	resp, err := c.operators.ListCallbacks(v, &refractv1.ListCallbacksRequest{TaskId: page.GetId(), PageSize: 20})
	if err != nil {
		return err
	}
	page.MoreInbox = resp.GetNextPageToken() != ""
	for i, callback := range resp.GetCallbacks() {
		item := taskCallback{Callback: callback}
		if i < maxBodies {
			full, err := c.operators.GetCallback(v, &refractv1.GetCallbackRequest{CallbackId: callback.GetId()})
			if err != nil && status.Code(err) != codes.NotFound { // The retention may have removed it meanwhile.
				return err
			}
			item.Text = readableBody(full.GetCallback().GetBody())
		}
		page.Callbacks = append(page.Callbacks, item)
	}
	return nil
}

// readableBody returns the body of a callback as text, with JSON indented.
func readableBody(body []byte) string {
	var value json.RawMessage
	if json.Unmarshal(body, &value) == nil {
		if indented, err := json.MarshalIndent(value, "", "  "); err == nil {
			return string(indented)
		}
	}
	return string(body)
}

// parametersOf returns the parameters of a task by name, each as JSON.
func parametersOf(t *refractv1.Task) []parameter {
	var list []parameter
	for name, value := range t.GetParameters().GetFields() {
		text, err := protojson.Marshal(value)
		if err != nil {
			continue // A number that is not finite. The service accepts none.
		}
		list = append(list, parameter{name, string(text)})
	}
	slices.SortFunc(list, func(a, b parameter) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return list
}

// firstWords returns the beginning of a text, of at most n characters.
func firstWords(text string, n int) string {
	if runes := []rune(text); len(runes) > n {
		return string(runes[:n]) + "…"
	}
	return text
}

// player is the part of the page that shows the videos.
type player struct {
	SourceURI  string // The address at this service; empty for none.
	Elsewhere  string // The address of a source that the page does not load.
	Output     *refractv1.Output
	OutputURI  string
	OutputList []playerOutput
	Key        string // Changes when the videos do.
}

// playerOutput is an output that the player can show.
type playerOutput struct {
	Index   int32
	Current bool
}

// Both reports whether there is something to compare.
func (p player) Both() bool { return p.SourceURI != "" && p.OutputURI != "" }

// Any reports whether there is anything to show.
func (p player) Any() bool { return p.SourceURI != "" || p.OutputURI != "" }

// playerOf returns the player of a task. chosen is the output of the URL. Files of another tenant are not shown.
func playerOf(t *refractv1.Task, own bool, chosen string) player {
	p := player{Elsewhere: t.GetSource().GetUri()}
	if !own {
		return p
	}
	if t.GetSource().GetSourceId() != "" {
		p.SourceURI = "/v1/tasks/" + t.GetId() + "/source"
	}
	for _, o := range t.GetOutputs() {
		if o.GetDownloadUri() == "" {
			continue // It has expired.
		}
		current := strconv.Itoa(int(o.GetIndex())) == chosen
		if p.Output == nil || current {
			p.Output = o
		}
		p.OutputList = append(p.OutputList, playerOutput{Index: o.GetIndex()})
	}
	if p.Output != nil {
		p.OutputURI = outputPath(t, p.Output)
		for i := range p.OutputList {
			p.OutputList[i].Current = p.OutputList[i].Index == p.Output.GetIndex()
		}
	}
	p.Key = "player " + p.SourceURI + " " + p.OutputURI
	return p
}

// OutputPath returns the address of an output at this service.
func (p taskPage) OutputPath(o *refractv1.Output) string { return outputPath(p.Task, o) }

func outputPath(t *refractv1.Task, o *refractv1.Output) string {
	return "/v1/tasks/" + t.GetId() + "/outputs/" + strconv.Itoa(int(o.GetIndex()))
}

// Seconds returns a duration in seconds, for people who compare videos.
func (p taskPage) Seconds(d *durationpb.Duration) string {
	return strconv.FormatFloat(d.AsDuration().Seconds(), 'f', -1, 64) + " s"
}
