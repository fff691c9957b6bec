package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// modelList is what the choice of a model shows.
type modelList struct {
	Models      []submitModel // Those that take tasks.
	Unavailable []submitModel
}

// submitForm is what the form of a task shows.
type submitForm struct {
	Model      submitModel
	RequestID  string // One form makes one task, however often it is sent.
	Source     sourceFields
	Task       []inputField
	Parameters []inputField
	Route      []inputField
	More       []inputField
	Problems   []formProblem
	Made       string // The id of the task that the form made before with other values.
}

// sourceFields are the ways to name the source, of which one is chosen.
type sourceFields struct {
	Kind     string // file, uri or id.
	File     inputField
	URI      inputField
	ID       inputField
	MaxBytes int64  // 0 where no limit is known.
	Types    string // As the accept attribute of HTML has them.
	Uploaded string // The name of the file that ID has.
}

// formProblem is an entry of the summary of what is wrong with a form.
type formProblem struct {
	Field string // The id of the field; empty where it is none of the form's.
	Text  string
}

// submitPage shows the choice of a model, or the form for one.
func (c *Console) submitPage(v *visit) error {
	if v.caller.Tenant == "" {
		return status.Error(codes.PermissionDenied, "an operator without a tenant has no tasks: sign in as a tenant to submit one")
	}
	if name := v.r.URL.Query().Get("model"); name != "" {
		form, err := c.newSubmitForm(v, name)
		if err != nil {
			return err
		}
		form.RequestID = uuid.NewString()
		return v.show("submit_form", "Submit a task", form)
	}
	list := modelList{}
	req := &refractv1.ListModelsRequest{PageSize: 500, IncludeUnavailable: true}
	for {
		resp, err := c.models.ListModels(v, req)
		if err != nil {
			return err
		}
		for _, m := range resp.GetModels() {
			if shown := viewModel(m); shown.Available {
				list.Models = append(list.Models, shown)
			} else {
				list.Unavailable = append(list.Unavailable, shown)
			}
		}
		if req.PageToken = resp.GetNextPageToken(); req.PageToken == "" {
			return v.show("submit", "Submit a task", list)
		}
	}
}

// newSubmitForm returns the empty form for a model.
func (c *Console) newSubmitForm(v *visit, name string) (*submitForm, error) {
	resp, err := c.models.GetModel(v, &refractv1.GetModelRequest{Model: name})
	if err != nil {
		return nil, err
	}
	return newSubmitForm(resp.GetModel()), nil
}

// submitTask makes a task of a form, and shows the form again where something is wrong with it.
func (c *Console) submitTask(v *visit) error {
	var form *submitForm
	prepare := func(values url.Values) error {
		if form != nil {
			return nil
		}
		var err error
		form, err = c.newSubmitForm(v, values.Get("model"))
		return err
	}
	sent, err := v.readSubmission(func(values url.Values) int64 {
		if prepare(values) != nil {
			return 0 // The error is returned below, and the service has limits of its own.
		}
		return form.Source.MaxBytes
	})
	if err != nil {
		return err
	}
	if err := prepare(sent.Values); err != nil {
		return err
	}
	form.fill(sent)
	req, problems := form.request(sent)
	if len(problems) > 0 {
		form.place(problems)
		return v.showStatus(http.StatusBadRequest, "submit_form", "Submit a task", "", form)
	}
	resp, err := c.tasks.SubmitTask(v, req)
	if err == nil {
		return v.redirect("/tasks/" + url.PathEscape(resp.GetTask().GetId()))
	}
	st := status.Convert(err)
	if st.Code() == codes.Unauthenticated {
		return err
	}
	form.refuse(st)
	setRetryAfter(v.w, err)
	return v.showStatus(errorPageOf(err).Status, "submit_form", "Submit a task", "", form)
}

// fields returns all fields of the form in the order of the page.
func (f *submitForm) fields() []*inputField {
	fields := []*inputField{&f.Source.File, &f.Source.URI, &f.Source.ID}
	for _, group := range [][]inputField{f.Task, f.Parameters, f.Route, f.More} {
		for i := range group {
			fields = append(fields, &group[i])
		}
	}
	return fields
}

// Open reports whether a field of a group has a value or a problem, so that the group must not be folded.
func (f *submitForm) Open(group []inputField) bool {
	return slices.ContainsFunc(group, func(f inputField) bool { return f.Value != "" || f.Problem != "" })
}

// fill takes what the visitor entered.
func (f *submitForm) fill(sent *sentForm) {
	f.RequestID = sent.Get("request_id")
	for _, field := range f.fields() {
		if field.Name != fileField {
			field.Value = sent.Get(field.Name)
		}
	}
	f.Source.Uploaded = sent.Get("uploaded")
	if kind := sent.Get("source"); kind == "uri" || kind == "id" {
		f.Source.Kind = kind
	}
	if sent.Source != nil { // A file input is always empty when a page is shown, so the uploaded source replaces it.
		f.Source.Kind, f.Source.ID.Value, f.Source.Uploaded = "id", sent.Source.GetId(), sent.File
	}
}

