package catalog

import (
	"testing"

	"go.yaml.in/yaml/v3"
)

// FuzzOffering reads an offering of an operator's file. What is accepted makes inputs of every request.
func FuzzOffering(f *testing.F) {
	f.Add("{provider: fal, remote: a/b, prompt: {field: prompt}, source: {field: media.url, form: list}, fixed: {media.kind: 1}}")
	f.Add("{provider: kie, remote: a, source: {field: v, form: objects, key: url}, strength: {field: m, values: {a: b}, default: a}}")
	f.Add("{provider: kie, remote: a, source: {field: v}, lifecycle: {retire: 2027-01-01}, facts: {lifecycle: {source: x, certainty: guess}}}")
	f.Fuzz(func(t *testing.T, text string) {
		var o Offering
		if yaml.Unmarshal([]byte(text), &o) != nil || o.Parameters != nil || o.complete() != nil {
			return // Schemas are slow to compile, and their library has tests of its own.
		}
		inputs := o.Inputs(Request{Prompt: "p", SourceURI: "https://example.com/a.mov", FirstFrameURI: "f", Watermark: "w"})
		if len(inputs) == 0 {
			t.Errorf("an offering without a source was accepted: %s", text)
		}
	})
}
