package console

import (
	"cmp"
	"encoding/json"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/structpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// fieldKind is how a form shows a field.
type fieldKind string

// The kinds of fields. Those behind kindText are for parameters of models.
const (
	kindText     fieldKind = "text"
	kindLongText fieldKind = "long"
	kindURI      fieldKind = "uri"
	kindInteger  fieldKind = "integer"
	kindNumber   fieldKind = "number"
	kindSelect   fieldKind = "select"
	kindYesNo    fieldKind = "yesno" // Unset, yes or no: unset is what the provider does by itself.
	kindLines    fieldKind = "lines" // A list of texts, one a line.
	kindJSON     fieldKind = "json"  // Any value.
)

// inputField is one field of a form.
type inputField struct {
	ID        string // Of its element in the page.
	Name      string // Of its value in the form.
	Path      string // Of its value in the request: violations name it.
	Label     string
	Kind      fieldKind
	Hint      string
	Default   string // What an empty field means.
	Required  bool
	Options   []fieldOption
	Min       string // As HTML has it, like the next two; empty for no limit.
	Max       string
	Step      string
	MaxLength int    // Characters; 0 for no limit.
	Schema    string // What kindJSON must match, as indented JSON.
	Value     string // What the visitor entered.
	Problem   string // What is wrong with Value.
}

// fieldOption is a choice of kindSelect.
type fieldOption struct{ Value, Text string }

// Described returns the ids of the elements that describe the field.
func (f inputField) Described() string {
	var ids []string
	if f.Hint != "" || f.Default != "" || f.Schema != "" {
		ids = append(ids, f.ID+"-hint")
	}
	if f.Problem != "" {
		ids = append(ids, f.ID+"-problem")
	}
	return strings.Join(ids, " ")
}

// Wide reports whether the field needs the width of the form.
func (f inputField) Wide() bool {
	switch f.Kind {
	case kindLongText, kindLines, kindJSON, kindURI:
		return true
	default:
		return false
	}
}

// parametersPath is the path of all parameters in a request.
const parametersPath = "parameters"

// Bounds of the parts of a schema that forms use. What exceeds them is entered as JSON, or has no limit in the form.
const (
	maxOptions     = 500
	maxLengthLimit = 100_000
	maxSchemaText  = 8 << 10
	shortText      = 120 // Characters of a text that has one line.
)

// parameterFields returns the fields for the parameters of a task that goes to one of several offerings. A parameter that several
// offerings have is as the first of them defines it. Required ones are first
// and wide ones last, each by name.
func parameterFields(offerings []*refractv1.Offering) []inputField {
	type parameter struct {
		schema   *structpb.Value
		in       []string // The providers that take it.
		required int
	}
	parameters := map[string]*parameter{}
	for _, o := range offerings {
		required := requiredNames(o.GetParametersSchema())
		for name, schema := range o.GetParametersSchema().GetFields()["properties"].GetStructValue().GetFields() {
			p := parameters[name]
			if p == nil {
				p = &parameter{schema: schema}
				parameters[name] = p
			}
			p.in = append(p.in, o.GetProvider())
			if required[name] {
				p.required++
			}
		}
	}
	var fields []inputField
	for name, p := range parameters {
		f := schemaField(p.schema)
		f.Label, f.Name, f.Path = labelText(name), parametersPath+"."+name, parametersPath+"."+name
		f.Required = p.required == len(offerings)
		if len(p.in) < len(offerings) {
			f.Hint = sentences(f.Hint, "Only "+strings.Join(p.in, ", ")+" has it: other providers are left out when you set it.")
		}
		fields = append(fields, f)
	}
	slices.SortFunc(fields, func(a, b inputField) int {
		return cmp.Or(firstIf(a.Required, b.Required), firstIf(!a.Wide(), !b.Wide()), cmp.Compare(a.Name, b.Name))
	})
	for i := range fields {
		fields[i].ID = "parameter-" + strconv.Itoa(i) // A name of a parameter may have any characters.
	}
	return fields
}

// firstIf compares two fields of which those with a property are first.
func firstIf(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}

// labelText returns the name of a parameter as a label: "Aspect ratio" for aspect_ratio.
func labelText(name string) string {
	text := strings.TrimSpace(strings.ReplaceAll(name, "_", " "))
	first, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return name
	}
	return string(unicode.ToUpper(first)) + text[size:]
}

func requiredNames(schema *structpb.Struct) map[string]bool {
	names := map[string]bool{}
	for _, v := range schema.GetFields()["required"].GetListValue().GetValues() {
		names[v.GetStringValue()] = true
	}
	return names
}