// place puts problems at their fields, and into the summary in the order of the page.
func (f *submitForm) place(problems []problem) {
	fields := f.fields()
	var elsewhere []formProblem
	for _, p := range problems {
		var at *inputField
		for _, field := range fields {
			rest, ok := strings.CutPrefix(p.Path, field.Path)
			if ok && field.Path != "" && (rest == "" || rest[0] == '.' || rest[0] == '[') && (at == nil || len(field.Path) > len(at.Path)) {
				at = field
			}
		}
		switch {
		case at == nil:
			elsewhere = append(elsewhere, formProblem{Text: strings.TrimPrefix(p.Path+": "+p.Text, ": ")})
		case at.Problem == "":
			at.Problem = p.Text
		default:
			at.Problem += "; " + p.Text
		}
	}
	for _, field := range fields {
		if field.Problem != "" {
			f.Problems = append(f.Problems, formProblem{Field: field.ID, Text: field.Label + ": " + field.Problem})
			field.Problem = asSentence(field.Problem)
		}
	}
	f.Problems = append(f.Problems, elsewhere...)
}

// refuse puts the reasons of a refusal by the service at their fields.
func (f *submitForm) refuse(st *status.Status) {
	var problems []problem
	for _, detail := range st.Details() {
		switch detail := detail.(type) {
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				problems = append(problems, problem{f.path(violation.GetField()), violation.GetDescription()})
			}
		case *errdetails.ErrorInfo:
			if path, ok := reasonPaths[detail.GetReason()]; ok {
				problems = append(problems, problem{path, st.Message()})
			}
			if detail.GetReason() == "REQUEST_ID_CONFLICT" {
				// The task exists. A form that is sent again from here is meant to make another one.
				f.Made, f.RequestID = detail.GetMetadata()["task_id"], uuid.NewString()
			}
		}
	}
	switch {
	case f.Made != "":
		return // The page says it in its own words.
	case len(problems) == 0:
		problems = []problem{{"", st.Message()}}
	}
	f.place(problems)
}

// reasonPaths are the fields that refusals without violations are about.
var reasonPaths = map[string]string{
	"SOURCE_NOT_FOUND":       "source.source_id",
	"WEBHOOK_SECRET_MISSING": "webhook_uri",
}

// path returns where the form has what a violation names: a missing source is that of the chosen kind.
func (f *submitForm) path(violation string) string {
	if violation == "source" || violation == "source.location" {
		return map[string]string{"file": "source.file", "uri": "source.uri", "id": "source.source_id"}[f.Source.Kind]
	}
	return violation
}

// request returns the request of a filled form, and what is wrong with it that the service could not see.
func (f *submitForm) request(sent *sentForm) (*refractv1.SubmitTaskRequest, []problem) {
	req := &refractv1.SubmitTaskRequest{
		RequestId: f.RequestID, Model: f.Model.Name, Source: &refractv1.SubmitTaskSource{},
		Strength: refractv1.Strength(refractv1.Strength_value["STRENGTH_"+sent.Get("strength")]),
	}
	parameters, problems := readParameters(f.Parameters, sent.Values)
	req.Parameters = parameters
	text := func(path string) string {
		value := strings.ReplaceAll(sent.Get(strings.ReplaceAll(path, ".", "_")), "\r\n", "\n")
		if wrong := unreadable(value); wrong != "" {
			problems = append(problems, problem{path, wrong})
			return ""
		}
		return value
	}
	number := func(path string) int32 {
		value := strings.TrimSpace(text(path))
		if value == "" {
			return 0
		}
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			problems = append(problems, problem{path, "must be a whole number"})
		}
		return int32(n)
	}
	if wrong := unreadable(f.RequestID); wrong != "" {
		problems = append(problems, problem{"request_id", wrong})
	}
	req.Prompt, req.Watermark, req.Provider = text("prompt"), text("watermark"), text("provider")
	req.FirstFrameUri, req.WebhookUri = strings.TrimSpace(text("first_frame_uri")), strings.TrimSpace(text("webhook_uri"))
	req.FallbackProviders = strings.FieldsFunc(text("fallback_providers"), func(r rune) bool { return strings.ContainsRune(", \n\t", r) })
	req.Priority, req.MaxAttempts = number("priority"), number("max_attempts")
	var wrong string
	if req.Deadline, wrong = readDeadline(text("deadline")); wrong != "" {
		problems = append(problems, problem{"deadline", wrong})
	}
	if req.Labels, wrong = readLabels(text("labels")); wrong != "" {
		problems = append(problems, problem{"labels", wrong})
	}
	switch f.Source.Kind {
	case "uri":
		if uri := strings.TrimSpace(text("source.uri")); uri != "" {
			req.Source.Location = &refractv1.SubmitTaskSource_Uri{Uri: uri}
		} else {
			problems = append(problems, problem{"source.uri", "is required"})
		}
	case "id":
		if id := strings.TrimSpace(f.Source.ID.Value); unreadable(id) != "" || id == "" {
			problems = append(problems, problem{"source.source_id", cmp.Or(unreadable(id), "is required")})
		} else {
			req.Source.Location = &refractv1.SubmitTaskSource_SourceId{SourceId: id}
		}
	default:
		switch {
		case sent.Refused != nil:
			problems = append(problems, problem{"source.file", refusedFile(sent.Refused)})
		default:
			problems = append(problems, problem{"source.file", "is required: choose a file, or name the video in another way"})
		}
	}
	return req, problems
}

