package catalog_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/catalog"
)

// load returns the catalog with a file of this content.
func load(t *testing.T, content string) (*catalog.Catalog, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "own.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return catalog.Load(file)
}

// builtIn returns the built-in catalog.
func builtIn(t *testing.T) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const entry = `
models:
  - name: acme/edit
    title: Acme Edit
    offerings:
      - provider: fal
        remote: acme/edit/v1
        source: {field: video_url}
`

func TestLoad_EachProviderHasADefault(t *testing.T) {
	t.Parallel()
	c, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	for provider, model := range map[string]string{"kie": "luma/ray-2-modify", "luma": "luma/ray-2-modify", "luma-agents": "luma/ray-3.2-edit", "fal": "luma/ray-2-modify"} {
		if o := c.Offering(provider, ""); o == nil || o.Model != model {
			t.Errorf("the default of %s is %v, want %s", provider, o, model)
		}
	}
}

func TestLoad_AFileAddsAndReplacesOfferings(t *testing.T) {
	t.Parallel()
	c, err := load(t, entry+`
  - name: luma/ray-2-modify
    route: [fal, luma]
    offerings:
      - provider: fal
        remote: fal-ai/other
        default: true
        source: {field: video}
`)
	if err != nil {
		t.Fatal(err)
	}
	if o := c.Offering("fal", "acme/edit"); o == nil || o.Remote != "acme/edit/v1" {
		t.Errorf("the added offering is %+v", o)
	}
	m := c.Model("luma/ray-2-modify")
	if m.Title != "Luma Ray-2 Modify" || m.At("fal").Remote != "fal-ai/other" || m.At("luma").Remote != "ray-2" {
		t.Errorf("the model is %+v, want the title and Luma's offering as before, and the new one of fal", m)
	}
	if diff := cmp.Diff([]string{"fal", "luma", "kie"}, m.Route); diff != "" {
		t.Errorf("the route (-want +got), which ends with what the file does not name:\n%s", diff)
	}
}