// schemaField returns the field for values of a JSON Schema. It reads only what it knows: the service checks the value itself.
func schemaField(schema *structpb.Value) inputField {
	keywords := schema.GetStructValue().GetFields()
	f := inputField{Hint: keywords["description"].GetStringValue()}
	if d, ok := keywords["default"]; ok {
		f.Default = plainValue(d)
	}
	if options, ok := enumOptions(keywords); ok {
		f.Kind, f.Options = kindSelect, options
		return f
	}
	switch keywords["type"].GetStringValue() {
	case "boolean":
		f.Kind = kindYesNo
	case "integer":
		f.Kind = kindInteger
		f.limitNumber(keywords)
	case "number":
		f.Kind = kindNumber
		f.limitNumber(keywords)
	case "string":
		f.limitText(keywords)
	case "array":
		if items := keywords["items"].GetStructValue().GetFields(); items["type"].GetStringValue() == "string" && items["format"].GetStringValue() == "uri" {
			f.Kind = kindLines
			f.Hint = sentences(f.Hint, "One URI a line.")
			if n := wholeNumber(keywords["maxItems"]); n > 0 {
				f.Hint = sentences(f.Hint, "At most "+strconv.Itoa(n)+".")
			}
			return f
		}
		fallthrough
	default:
		f.Kind, f.Schema = kindJSON, schemaText(schema)
	}
	return f
}

// enumOptions returns the choices of a schema with enum or const, and false where they can't be shown.
func enumOptions(keywords map[string]*structpb.Value) ([]fieldOption, bool) {
	values := keywords["enum"].GetListValue().GetValues()
	if c, ok := keywords["const"]; ok {
		values = []*structpb.Value{c}
	}
	if len(values) == 0 || len(values) > maxOptions {
		return nil, false
	}
	var options []fieldOption
	for _, v := range values {
		switch v.GetKind().(type) {
		case *structpb.Value_StringValue, *structpb.Value_BoolValue:
		case *structpb.Value_NumberValue:
			if _, ok := finite(v); !ok {
				return nil, false
			}
		default:
			return nil, false
		}
		text, err := json.Marshal(v.AsInterface())
		if err != nil {
			return nil, false
		}
		options = append(options, fieldOption{string(text), plainValue(v)})
	}
	return options, true
}

// limitNumber takes the limits of a number from its schema.
func (f *inputField) limitNumber(keywords map[string]*structpb.Value) {
	f.Step = "any"
	if f.Kind == kindInteger {
		f.Step = "1"
	}
	low, hasLow := finite(keywords["minimum"])
	if hasLow {
		f.Min = numberText(low)
	}
	if high, ok := finite(keywords["maximum"]); ok {
		f.Max = numberText(high)
	}
	if over, ok := finite(keywords["exclusiveMinimum"]); ok {
		f.Hint = sentences(f.Hint, "More than "+numberText(over)+".")
	}
	if under, ok := finite(keywords["exclusiveMaximum"]); ok {
		f.Hint = sentences(f.Hint, "Less than "+numberText(under)+".")
	}
	// A browser counts steps from the minimum, and a schema from 0.
	if step, ok := finite(keywords["multipleOf"]); ok && step > 0 && (!hasLow || math.Mod(low, step) == 0) {
		f.Step = numberText(step)
	}
	switch {
	case f.Min != "" && f.Max != "":
		f.Hint = sentences(f.Hint, "From "+f.Min+" to "+f.Max+".")
	case f.Min != "":
		f.Hint = sentences(f.Hint, "At least "+f.Min+".")
	case f.Max != "":
		f.Hint = sentences(f.Hint, "At most "+f.Max+".")
	}
}

// limitText takes kind and limits of a text from its schema.
func (f *inputField) limitText(keywords map[string]*structpb.Value) {
	f.Kind, f.MaxLength = kindText, wholeNumber(keywords["maxLength"])
	pattern := keywords["pattern"].GetStringValue()
	switch {
	case keywords["format"].GetStringValue() == "uri":
		f.Kind = kindURI
	case f.MaxLength > shortText && pattern == "":
		f.Kind = kindLongText
	}
	switch {
	case pattern == "^https://":
		f.Hint = sentences(f.Hint, "It begins with https://.")
	case pattern != "":
		f.Hint = sentences(f.Hint, "It must match "+pattern)
	}
	if f.MaxLength > 0 {
		f.Hint = sentences(f.Hint, "At most "+strconv.Itoa(f.MaxLength)+" characters.")
	}
}

// finite returns a number of a schema, and false for what is none.
func finite(v *structpb.Value) (float64, bool) {
	n, ok := v.GetKind().(*structpb.Value_NumberValue)
	if !ok || math.IsNaN(n.NumberValue) || math.IsInf(n.NumberValue, 0) {
		return 0, false
	}
	return n.NumberValue, true
}

// wholeNumber returns a limit of a schema, and 0 for what is none.
func wholeNumber(v *structpb.Value) int {
	n, ok := finite(v)
	if !ok || n < 1 || n > maxLengthLimit || n != math.Trunc(n) {
		return 0
	}
	return int(n)
}