// refusedFile returns why a file was refused, for its field.
func refusedFile(err error) string {
	if st, ok := status.FromError(err); ok {
		return st.Message()
	}
	return err.Error()
}

// readDeadline reads a duration such as 90m, 6h or 2d; nil for none.
func readDeadline(text string) (*durationpb.Duration, string) {
	if text = strings.TrimSpace(text); text == "" {
		return nil, ""
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n <= 10_000 {
			return durationpb.New(time.Duration(n) * 24 * time.Hour), ""
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return nil, "must be a duration such as 90m, 6h or 2d"
	}
	return durationpb.New(d), ""
}

// newSubmitForm returns the empty form for a model.
func newSubmitForm(m *refractv1.Model) *submitForm {
	shown := viewModel(m)
	offerings := usableOfferings(m)
	f := &submitForm{Model: shown, Parameters: parameterFields(offerings)}
	f.Source = newSourceFields(offerings)
	f.Task = append(f.Task, promptField(offerings))
	if s, ok := strengthField(offerings); ok {
		f.Task = append(f.Task, s)
	}
	f.Route = []inputField{
		providerField(m),
		{Name: "fallback_providers", Label: "Fallback providers", Kind: kindText, Hint: "They follow when the provider that you chose refuses the task, in this order, separated by commas. At most 4."},
		{Name: "max_attempts", Label: "Attempts to pay for", Kind: kindInteger, Min: "1", Max: "5", Step: "1", Default: "1", Hint: "Another attempt is made only after the provider reported that the one before failed."},
		{Name: "priority", Label: "Priority", Kind: kindInteger, Min: "-100", Max: "100", Step: "1", Default: "0", Hint: "Among your own tasks. One step counts as a minute of waiting, and higher goes first."},
		{Name: "deadline", Label: "Deadline", Kind: kindText, Default: "6h", MaxLength: 20, Hint: "The time from now after which the task fails, such as 90m, 6h or 2d. At most 7d."},
	}
	if slices.ContainsFunc(offerings, (*refractv1.Offering).GetFirstFrame) {
		f.More = append(f.More, inputField{Name: "first_frame_uri", Label: "First frame", Kind: kindURI, MaxLength: 2048, Hint: "The public https URI of an image: the first frame, modified as the whole video is to be."})
	}
	if slices.ContainsFunc(offerings, (*refractv1.Offering).GetWatermark) {
		f.More = append(f.More, inputField{Name: "watermark", Label: "Watermark", Kind: kindText, MaxLength: 128, Hint: "The identifier that the provider gets."})
	}
	f.More = append(f.More,
		inputField{Name: "labels", Label: "Labels", Kind: kindLongText, Hint: "To filter tasks by: one key=value a line, at most 16. Keys have lower-case letters, digits and . _ / -"},
		inputField{Name: "webhook_uri", Label: "Webhook", Kind: kindURI, MaxLength: 2048, Hint: "The public https URI that receives the events with which the task ends. They are signed by your webhook endpoint without a URL."},
	)
	for _, field := range f.fields() {
		field.ID = cmp.Or(field.ID, "field-"+strings.ReplaceAll(field.Name, "_", "-"))
		field.Path = cmp.Or(field.Path, field.Name)
	}
	return f
}

// usableOfferings returns the offerings that take tasks, those of the route first. Without any it returns all.
func usableOfferings(m *refractv1.Model) []*refractv1.Offering {
	var usable []*refractv1.Offering
	for _, o := range m.GetOfferings() {
		if takesTasks(o) {
			usable = append(usable, o)
		}
	}
	if len(usable) == 0 {
		return m.GetOfferings()
	}
	return usable
}

func newSourceFields(offerings []*refractv1.Offering) sourceFields {
	s := sourceFields{
		Kind: "file",
		File: inputField{Name: fileField, Path: "source.file", Label: "Video file"},
		URI:  inputField{Name: "source_uri", Path: "source.uri", Label: "Address of the video", Kind: kindURI, MaxLength: 2048, Hint: "A public https URI. The provider fetches it without credentials."},
		ID:   inputField{Name: "source_id", Path: "source.source_id", Label: "Id of an uploaded source", Kind: kindText, MaxLength: 36, Hint: "As the upload returned it."},
	}
	var types []string
	for i, o := range offerings {
		limits := o.GetSource()
		if limits.GetMaxBytes() == 0 {
			s.MaxBytes = -1 // Unknown, so the largest is unknown.
		} else if s.MaxBytes >= 0 {
			s.MaxBytes = max(s.MaxBytes, limits.GetMaxBytes())
		}
		if len(limits.GetTypes()) == 0 || i > 0 && types == nil {
			types = nil
			continue
		}
		types = append(types, limits.GetTypes()...)
	}
	s.MaxBytes = max(s.MaxBytes, 0)
	slices.Sort(types)
	s.Types = cmp.Or(strings.Join(slices.Compact(types), ","), "video/*")
	s.File.Hint = "A video."
	if s.MaxBytes > 0 {
		s.File.Hint = "A video of at most " + formatBytes(s.MaxBytes) + "."
	}
	return s
}

func promptField(offerings []*refractv1.Offering) inputField {
	f := inputField{Name: "prompt", Label: "Prompt", Kind: kindLongText, Required: true, MaxLength: 6000, Hint: "What shall change, in words."}
	longest := 0
	for _, o := range offerings {
		n := int(o.GetPrompt().GetMaxCharacters())
		if n == 0 {
			n = f.MaxLength
		}
		longest = max(longest, n)
	}
	if longest > 0 {
		f.MaxLength = min(f.MaxLength, longest)
	}
	f.Hint += " At most " + strconv.Itoa(f.MaxLength) + " characters."
	return f
}

// strengthField returns the choice of a strength, and false where none can be requested.
func strengthField(offerings []*refractv1.Offering) (inputField, bool) {
	f := inputField{Name: "strength", Label: "Strength", Kind: kindSelect, Hint: "How far the result may differ from the source."}
	has := map[refractv1.Strength]bool{}
	for _, o := range offerings {
		if f.Default == "" && o.GetDefaultStrength() != refractv1.Strength_STRENGTH_UNSPECIFIED {
			f.Default = strengthName(o.GetDefaultStrength())
		}
		for _, s := range o.GetStrengths() {
			has[s] = true
		}
	}
	for s := refractv1.Strength_STRENGTH_ADHERE_1; s <= refractv1.Strength_STRENGTH_REIMAGINE_3; s++ {
		if has[s] {
			f.Options = append(f.Options, fieldOption{word("STRENGTH_", s), strengthName(s) + ": " + strengthMeanings[s]})
		}
	}
	return f, len(f.Options) > 0
}

// strengthName returns a strength as people write it, such as "flex 1".
func strengthName(s refractv1.Strength) string {
	return strings.ToLower(strings.ReplaceAll(word("STRENGTH_", s), "_", " "))
}

var strengthMeanings = map[refractv1.Strength]string{
	refractv1.Strength_STRENGTH_ADHERE_1:    "keeps closest to the source",
	refractv1.Strength_STRENGTH_ADHERE_2:    "keeps close to the source",
	refractv1.Strength_STRENGTH_ADHERE_3:    "keeps rather close to the source",
	refractv1.Strength_STRENGTH_FLEX_1:      "changes style and keeps shapes and movement",
	refractv1.Strength_STRENGTH_FLEX_2:      "changes style and some shapes",
	refractv1.Strength_STRENGTH_FLEX_3:      "changes style and more of the shapes",
	refractv1.Strength_STRENGTH_REIMAGINE_1: "keeps the movement and invents much of the rest",
	refractv1.Strength_STRENGTH_REIMAGINE_2: "keeps some of the movement",
	refractv1.Strength_STRENGTH_REIMAGINE_3: "is least bound to the source",
}

func providerField(m *refractv1.Model) inputField {
	f := inputField{Name: "provider", Label: "Provider", Kind: kindSelect, Default: "the route"}
	if len(m.GetRoute()) > 0 {
		f.Default = "the route: " + strings.Join(m.GetRoute(), ", then ")
	}
	for _, o := range m.GetOfferings() {
		text := o.GetProvider()
		if !takesTasks(o) {
			text += " (" + availabilityWord(o) + ")"
		}
		f.Options = append(f.Options, fieldOption{o.GetProvider(), text})
	}
	return f
}
