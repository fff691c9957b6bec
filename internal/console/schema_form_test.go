package console

import (
	"encoding/json"
	"math"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/catalog"
)

// value returns a JSON text as the service sends a part of a schema.
func value(t *testing.T, text string) *structpb.Value {
	t.Helper()
	v := &structpb.Value{}
	if err := protojson.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestSchemaField(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		schema string
		want   inputField
	}{
		"a boolean":               {`{"type": "boolean"}`, inputField{Kind: kindYesNo}},
		"a default":               {`{"type": "boolean", "default": true}`, inputField{Kind: kindYesNo, Default: "true"}},
		"a choice":                {`{"enum": ["720p", 5, true]}`, inputField{Kind: kindSelect, Options: []fieldOption{{`"720p"`, "720p"}, {"5", "5"}, {"true", "true"}}}},
		"one value":               {`{"const": "a"}`, inputField{Kind: kindSelect, Options: []fieldOption{{`"a"`, "a"}}}},
		"an integer":              {`{"type": "integer", "minimum": 0, "maximum": 10, "description": "Seconds."}`, inputField{Kind: kindInteger, Min: "0", Max: "10", Step: "1", Hint: "Seconds. From 0 to 10."}},
		"a number":                {`{"type": "number", "exclusiveMinimum": 0.5}`, inputField{Kind: kindNumber, Step: "any", Hint: "More than 0.5."}},
		"steps from 0":            {`{"type": "number", "multipleOf": 0.25, "maximum": 1}`, inputField{Kind: kindNumber, Step: "0.25", Max: "1", Hint: "At most 1."}},
		"steps off the least":     {`{"type": "integer", "multipleOf": 2, "minimum": 1}`, inputField{Kind: kindInteger, Step: "1", Min: "1", Hint: "At least 1."}},
		"a short text":            {`{"type": "string", "maxLength": 10}`, inputField{Kind: kindText, MaxLength: 10, Hint: "At most 10 characters."}},
		"a long text":             {`{"type": "string", "maxLength": 500}`, inputField{Kind: kindLongText, MaxLength: 500, Hint: "At most 500 characters."}},
		"a URI":                   {`{"type": "string", "format": "uri", "pattern": "^https://"}`, inputField{Kind: kindURI, Hint: "It begins with https://."}},
		"a pattern":               {`{"type": "string", "pattern": "^a+$"}`, inputField{Kind: kindText, Hint: "It must match ^a+$"}},
		"a list of URIs":          {`{"type": "array", "maxItems": 5, "items": {"type": "string", "format": "uri"}}`, inputField{Kind: kindLines, Hint: "One URI a line. At most 5."}},
		"limits that are none":    {`{"type": "integer", "minimum": "0", "maximum": null, "multipleOf": -1, "description": 5}`, inputField{Kind: kindInteger, Step: "1"}},
		"lengths that are none":   {`{"type": "string", "maxLength": -4, "pattern": {}, "format": []}`, inputField{Kind: kindText}},
		"a length beyond reason":  {`{"type": "string", "maxLength": 1e300}`, inputField{Kind: kindText}},
		"a limit beyond integers": {`{"type": "integer", "maximum": 1e300}`, inputField{Kind: kindInteger, Step: "1", Max: "1e+300", Hint: "At most 1e+300."}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, schemaField(value(t, tt.schema))); diff != "" {
				t.Errorf("field of %s: (-want +got)\n%s", tt.schema, diff)
			}
		})
	}
}

