package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	googleproto "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/refract-video/refract/internal/cli"
)

// services are the services of the contract, with a method of each.
var services = map[protoreflect.FullName]protoreflect.Name{
	"refract.v1.TaskService": "WatchTasks", "refract.v1.ModelService": "GetModel", "refract.v1.WebhookService": "RotateWebhookSecret", "refract.v1.OperatorService": "CheckTask", "refract.v1.CallbackService": "ReceiveCallback",
}

func TestProtoExport_CompilesOnItsOwn(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "contract")
	for range 2 { // The second one replaces the files.
		var out, errs bytes.Buffer
		if exit := run(t.Context(), []string{"proto", "export", dir}, cli.Console{Out: &out, Err: &errs}); exit != 0 || !strings.HasSuffix(out.String(), "files in "+dir+"\n") {
			t.Fatalf("exit %d: %s%s", exit, out.String(), errs.String())
		}
	}
	paths, err := filepath.Glob(filepath.Join(dir, "refract", "v1", "*.proto"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("found %q, %v", paths, err)
	}
	for i, path := range paths {
		paths[i] = "refract/v1/" + filepath.Base(path)
	}
	// The compiler carries google/protobuf, as protoc does, and reads everything else from the folder.
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{dir}})}
	files, err := compiler.Compile(t.Context(), paths...)
	if err != nil {
		t.Fatal(err)
	}
	for service, method := range services {
		if d, _ := files.AsResolver().FindDescriptorByName(service.Append(method)); d == nil {
			t.Errorf("the files have no %s.%s", service, method)
		}
	}
}

func TestDescriptorSet_IsSelfContained(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../gen/refract.binpb")
	if err != nil {
		t.Fatal(err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := googleproto.Unmarshal(content, &set); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(&set) // It refuses a set in which an import is missing.
	if err != nil {
		t.Fatal(err)
	}
	for service, method := range services {
		if d, err := files.FindDescriptorByName(service.Append(method)); err != nil {
			t.Errorf("the set has no %s.%s: %v, %v", service, method, d, err)
		}
	}
}