// TestLoad_NamesFileEntryAndField has one fault in each file.
func TestLoad_NamesFileEntryAndField(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ content, want string }{
		"no YAML":                    {"models: [", "catalog own.yaml: "},
		"an unknown field":           {strings.Replace(entry, "remote:", "remoot:", 1), "line 7: field remoot not found"},
		"two documents":              {entry + "\n---\nmodels: []\n", "catalog own.yaml: it has more than one document"},
		"an empty model":             {"models: [~]", "catalog own.yaml: models[0]: "},
		"a name without a family":    {strings.Replace(entry, "acme/edit\n", "Edit\n", 1), `catalog own.yaml: Edit: name: "Edit"`},
		"a provider that is no name": {strings.Replace(entry, "provider: fal", "provider: FAL", 1), "catalog own.yaml: acme/edit: offerings[0].provider: "},
		"two offerings at one provider": {entry + `      - provider: fal
        remote: x
        source: {field: v}
`, "catalog own.yaml: acme/edit: offerings[1].provider: fal has another offering"},
		"no remote name":                  {strings.Replace(entry, "remote: acme/edit/v1", "default: false", 1), "catalog own.yaml: acme/edit: at fal: remote: "},
		"no title":                        {strings.Replace(entry, "title: Acme Edit", "description: x", 1), "acme/edit: title: "},
		"a route without an offering":     {strings.Replace(entry, "title:", "route: [kie]\n    title:", 1), "acme/edit: route[0]: kie has no offering"},
		"no source field":                 {strings.Replace(entry, "{field: video_url}", "{}", 1), "acme/edit: at fal: source.field: "},
		"an unknown form":                 {strings.Replace(entry, "video_url}", "video_url, form: tree}", 1), "acme/edit: at fal: source.form: "},
		"a figure without a fact":         {strings.Replace(entry, "video_url}", "video_url, max_duration: 10s}", 1), "acme/edit: at fal: facts.source.max_duration: "},
		"limits the wrong way round":      {strings.Replace(entry, "video_url}", "video_url, min_side: 10, max_side: 5}", 1), "acme/edit: at fal: source.max_side: "},
		"a fact without certainty":        {entry + "        facts: {source: {source: x}}\n", "acme/edit: at fal: facts.source.certainty: "},
		"two inputs with one name":        {entry + "        prompt: {field: video_url}\n", `acme/edit: at fal: prompt.field: the input "video_url" is also source.field`},
		"a fixed input that is mapped":    {entry + "        fixed: {video_url: x}\n", "acme/edit: at fal: fixed.video_url: "},
		"a default strength that is none": {entry + "        strength: {field: mode, values: {a: b}, default: c}\n", "acme/edit: at fal: strength.default: "},
		"a price that is no number":       {entry + "        price: {amount: much, unit: run, currency: USD}\n", "acme/edit: at fal: price.amount: "},
		"a price for nothing":             {entry + "        price: {amount: \"1\", unit: pound, currency: USD}\n", "acme/edit: at fal: price.unit: "},
		"a date that is none":             {entry + "        lifecycle: {retire: soon}\n", `line 9: "soon" is not a date`},
		"dates the wrong way round":       {entry + "        lifecycle: {deprecate: 2027-02-01, retire: 2027-01-01}\n        facts: {lifecycle: {source: x, certainty: guess}}\n", "acme/edit: at fal: lifecycle.deprecate: "},
		"a schema of no object":           {entry + "        parameters: {type: string}\n", "acme/edit: at fal: parameters: "},
		"a schema that is none":           {entry + "        parameters: {type: object, additionalProperties: false, properties: {a: {type: 7}}}\n", "acme/edit: at fal: parameters: "},
		"a schema from elsewhere":         {entry + "        parameters: {type: object, additionalProperties: false, properties: {a: {$ref: \"file:///etc/passwd\"}}}\n", "acme/edit: at fal: parameters: "},
		"a parameter that is mapped":      {entry + "        parameters: {type: object, additionalProperties: false, properties: {video_url: {type: string}}}\n", "acme/edit: at fal: parameters.properties.video_url: "},
		"a field of no parameter":         {entry + "        parameters: {type: object, additionalProperties: false}\n        parameter_fields: {a: b}\n", "acme/edit: at fal: parameter_fields.a: "},
		"a default that does not fit":     {entry + "        parameters: {type: object, additionalProperties: false, properties: {a: {type: integer}}}\n        defaults: {a: x}\n", "acme/edit: at fal: defaults: parameters.a: "},
		"a fixed input that is no JSON":   {entry + "        fixed: {x: .nan}\n", "acme/edit: at fal: fixed: "},
		"an input inside another":         {entry + "        prompt: {field: video_url.text}\n", `holds "video_url.text"`},
		"a parameter with a dot":          {entry + "        parameters: {type: object, additionalProperties: false, properties: {a: {type: string}}}\n        parameter_fields: {a: b.c}\n", "has a dot"},
		"a default that does not fit, and one missing": {
			entry + "        parameters: {type: object, additionalProperties: false, required: [a], properties: {a: {type: integer}, z: {type: integer}}}\n        defaults: {z: x}\n",
			"acme/edit: at fal: defaults: parameters.z: ",
		},
		"a provider without a default":   {strings.Replace(entry, "provider: fal", "provider: acme", 1), "no offering of acme has default: true"},
		"a remote name of another model": {strings.NewReplacer("provider: fal", "provider: luma", "acme/edit/v1", "ray-2").Replace(entry), "at luma: remote: it is also that of"},
		"a second default of a provider": {strings.Replace(entry, "provider: fal", "provider: kie", 1) + "        default: true\n", "at kie: default: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := load(t, tc.content); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Load = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestLoad_AFileThatIsMissing(t *testing.T) {
	t.Parallel()
	if _, err := catalog.Load(filepath.Join(t.TempDir(), "none.yaml")); err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("Load = %v, want an error with the file", err)
	}
}

