// Command deploycheck checks the files of deploy/ against the published schemas of their formats: the manifests for Kubernetes, the
// file for Compose, and the settings of GoReleaser. It finds fields that do not exist, values of a wrong type, and missing fields.
//
// The schemas are in Go modules that internal/tools/schemas.mod pins; nothing of them is compiled.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// The modules with the schemas, and where the schemas are in them. The schemas of Kubernetes are of the oldest release that we say
// we support.
const (
	kubernetesModule = "sigs.k8s.io/kubectl-validate"
	kubernetesFolder = "pkg/openapiclient/builtins/1.30"
	composeModule    = "github.com/compose-spec/compose-go/v2"
	composeSchema    = "schema/compose-spec.json"
	releaserModule   = "github.com/goreleaser/goreleaser/v2"
	releaserSchema   = "www/docs/static/schema.json"
)

func main() {
	root := flag.String("root", ".", "Folder of the repository.")
	flag.Parse()
	if err := run(*root, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "deploycheck:", err)
		os.Exit(1)
	}
}

// run checks all files and lists them.
func run(root string, out io.Writer) error {
	modules, err := download(root)
	if err != nil {
		return err
	}
	var errs []error
	checked := func(file string, documents int, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file, err))
			return
		}
		_, _ = fmt.Fprintf(out, "%-40s %d ok\n", file, documents) // A list that can't be written changes no result.
	}
	for file, schema := range map[string]string{
		"deploy/compose.yaml": filepath.Join(modules[composeModule], composeSchema),
		".goreleaser.yaml":    filepath.Join(modules[releaserModule], releaserSchema),
	} {
		n, err := checkFile(filepath.Join(root, file), func(any) (*jsonschema.Schema, error) { return jsonschema.NewCompiler().Compile(schema) })
		checked(file, n, err)
	}
	manifests, err := filepath.Glob(filepath.Join(root, "deploy/kubernetes/*.yaml"))
	if err != nil || len(manifests) == 0 {
		return errors.Join(err, errors.New("deploy/kubernetes has no manifests"))
	}
	kubernetes := kubernetesSchemas{folder: filepath.Join(modules[kubernetesModule], kubernetesFolder)}
	for _, file := range manifests {
		if filepath.Base(file) == "kustomization.yaml" {
			checked("deploy/kubernetes/kustomization.yaml", 1, checkKustomization(file, manifests))
			continue
		}
		n, err := checkFile(file, kubernetes.of)
		checked("deploy/kubernetes/"+filepath.Base(file), n, err)
	}
	return errors.Join(errs...)
}

// download returns the folders of the modules.
func download(root string) (map[string]string, error) {
	args := []string{"mod", "download", "-modfile=internal/tools/schemas.mod", "-json", kubernetesModule, composeModule, releaserModule}
	cmd := exec.Command("go", args...) //nolint:noctx // The arguments are constant, and an interrupt ends both processes.
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("download the schemas: %w", err)
	}
	folders := map[string]string{}
	for modules := json.NewDecoder(bytes.NewReader(text)); ; {
		var module struct{ Path, Dir string }
		switch err := modules.Decode(&module); {
		case errors.Is(err, io.EOF):
			return folders, nil
		case err != nil:
			return nil, fmt.Errorf("read where the schemas are: %w", err)
		}
		folders[module.Path] = module.Dir
	}
}

// checkFile checks the documents of a file, each against its schema, and returns how many there are.
func checkFile(file string, schemaOf func(document any) (*jsonschema.Schema, error)) (n int, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for documents := yaml.NewDecoder(bytes.NewReader(text)); ; n++ {
		document, err := next(documents)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		schema, err := schemaOf(document)
		if err != nil {
			return n, err
		}
		if err := schema.Validate(document); err != nil {
			return n, fmt.Errorf("document %d: %w", n+1, err)
		}
	}
}

// next returns the next document as JSON has it.
func next(documents *yaml.Decoder) (any, error) {
	var document any
	if err := documents.Decode(&document); err != nil {
		return nil, err
	}
	text, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(text))
}

// kubernetesSchemas are the schemas of the API of Kubernetes: a file for each version of a group.
type kubernetesSchemas struct{ folder string }

// of returns the schema of an object.
func (k kubernetesSchemas) of(document any) (*jsonschema.Schema, error) {
	object, _ := document.(map[string]any)
	version, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	group, file := "api", version
	if name, v, found := strings.Cut(version, "/"); found {
		group, file = "apis/"+name, v
	}
	root, err := os.OpenRoot(k.folder) // The version is what the document says, and must not lead elsewhere.
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // It was only read.
	text, err := root.ReadFile(filepath.Join(group, file+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no API %q", version)
	}
	if err != nil {
		return nil, err
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	closeObjects(parsed)
	definition := definitionOf(parsed, version, kind)
	if definition == "" {
		return nil, fmt.Errorf("the API %s has no kind %q", version, kind)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("kubernetes.json", parsed); err != nil {
		return nil, err
	}
	return compiler.Compile("kubernetes.json#/components/schemas/" + definition)
}

// definitionOf returns the name of the schema of a kind.
func definitionOf(api any, version, kind string) string {
	group, v, found := strings.Cut(version, "/")
	if !found {
		group, v = "", version
	}
	components, _ := api.(map[string]any)["components"].(map[string]any)
	schemas, _ := components["schemas"].(map[string]any)
	for name, schema := range schemas {
		object, _ := schema.(map[string]any)
		kinds, _ := object["x-kubernetes-group-version-kind"].([]any)
		for _, k := range kinds {
			if id, _ := k.(map[string]any); id["group"] == group && id["version"] == v && id["kind"] == kind {
				return name
			}
		}
	}
	return ""
}

// closeObjects lets every object with listed fields have no others, as `kubectl --validate=strict` does.
func closeObjects(schema any) {
	switch s := schema.(type) {
	case map[string]any:
		_, isSchema := s["type"].(string)
		_, listed := s["properties"].(map[string]any)
		if _, open := s["additionalProperties"]; isSchema && listed && !open {
			s["additionalProperties"] = false
		}
		for _, v := range s {
			closeObjects(v)
		}
	case []any:
		for _, v := range s {
			closeObjects(v)
		}
	}
}

// checkKustomization checks that a kustomization names all manifests, and no others.
func checkKustomization(file string, manifests []string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var k struct {
		Resources []string `yaml:"resources"`
	}
	if err := yaml.Unmarshal(text, &k); err != nil {
		return err
	}
	missing := map[string]bool{}
	for _, m := range manifests {
		missing[filepath.Base(m)] = true
	}
	delete(missing, filepath.Base(file))
	for _, r := range k.Resources {
		if !missing[r] {
			return fmt.Errorf("it names %s, which does not exist", r)
		}
		delete(missing, r)
	}
	if len(missing) > 0 {
		return fmt.Errorf("it does not name %v", missing)
	}
	return nil
}
