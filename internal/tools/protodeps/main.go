// Command protodeps writes the proto files that Refract's contract imports, so that neither code generation
// nor a caller in another language needs a registry.
//
// It prints them from the descriptors of the Go packages that go.mod already links, so the contract is
// compiled with the same definitions that the running service uses for validation. The files under
// google/protobuf are left out, because every proto compiler carries them. They are written to gen/imports
// in the current folder, which buf.yaml names next to the contract.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/jhump/protoreflect/v2/protoprint"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// folder is the destination of the files. Package imports in it embeds them.
const folder = "gen/imports"

// roots are the files that proto/refract imports. collect adds their imports.
var roots = []protoreflect.FileDescriptor{
	annotations.File_google_api_annotations_proto,
	validate.File_buf_validate_validate_proto,
	status.File_google_rpc_status_proto,
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "protodeps:", err)
		os.Exit(1)
	}
}

func run() error {
	files := map[string]protoreflect.FileDescriptor{}
	for _, root := range roots {
		collect(root, files)
	}
	for path, file := range files {
		if err := write(filepath.Join(folder, filepath.FromSlash(path)), file); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}

// collect adds file and everything that it imports to files, by path.
func collect(file protoreflect.FileDescriptor, files map[string]protoreflect.FileDescriptor) {
	if strings.HasPrefix(file.Path(), "google/protobuf/") || files[file.Path()] != nil {
		return
	}
	files[file.Path()] = file
	for i := range file.Imports().Len() {
		collect(file.Imports().Get(i).FileDescriptor, files)
	}
}

func write(path string, file protoreflect.FileDescriptor) error {
	var text strings.Builder
	printer := protoprint.Printer{SortElements: true}
	if err := printer.PrintProtoFile(file, &text); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text.String()), 0o600)
}