// numberText returns a number as HTML has it.
func numberText(n float64) string {
	if math.Abs(n) < 1e15 {
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	return strconv.FormatFloat(n, 'g', -1, 64)
}

// plainValue returns a value for people: a text without quotes, and anything else as JSON.
func plainValue(v *structpb.Value) string {
	if text, ok := v.GetKind().(*structpb.Value_StringValue); ok {
		return text.StringValue
	}
	text, err := json.Marshal(v.AsInterface())
	if err != nil {
		return ""
	}
	return string(text)
}

// schemaText returns a schema for people.
func schemaText(schema *structpb.Value) string {
	text, err := json.MarshalIndent(schema.AsInterface(), "", "  ")
	if err != nil {
		return ""
	}
	if len(text) > maxSchemaText {
		return strings.ToValidUTF8(string(text[:maxSchemaText]), "") + "…"
	}
	return string(text)
}

// sentences joins two sentences, of which either may be empty.
func sentences(a, b string) string { return strings.TrimSpace(a + " " + b) }

// problem is what is wrong with one value of a request.
type problem struct{ Path, Text string }

// readParameters returns the parameters that a form has, nil for none, and what is wrong with them. An empty field is no parameter.
func readParameters(fields []inputField, form url.Values) (*structpb.Struct, []problem) {
	parameters := map[string]*structpb.Value{}
	var problems []problem
	for _, f := range fields {
		switch v, wrong := f.read(form.Get(f.Name)); {
		case wrong != "":
			problems = append(problems, problem{f.Path, wrong})
		case v != nil:
			parameters[strings.TrimPrefix(f.Name, parametersPath+".")] = v
		case f.Required:
			problems = append(problems, problem{f.Path, "is required"})
		}
	}
	if len(parameters) == 0 {
		return nil, problems
	}
	return &structpb.Struct{Fields: parameters}, problems
}

// htmlNumber is a number as browsers send it. strconv also knows NaN, infinity and hexadecimal numbers.
var htmlNumber = regexp.MustCompile(`^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$`)

// read returns the value that an entered text means: nil for an empty one. The second result is what is wrong with the text.
func (f inputField) read(text string) (*structpb.Value, string) {
	if wrong := unreadable(text); wrong != "" {
		return nil, wrong
	}
	text = strings.ReplaceAll(text, "\r\n", "\n") // As forms send line breaks.
	if strings.TrimSpace(text) == "" {
		return nil, ""
	}
	switch f.Kind {
	case kindInteger, kindNumber:
		return f.readNumber(strings.TrimSpace(text))
	case kindYesNo:
		switch text {
		case "yes":
			return structpb.NewBoolValue(true), ""
		case "no":
			return structpb.NewBoolValue(false), ""
		}
		return nil, "must be yes or no, or be left to the provider"
	case kindSelect:
		return f.readOption(text)
	case kindLines:
		list := &structpb.ListValue{}
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" {
				list.Values = append(list.Values, structpb.NewStringValue(line))
			}
		}
		return structpb.NewListValue(list), ""
	case kindJSON:
		return readJSON(text)
	case kindText, kindLongText, kindURI:
		return structpb.NewStringValue(text), ""
	default:
		return nil, "can't be set"
	}
}

func (f inputField) readNumber(text string) (*structpb.Value, string) {
	n, err := strconv.ParseFloat(text, 64)
	switch {
	case !htmlNumber.MatchString(text):
		return nil, "must be a number"
	case err != nil || math.IsInf(n, 0):
		return nil, "is too large a number"
	case f.Kind == kindInteger && n != math.Trunc(n):
		return nil, "must be a whole number"
	case f.Kind == kindInteger && math.Abs(n) > 1<<53:
		return nil, "is too large a number" // It would be rounded.
	}
	return structpb.NewNumberValue(n), ""
}

func (f inputField) readOption(text string) (*structpb.Value, string) {
	if !slices.ContainsFunc(f.Options, func(o fieldOption) bool { return o.Value == text }) {
		return nil, "must be one of the choices"
	}
	return readJSON(text)
}

// Bounds of JSON that is entered: those that the service has for all parameters together.
const (
	maxJSONText  = 16 << 10
	maxJSONDepth = 15
)

// readJSON returns the value of a text of JSON.
func readJSON(text string) (*structpb.Value, string) {
	if len(text) > maxJSONText {
		return nil, "must have at most 16 KiB"
	}
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return nil, "must be JSON: " + err.Error()
	}
	switch wrong := unreadableJSON(value, 0); {
	case wrong != "":
		return nil, wrong
	default:
		v, err := structpb.NewValue(value)
		if err != nil {
			return nil, "must be JSON: " + err.Error()
		}
		return v, ""
	}
}

// unreadableJSON returns what the service could not read in a value.
func unreadableJSON(value any, depth int) string {
	if depth > maxJSONDepth {
		return "is nested too deep"
	}
	switch value := value.(type) {
	case string:
		return unreadable(value)
	case []any:
		for _, v := range value {
			if wrong := unreadableJSON(v, depth+1); wrong != "" {
				return wrong
			}
		}
	case map[string]any:
		for k, v := range value {
			if wrong := cmp.Or(unreadable(k), unreadableJSON(v, depth+1)); wrong != "" {
				return wrong
			}
		}
	}
	return ""
}

// unreadable returns why a text can't be in a request.
func unreadable(text string) string {
	switch {
	case !utf8.ValidString(text):
		return "must be text in UTF-8"
	case strings.ContainsRune(text, 0):
		return "must not have a NUL character"
	default:
		return ""
	}
}
