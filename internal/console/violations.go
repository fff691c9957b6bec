package console

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// violations returns what is wrong with the fields of a refused request, one sentence for each field that the API names, such as
// `rate.submissions`. It is empty if the error names no field.
func violations(err error) map[string]string {
	found := map[string]string{}
	for _, detail := range status.Convert(err).Details() {
		bad, ok := detail.(*errdetails.BadRequest)
		if !ok {
			continue
		}
		for _, v := range bad.GetFieldViolations() {
			if v.GetField() == "" || v.GetDescription() == "" {
				continue
			}
			if before := found[v.GetField()]; before != "" {
				found[v.GetField()] = before + "; " + v.GetDescription()
			} else {
				found[v.GetField()] = v.GetDescription()
			}
		}
	}
	for field, description := range found {
		found[field] = asSentence(description)
	}
	return found
}

// asSentence returns a text that begins in lower case, such as a description of the API or an error, as a sentence. It is empty for no text.
func asSentence(description string) string {
	if description == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(description)
	sentence := string(unicode.ToUpper(first)) + description[size:]
	if strings.HasSuffix(sentence, ".") {
		return sentence
	}
	return sentence + "."
}

// fieldNote is what a template needs to connect a field with its hint and with what is wrong with it.
type fieldNote struct {
	ID    string // The id of the field. Those of its hint and its violation begin with it.
	Hint  bool
	Error string // Empty for none.
}

// noteField returns the note of a field: its violation among those of a form, by its name in the API, and whether it has a hint.
// The parts "described" and "violation" of the templates take it.
func noteField(violations map[string]string, name, id string, hint bool) fieldNote {
	return fieldNote{ID: id, Hint: hint, Error: violations[name]}
}

// checkFields is what a page says above a form of which only fields are wrong.
const checkFields = "The form has mistakes. Each is explained at its field."

// refuse answers a form that the API refused for something that its sender can change: the page again, with the problem and what was
// typed. It returns any other error.
func (v *visit) refuse(err error, name, title string, data any) error {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.AlreadyExists, codes.Aborted, codes.ResourceExhausted, codes.Unavailable, codes.DeadlineExceeded:
	default:
		return err
	}
	page := errorPageOf(err)
	problem := asSentence(page.Message)
	if len(violations(err)) > 0 {
		problem = checkFields
	}
	setRetryAfter(v.w, err)
	return v.showStatus(page.Status, name, title, problem, data)
}