func TestResolve_TakesOurNamesAndRemoteNames(t *testing.T) {
	t.Parallel()
	c := builtIn(t)
	for name, want := range map[string]string{
		"luma/ray-2-modify": "luma/ray-2-modify", "ray-2": "luma/ray-2-modify", "ray-flash-2": "luma/ray-2-flash-modify",
		"fal-ai/luma-dream-machine/ray-2/modify": "luma/ray-2-modify", "no/model": "", "": "",
	} {
		got := ""
		if m := c.Resolve(name); m != nil {
			got = m.Name
		}
		if got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
	if o := c.Offering("luma", "ray-flash-2"); o == nil || o.Model != "luma/ray-2-flash-modify" {
		t.Errorf("ray-flash-2 at luma is %v", o)
	}
	if o := c.Offering("kie", "ray-2"); o != nil {
		t.Errorf("another provider's name is %v at kie, want nothing", o)
	}
}

// TestInputs_AreTheProvidersOwn has requests as each provider takes them.
func TestInputs_AreTheProvidersOwn(t *testing.T) {
	t.Parallel()
	c := builtIn(t)
	r := catalog.Request{Prompt: "rain", SourceURI: "https://example.com/a.mov"}
	with := func(change func(*catalog.Request)) catalog.Request {
		changed := r
		change(&changed)
		return changed
	}
	type object = map[string]any
	for name, tc := range map[string]struct {
		provider, model string
		request         catalog.Request
		want            object
	}{
		"Luma Modify at kie": {"kie", "luma/ray-2-modify", with(func(r *catalog.Request) { r.Watermark = "w" }), object{
			"prompt": "rain", "videoUrl": "https://example.com/a.mov", "watermark": "w",
		}},
		"at Luma, in objects, with the mode": {"luma", "luma/ray-2-modify", with(func(r *catalog.Request) { r.FirstFrameURI = "https://example.com/f.png" }), object{
			"prompt": "rain", "media": object{"url": "https://example.com/a.mov"}, "first_frame": object{"url": "https://example.com/f.png"}, "mode": "flex_1",
		}},
		"without a prompt": {"luma", "luma/ray-2-modify", catalog.Request{SourceURI: "https://example.com/a.mp4", Strength: "adhere_3"}, object{
			"media": object{"url": "https://example.com/a.mp4"}, "mode": "adhere_3",
		}},
		"at Luma Agents, with the media type": {"luma-agents", "luma/ray-3.2-edit", r, object{
			"prompt": "rain", "source": object{"url": "https://example.com/a.mov", "media_type": "video/quicktime"},
			"video": object{"resolution": "720p", "edit": object{"strength": "flex_1"}},
		}},
		"at fal": {"fal", "luma/ray-2-modify", r, object{"prompt": "rain", "video_url": "https://example.com/a.mov", "mode": "flex_1"}},
		"with the filter on": {"kie", "wan/2-7-videoedit", r, object{
			"prompt": "rain", "video_url": "https://example.com/a.mov", "nsfw_checker": true,
		}},
		"with the filter off, as the caller says": {"kie", "wan/2-7-videoedit", with(func(r *catalog.Request) { r.Parameters = object{"nsfw_checker": false, "resolution": "720p"} }), object{
			"prompt": "rain", "video_url": "https://example.com/a.mov", "nsfw_checker": false, "resolution": "720p",
		}},
		"a name that ends with a blank": {"kie", "happyhorse/video-edit", with(func(r *catalog.Request) { r.Parameters = object{"reference_image": []any{"https://example.com/1.png"}} }), object{
			"prompt": "rain", "video_url": "https://example.com/a.mov", "nsfw_checker": true, "reference_image ": []any{"https://example.com/1.png"},
		}},
		"a list": {"kie", "kling/3.0-omni-transformation", r, object{"prompt": "rain", "video_urls": []any{"https://example.com/a.mov"}}},
		"a list of objects": {"kie", "google/gemini-omni-video", r, object{
			"prompt": "rain", "video_list": []any{object{"url": "https://example.com/a.mov"}}, "duration": "8",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := c.Offering(tc.provider, tc.model)
			for range 2 { // A request must change nothing of the catalog.
				if diff := cmp.Diff(tc.want, o.Inputs(tc.request)); diff != "" {
					t.Errorf("inputs (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestValidate_NamesWhatIsWrongByPath(t *testing.T) {
	t.Parallel()
	c := builtIn(t)
	type object = map[string]any
	for name, tc := range map[string]struct {
		model      string
		parameters object
		want       []string // Paths.
	}{
		"none":                           {"wan/2-7-videoedit", nil, nil},
		"all right":                      {"wan/2-7-videoedit", object{"resolution": "720p", "seed": 7.0}, nil},
		"a value that is not offered":    {"wan/2-7-videoedit", object{"resolution": "8k"}, []string{"parameters.resolution"}},
		"a text for a number":            {"wan/2-7-videoedit", object{"seed": "7"}, []string{"parameters.seed"}},
		"a fraction for an integer":      {"wan/2-7-videoedit", object{"duration": 2.5}, []string{"parameters.duration"}},
		"a number for a text":            {"wan/2-6-video-to-video", object{"duration": 5.0}, []string{"parameters.duration"}},
		"an unknown parameter":           {"wan/2-7-videoedit", object{"colour": "red"}, []string{"parameters.colour"}},
		"an input that the catalog sets": {"wan/2-7-videoedit", object{"video_url": "https://evil.example.com"}, []string{"parameters.video_url"}},
		"an element of a list":           {"happyhorse/video-edit", object{"reference_image": []any{"https://a/1", "ftp://a/2"}}, []string{"parameters.reference_image.1"}},
		"too many elements":              {"happyhorse/video-edit", object{"reference_image": []any{"https://a/1", "https://a/2", "https://a/3", "https://a/4", "https://a/5", "https://a/6"}}, []string{"parameters.reference_image"}},
		"auto with images":               {"kling/3.0-omni-transformation", object{"aspect_ratio": "auto", "image_urls": []any{"https://a/1"}}, []string{"parameters.aspect_ratio"}},
		"a ratio without images":         {"kling/3.0-omni-transformation", object{"aspect_ratio": "16:9"}, []string{"parameters.aspect_ratio"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, v := range c.Offering("kie", tc.model).Validate(tc.parameters) {
				got = append(got, v.Path)
				if v.Message == "" {
					t.Errorf("%s has no message", v.Path)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("paths (-want +got):\n%s", diff)
			}
		})
	}
	if v := c.Offering("luma", "").Validate(object{"a": 1}); len(v) != 1 || v[0].Path != "parameters" {
		t.Errorf("a model without parameters returns %v", v)
	}
}

func TestValidate_IsBounded(t *testing.T) {
	t.Parallel()
	parameters := map[string]any{"resolution": strings.Repeat("x", 1<<20)}
	for i := range 1000 {
		parameters[strings.Repeat("y", i+1)] = 1
	}
	found := builtIn(t).Offering("kie", "wan/2-7-videoedit").Validate(parameters)
	if len(found) == 0 || len(found) > 20 {
		t.Errorf("%d violations, want 1 to 20", len(found))
	}
	for _, v := range found {
		if len(v.Path) > 210 || len(v.Message) > 210 {
			t.Errorf("a violation has %d and %d bytes", len(v.Path), len(v.Message))
		}
	}
}

func TestLifecycle_WarnsAndEnds(t *testing.T) {
	t.Parallel()
	day := func(text string) catalog.Date {
		d, err := time.Parse(time.DateOnly, text)
		if err != nil {
			t.Fatal(err)
		}
		return catalog.Date{Time: d}
	}
	l := catalog.Lifecycle{Deprecate: day("2026-03-01"), Retire: day("2026-12-01")}
	for _, tc := range []struct {
		lifecycle catalog.Lifecycle
		at        string
		stage     catalog.Stage
		ends      bool
	}{
		{catalog.Lifecycle{}, "2026-12-01", catalog.Available, false},
		{l, "2026-02-28", catalog.Available, false},
		{l, "2026-03-01", catalog.Deprecated, false},
		{l, "2026-10-01", catalog.Deprecated, false},
		{l, "2026-10-02", catalog.Deprecated, true},
		{l, "2026-11-30", catalog.Deprecated, true},
		{l, "2026-12-01", catalog.Retired, false},
		{catalog.Lifecycle{Retire: day("2026-12-01")}, "2026-10-02", catalog.Deprecated, true},
	} {
		at := day(tc.at).Time
		if stage, ends := tc.lifecycle.Stage(at), tc.lifecycle.Ends(at); stage != tc.stage || ends != tc.ends {
			t.Errorf("on %s: %s, ends soon %t; want %s, %t", tc.at, stage, ends, tc.stage, tc.ends)
		}
	}
}

func TestAvailability_SaysWhy(t *testing.T) {
	t.Parallel()
	day := func(month time.Month, d int) catalog.Date {
		return catalog.Date{Time: time.Date(2026, month, d, 0, 0, 0, 0, time.UTC)}
	}
	now := day(6, 1).Time
	closure := &catalog.Closure{Reason: "the provider has no such model", Since: now.Add(-time.Hour), Until: now.Add(time.Hour)}
	for name, tc := range map[string]struct {
		lifecycle catalog.Lifecycle
		noAccount bool
		closure   *catalog.Closure
		want      catalog.Availability
	}{
		"available": {want: catalog.Availability{Stage: catalog.Available}},
		"deprecated": {
			lifecycle: catalog.Lifecycle{Deprecate: day(5, 1)},
			want:      catalog.Availability{Stage: catalog.Deprecated, Message: "has been deprecated since 2026-05-01", Since: day(5, 1).Time},
		},
		"deprecated, with an end": {
			lifecycle: catalog.Lifecycle{Deprecate: day(5, 1), Retire: day(12, 1), ReplacedBy: "acme/new"},
			want: catalog.Availability{
				Stage: catalog.Deprecated, Since: day(5, 1).Time, Until: day(12, 1).Time,
				Message: "has been deprecated since 2026-05-01 and retires on 2026-12-01, and acme/new replaces it",
			},
		},
		"close to its end": {
			lifecycle: catalog.Lifecycle{Retire: day(7, 1)},
			want:      catalog.Availability{Stage: catalog.Deprecated, Message: "retires on 2026-07-01", Since: day(5, 2).Time, Until: day(7, 1).Time},
		},
		"retired": {
			lifecycle: catalog.Lifecycle{Retire: day(5, 1)}, noAccount: true, closure: closure,
			want: catalog.Availability{Stage: catalog.Retired, Message: "was retired on 2026-05-01", Since: day(5, 1).Time},
		},
		"no account": {
			noAccount: true, closure: closure,
			want: catalog.Availability{Stage: catalog.NoAccount, Message: "has no account here"},
		},
		"closed": {
			lifecycle: catalog.Lifecycle{Deprecate: day(5, 1)}, closure: closure,
			want: catalog.Availability{
				Stage: catalog.Closed, Message: "has been closed since 2026-05-31T23:00:00Z: the provider has no such model", Since: closure.Since, Until: closure.Until,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := (&catalog.Offering{Lifecycle: tc.lifecycle}).Availability(now, !tc.noAccount, tc.closure)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("availability (-want +got):\n%s", diff)
			}
			if usable := got.Stage.Usable(); usable != (got.Stage == catalog.Available || got.Stage == catalog.Deprecated) {
				t.Errorf("usable: %t at the stage %s", usable, got.Stage)
			}
		})
	}
}

func TestWithRoutes_ReplacesRoutes(t *testing.T) {
	t.Parallel()
	c, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		texts []string
		want  string // The route of luma/ray-2-modify, or a part of the error.
	}{
		"none":                         {nil, "luma fal kie"},
		"another order":                {[]string{"luma/ray-2-modify=kie,luma"}, "kie luma"},
		"one of two":                   {[]string{"luma/ray-2-modify= kie "}, "kie"},
		"of another model":             {[]string{"luma/ray-3.2-edit=luma-agents"}, "luma fal kie"},
		"no model":                     {[]string{"=kie"}, `"=kie" is not of the form MODEL=PROVIDER,PROVIDER`},
		"no providers":                 {[]string{"luma/ray-2-modify="}, "luma/ray-2-modify: the route is empty"},
		"an empty name":                {[]string{"luma/ray-2-modify=kie,"}, `luma/ray-2-modify: the route "kie," has an empty name`},
		"a provider twice":             {[]string{"luma/ray-2-modify=kie,kie"}, `luma/ray-2-modify: the route names provider "kie" twice`},
		"a model twice":                {[]string{"luma/ray-2-modify=kie", "luma/ray-2-modify=luma"}, "luma/ray-2-modify: the model has two routes"},
		"an unknown model":             {[]string{"acme/edit=kie"}, "acme/edit: there is no such model; known are: decart/lucy-edit-fast, google/gemini-omni-video, "},
		"a provider's name of it":      {[]string{"modify/generate=kie"}, "modify/generate: there is no such model"},
		"a provider without the model": {[]string{"luma/ray-2-modify=kie,luma-agents"}, `luma/ray-2-modify: provider "luma-agents" has no offering of the model; these have: luma, fal, kie`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			routes, err := catalog.ParseRoutes(tc.texts)
			routed := c
			if err == nil {
				routed, err = c.WithRoutes(routes)
			}
			if err != nil {
				if !strings.Contains(err.Error(), tc.want) {
					t.Errorf("got the error %v, want %q", err, tc.want)
				}
				return
			}
			if got := strings.Join(routed.Model("luma/ray-2-modify").Route, " "); got != tc.want {
				t.Errorf("the route is %q, want %q", got, tc.want)
			}
			if got := strings.Join(c.Model("luma/ray-2-modify").Route, " "); got != "luma fal kie" {
				t.Errorf("the catalog itself has the route %q now", got)
			}
			if !slices.Contains(routed.Models(), routed.Model("luma/ray-2-modify")) {
				t.Error("the list has another model than the one of its name")
			}
		})
	}
}

func TestInputs_TheMediaTypeFollowsTheEndOfTheName(t *testing.T) {
	t.Parallel()
	o := builtIn(t).Offering("luma-agents", "")
	for uri, want := range map[string]string{
		"https://h/a.mp4":               "video/mp4",
		"https://h/a.mov":               "video/quicktime",
		"https://h/a.b/c.MoV?x=1.mp4#f": "video/quicktime",
		"https://h/a.mp4?name=b.mov":    "video/mp4",
		"https://h/a.mov/b":             "video/mp4",
		"https://h/a.avi":               "video/mp4",
		"https://h/":                    "video/mp4",
		"https://h.mov":                 "video/mp4",
		"":                              "video/mp4",
		"https://h/%zz.mov":             "video/mp4",
	} {
		got, _ := o.Inputs(catalog.Request{SourceURI: uri})["source"].(map[string]any)
		if got["media_type"] != want {
			t.Errorf("the media type of %q is %q, want %q", uri, got["media_type"], want)
		}
	}
}
