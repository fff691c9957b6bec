package main

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// foreignVariables are read by libraries, and are no settings of ours.
var foreignVariables = []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}

// TestDeploy_KubernetesStarts parses the arguments and the environment of each container of deploy/kubernetes, with the Secrets as
// docs/deploy.md makes them, and checks the settings as the service does at its start.
//
// It fails when a flag or a variable is misspelt, when a Secret lacks a setting, and when the ingress gets the secrets of the others.
func TestDeploy_KubernetesStarts(t *testing.T) {
	files, err := filepath.Glob("../../deploy/kubernetes/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	settings, workloads := documentedSecrets(t), []manifest{}
	for _, file := range files {
		for _, m := range manifests[manifest](t, file) {
			if m.Kind == "ConfigMap" {
				settings[m.Metadata.Name] = m.Data
			}
			if len(m.Spec.Template.Spec.Containers) > 0 {
				workloads = append(workloads, m)
			}
		}
	}
	if len(workloads) != 3 {
		t.Errorf("%d workloads were found, want those of the service, the ingress and the migration", len(workloads))
	}
	for _, w := range workloads {
		for _, c := range w.Spec.Template.Spec.Containers {
			t.Run(w.Metadata.Name, func(t *testing.T) {
				environment := map[string]string{}
				for _, from := range c.EnvFrom {
					for _, name := range []string{from.ConfigMapRef.Name, from.SecretRef.Name} {
						if name != "" && settings[name] == nil {
							t.Errorf("nothing makes %q, which it takes its environment from", name)
						}
						maps.Copy(environment, settings[name])
					}
				}
				serve := starts(t, environment, c.Args)
				c.checkProbes(t)
				if w.Metadata.Name == "refract-ingress" {
					checkIngress(t, serve, environment)
				}
			})
		}
	}
}

// checkIngress checks that an ingress runs alone, and has no secret that it does not need.
func checkIngress(t *testing.T, serve *serveCmd, environment map[string]string) {
	t.Helper()
	if serve == nil || !slices.Equal(serve.Roles, []string{"ingress"}) {
		t.Error("the ingress does not run alone")
	}
	for name := range environment {
		if strings.HasSuffix(name, "_API_KEY") || strings.HasSuffix(name, "_WEBHOOK_KEY") || name == "REFRACT_SECRET_KEY" || slices.Contains(foreignVariables, name) {
			t.Errorf("the ingress has %s, which it does not need", name)
		}
	}
	if !strings.Contains(environment["DATABASE_URL"], "refract_ingress") {
		t.Error("the ingress has not the database role that may only append")
	}
}

// TestDeploy_ComposeStarts does the same for the services of deploy/compose.yaml that run our image.
func TestDeploy_ComposeStarts(t *testing.T) {
	compose := manifests[struct {
		Services map[string]struct {
			Image       string
			Command     []string
			Environment map[string]string
			DependsOn   yaml.Node `yaml:"depends_on"`
		}
	}](t, "../../deploy/compose.yaml")[0]
	ours := 0
	for name, s := range compose.Services {
		if s.Image != "refract:local" {
			continue
		}
		ours++
		t.Run(name, func(t *testing.T) { starts(t, s.Environment, s.Command) })
	}
	if ours != 4 {
		t.Errorf("%d services run our image, want provider, migrate, refract and doctor", ours)
	}
	var after map[string]struct{ Condition string }
	if err := new(compose.Services["refract"].DependsOn).Decode(&after); err != nil || after["migrate"].Condition != "service_completed_successfully" {
		t.Errorf("refract starts after %v (%v), want that migrate has ended well", after, err)
	}
}

// TestDeploy_SystemdStarts parses the commands of the unit, and looks for the variables that it and docs/deploy.md name.
func TestDeploy_SystemdStarts(t *testing.T) {
	unit := readFile(t, "../../deploy/systemd/refract.service")
	environment := map[string]string{"REFRACT_CALLBACK_URL": "https://refract.example.com", "KIE_API_KEY": "key"}
	for _, v := range regexp.MustCompile(`(?m)^Environment=(\w+)=(.*)$`).FindAllStringSubmatch(unit, -1) {
		environment[v[1]] = v[2]
	}
	commands := regexp.MustCompile(`(?m)^Exec(?:Start|StartPre)=-?/usr/local/bin/refract (.*)$`).FindAllStringSubmatch(unit, -1)
	if len(commands) != 2 {
		t.Errorf("the unit has %d commands of ours, want doctor and serve", len(commands))
	}
	for _, c := range commands {
		t.Run(c[1], func(t *testing.T) { starts(t, environment, strings.Fields(c[1])) })
	}
	known := variables(t)
	for _, file := range []string{"../../deploy/systemd/refract.service", "../../docs/deploy.md"} {
		for _, v := range regexp.MustCompile(`\b((?:REFRACT|KIE|LUMA|FAL)_\w+|DATABASE_URL)\b`).FindAllString(readFile(t, file), -1) {
			if !known[v] {
				t.Errorf("%s names %s, which is no setting", file, v)
			}
		}
	}
}

// manifest is what the test reads of an object of Kubernetes.
type manifest struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		Template struct {
			Spec struct{ Containers []container }
		}
	}
}