// TestSchemaField_FallsBackToJSON tests that what a form can't show is entered as JSON, and that no schema stops the page.
func TestSchemaField_FallsBackToJSON(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"properties":{"a":`, 30) + `{}` + strings.Repeat(`}}`, 30)
	schemas := map[string]*structpb.Value{
		"an absent schema": nil, "a value of no kind": {}, "a schema that is not a number": structpb.NewNumberValue(math.NaN()),
		"a choice of what JSON has not": structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
			"enum": structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewNumberValue(math.Inf(1))}}),
		}}),
	}
	for name, text := range map[string]string{
		"an object": `{"type": "object"}`, "a list": `{"type": "array", "items": {"type": "number"}}`, "a list without items": `{"type": "array"}`,
		"several types": `{"type": ["string", "null"]}`, "a reference": `{"$ref": "#/$defs/a"}`, "alternatives": `{"anyOf": [{"type": "string"}]}`,
		"anything": `true`, "a text": `"string"`, "an empty choice": `{"enum": []}`, "a choice of objects": `{"enum": [{"a": 1}]}`,
		"a choice without end": `{"enum": [` + strings.Repeat("1,", maxOptions) + `1]}`, "a deep one": deep,
		"a long one": `{"type": "object", "description": "` + strings.Repeat("é", maxSchemaText) + `"}`,
	} {
		schemas[name] = value(t, text)
	}
	for name, schema := range schemas {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := schemaField(schema)
			if f.Kind != kindJSON || len(f.Schema) > maxSchemaText+len("…") {
				t.Errorf("the kind is %s with a schema of %d bytes, want json and at most %d", f.Kind, len(f.Schema), maxSchemaText)
			}
		})
	}
}

func TestInputField_Read(t *testing.T) {
	t.Parallel()
	list := func(values ...any) *structpb.Value {
		l, err := structpb.NewList(values)
		if err != nil {
			t.Fatal(err)
		}
		return structpb.NewListValue(l)
	}
	choice := inputField{Kind: kindSelect, Options: []fieldOption{{`"5"`, "5"}, {"5", "5"}}}
	for name, tt := range map[string]struct {
		field inputField
		text  string
		want  *structpb.Value
		wrong string // The beginning of what is wrong.
	}{
		"nothing":                        {inputField{Kind: kindInteger}, " \r\n", nil, ""},
		"an integer":                     {inputField{Kind: kindInteger}, " -12 ", structpb.NewNumberValue(-12), ""},
		"an integer with an exponent":    {inputField{Kind: kindInteger}, "1e3", structpb.NewNumberValue(1000), ""},
		"a fraction":                     {inputField{Kind: kindInteger}, "1.5", nil, "must be a whole number"},
		"an integer that is rounded":     {inputField{Kind: kindInteger}, "9007199254740993000", nil, "is too large"},
		"a number":                       {inputField{Kind: kindNumber}, ".25", structpb.NewNumberValue(.25), ""},
		"no number":                      {inputField{Kind: kindNumber}, "NaN", nil, "must be a number"},
		"infinity":                       {inputField{Kind: kindNumber}, "-Inf", nil, "must be a number"},
		"a hexadecimal number":           {inputField{Kind: kindNumber}, "0x1p4", nil, "must be a number"},
		"a number without end":           {inputField{Kind: kindNumber}, "1e999", nil, "is too large"},
		"a long number":                  {inputField{Kind: kindNumber}, strings.Repeat("9", 100_000), nil, "is too large"},
		"no is not unset":                {inputField{Kind: kindYesNo}, "no", structpb.NewBoolValue(false), ""},
		"yes":                            {inputField{Kind: kindYesNo}, "yes", structpb.NewBoolValue(true), ""},
		"neither":                        {inputField{Kind: kindYesNo}, "true", nil, "must be yes or no"},
		"a text among the choices":       {choice, `"5"`, structpb.NewStringValue("5"), ""},
		"a number among the choices":     {choice, "5", structpb.NewNumberValue(5), ""},
		"none of the choices":            {choice, "6", nil, "must be one of the choices"},
		"line breaks of forms":           {inputField{Kind: kindLongText}, "a\r\nb", structpb.NewStringValue("a\nb"), ""},
		"text that is not UTF-8":         {inputField{Kind: kindText}, "a\xff", nil, "must be text in UTF-8"},
		"NUL":                            {inputField{Kind: kindText}, "a\x00", nil, "must not have a NUL"},
		"lines":                          {inputField{Kind: kindLines}, "https://a\r\n\r\n https://b ", list("https://a", "https://b"), ""},
		"JSON":                           {inputField{Kind: kindJSON}, `[1, null, "a"]`, list(1, nil, "a"), ""},
		"no JSON":                        {inputField{Kind: kindJSON}, `{"a":`, nil, "must be JSON"},
		"two values":                     {inputField{Kind: kindJSON}, `1 2`, nil, "must be JSON"},
		"JSON with a number without end": {inputField{Kind: kindJSON}, `[1e999]`, nil, "must be JSON"},
		"JSON with NUL":                  {inputField{Kind: kindJSON}, `{"a\u0000": 1}`, nil, "must not have a NUL"},
		"deep JSON":                      {inputField{Kind: kindJSON}, strings.Repeat("[", 17) + strings.Repeat("]", 17), nil, "is nested too deep"},
		"very deep JSON":                 {inputField{Kind: kindJSON}, strings.Repeat("[", 16_000), nil, "must be JSON"},
		"long JSON":                      {inputField{Kind: kindJSON}, `"` + strings.Repeat("a", maxJSONText) + `"`, nil, "must have at most 16 KiB"},
		"a field of no kind":             {inputField{}, "a", nil, "can't be set"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, wrong := tt.field.read(tt.text)
			if diff := cmp.Diff(tt.want, got, protocmp.Transform()); diff != "" {
				t.Errorf("value: (-want +got)\n%s", diff)
			}
			if !strings.HasPrefix(wrong, tt.wrong) || (wrong == "") != (tt.wrong == "") {
				t.Errorf("it is wrong that the value %q, want %q", wrong, tt.wrong)
			}
		})
	}
}

func TestParameterFields_JoinsOfferings(t *testing.T) {
	t.Parallel()
	offering := func(provider, schema string) *refractv1.Offering {
		o := &refractv1.Offering{Provider: provider}
		if schema != "" {
			o.ParametersSchema = value(t, schema).GetStructValue()
		}
		return o
	}
	fields := parameterFields([]*refractv1.Offering{
		offering("fal", `{"properties": {"seed": {"type": "integer"}, "size": {"enum": ["a"]}}, "required": ["size", 5]}`),
		offering("kie", `{"properties": {"size": {"type": "string"}, "odd \"name\"": {"type": "boolean"}}, "required": ["size"]}`),
	})
	var got []string
	for _, f := range fields {
		got = append(got, f.ID+" "+f.Name+" "+string(f.Kind)+map[bool]string{true: " required"}[f.Required]+" "+f.Hint)
	}
	want := []string{
		"parameter-0 parameters.size select required ",
		`parameter-1 parameters.odd "name" yesno Only kie has it: other providers are left out when you set it.`,
		"parameter-2 parameters.seed integer Only fal has it: other providers are left out when you set it.",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields: (-want +got)\n%s", diff)
	}
	for name, offerings := range map[string][]*refractv1.Offering{
		"no offering": nil, "no schema": {offering("fal", "")}, "properties of no kind": {offering("fal", `{"properties": [1], "required": "a"}`)},
	} {
		if got := parameterFields(offerings); len(got) > 0 {
			t.Errorf("%s: fields %v, want none", name, got)
		}
	}
}

// TestReadParameters_CanSetEveryParameterOfTheCatalog sets each parameter of each model that is built in, and validates the result as
// the service does.
func TestReadParameters_CanSetEveryParameterOfTheCatalog(t *testing.T) {
	t.Parallel()
	c, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	// What is entered where a field does not say what is valid.
	entered := map[string]string{
		"parameters.aspect_ratio": "16:9", "parameters.elements": `[{"name": "a"}]`, "parameters.image_urls": "https://example.com/a\nhttps://example.com/b",
		"parameters.reference_image": "https://example.com/a", "parameters.negative_prompt": "blurred",
	}
	set := 0
	for _, m := range c.Models() {
		for _, o := range m.Offerings {
			if o.Parameters == nil {
				continue
			}
			text, err := json.Marshal(o.Parameters)
			if err != nil {
				t.Fatal(err)
			}
			fields := parameterFields([]*refractv1.Offering{{Provider: o.Provider, ParametersSchema: value(t, string(text)).GetStructValue()}})
			form := url.Values{}
			for _, f := range fields {
				switch f.Kind {
				case kindSelect:
					form.Set(f.Name, f.Options[len(f.Options)-1].Value)
				case kindYesNo:
					form.Set(f.Name, "no")
				case kindInteger, kindNumber:
					form.Set(f.Name, f.Max)
				default:
					form.Set(f.Name, entered[f.Name])
				}
				if form.Get(f.Name) == "" {
					t.Errorf("%s: the test has no value for %s, a field of kind %s", o, f.Name, f.Kind)
				}
			}
			got, problems := readParameters(fields, form)
			if len(problems) > 0 {
				t.Errorf("%s: problems %v", o, problems)
			}
			if violations := o.Validate(got.AsMap()); len(violations) > 0 {
				t.Errorf("%s: the service refuses %v: %v", o, got, violations)
			}
			if len(got.GetFields()) != len(fields) {
				t.Errorf("%s: %d fields gave %d parameters", o, len(fields), len(got.GetFields()))
			}
			if none, problems := readParameters(fields, url.Values{}); none != nil || len(problems) > 0 {
				t.Errorf("%s: an empty form gives %v, %v, want nothing", o, none, problems)
			}
			set += len(fields)
		}
	}
	if set < 20 {
		t.Errorf("the catalog has %d parameters, want at least 20", set)
	}
}

func TestReadParameters_SaysWhatIsWrongWhere(t *testing.T) {
	t.Parallel()
	fields := []inputField{
		{Name: "parameters.a", Path: "parameters.a", Kind: kindInteger},
		{Name: "parameters.b", Path: "parameters.b", Kind: kindText, Required: true},
		{Name: "parameters.c", Path: "parameters.c", Kind: kindText, Required: true},
	}
	got, problems := readParameters(fields, url.Values{"parameters.a": {"x"}, "parameters.b": {" "}, "parameters.c": {"c"}, "parameters.d": {"unknown"}})
	want := []problem{{"parameters.a", "must be a number"}, {"parameters.b", "is required"}}
	if !slices.Equal(problems, want) || len(got.GetFields()) != 1 {
		t.Errorf("readParameters = %v, %v, want c and the problems %v", got, problems, want)
	}
}