type container struct {
	Args    []string
	EnvFrom []struct {
		ConfigMapRef struct{ Name string } `yaml:"configMapRef"`
		SecretRef    struct{ Name string } `yaml:"secretRef"`
	} `yaml:"envFrom"`
	Ports          []struct{ Name string }
	StartupProbe   probe `yaml:"startupProbe"`
	LivenessProbe  probe `yaml:"livenessProbe"`
	ReadinessProbe probe `yaml:"readinessProbe"`
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

// checkProbes checks that the probes of a container with ports ask for what the HTTP listener serves.
func (c *container) checkProbes(t *testing.T) {
	t.Helper()
	if len(c.Ports) == 0 {
		return
	}
	for _, p := range []struct {
		probe
		path string
	}{{c.StartupProbe, "/healthz"}, {c.LivenessProbe, "/healthz"}, {c.ReadinessProbe, "/readyz"}} {
		if p.HTTPGet.Path != p.path || p.HTTPGet.Port != "http" {
			t.Errorf("a probe asks for %q at port %q, want %q at http", p.HTTPGet.Path, p.HTTPGet.Port, p.path)
		}
	}
}

// starts parses a command line in an environment. Of serve and doctor it checks the settings; of serve it returns the command.
func starts(t *testing.T, environment map[string]string, args []string) *serveCmd {
	t.Helper()
	known := variables(t)
	for name, value := range environment {
		if !known[name] && !slices.Contains(foreignVariables, name) {
			t.Errorf("%s is no setting", name)
		}
		t.Setenv(name, value)
	}
	var c commands
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		t.Errorf("refract %s: %v", strings.Join(args, " "), err)
		return nil
	}
	switch parsed.Command() {
	case "serve":
		c.Serve.Complete()
		if err := c.Serve.Check(); err != nil {
			t.Errorf("refract %s: %v", strings.Join(args, " "), err)
		}
		return &c.Serve
	case "doctor":
		c.Doctor.Complete()
		if err := c.Doctor.Check(); err != nil {
			t.Errorf("refract %s: %v", strings.Join(args, " "), err)
		}
	}
	return nil
}

// variables returns the names of the environment variables that are settings.
func variables(t *testing.T) map[string]bool {
	t.Helper()
	parser, err := kong.New(&commands{})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	err = kong.Visit(parser.Model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			for _, name := range flag.Envs {
				names[name] = true
			}
		}
		return next(nil)
	})
	if err != nil || len(names) < 30 {
		t.Fatalf("%d variables, %v", len(names), err)
	}
	return names
}

// documentedSecrets returns the Secrets that the commands of docs/deploy.md create.
func documentedSecrets(t *testing.T) map[string]map[string]string {
	t.Helper()
	secrets := map[string]map[string]string{}
	text := strings.ReplaceAll(readFile(t, "../../docs/deploy.md"), "\\\n", " ")
	for _, command := range regexp.MustCompile(`(?m)create secret generic (\S+)(.*)$`).FindAllStringSubmatch(text, -1) {
		secrets[command[1]] = map[string]string{}
		for _, v := range regexp.MustCompile(`--from-literal (\w+)=(\S+)`).FindAllStringSubmatch(command[2], -1) {
			secrets[command[1]][v[1]] = strings.NewReplacer(`"$key"`, strings.Repeat("0", 64), "…", "x").Replace(v[2])
		}
	}
	return secrets
}

// manifests reads the documents of a file.
func manifests[T any](t *testing.T, file string) (all []T) {
	t.Helper()
	for documents := yaml.NewDecoder(bytes.NewReader([]byte(readFile(t, file)))); ; {
		var m T
		err := documents.Decode(&m)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, m)
	}
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
