package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/refract-video/refract/gen/imports"
	"github.com/refract-video/refract/internal/cli"
	"github.com/refract-video/refract/proto"
)

// protoCmd has the commands about the contract.
type protoCmd struct {
	Export protoExportCmd `cmd:"" help:"Write the contract and its imports to a folder, for tools that read .proto files."`
}

// protoExportCmd writes the contract to a folder.
type protoExportCmd struct {
	Dir string `arg:"" type:"path" help:"Folder to write to. It is created if it is missing. Existing files of the contract are replaced."`
}

// Run writes the files under their import paths.
func (c *protoExportCmd) Run(con cli.Console) error {
	written := 0
	for _, files := range []fs.FS{proto.Files, imports.Files} {
		err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			written++
			return exportFile(files, path, filepath.Join(c.Dir, filepath.FromSlash(path)))
		})
		if err != nil {
			return fmt.Errorf("export the contract: %w", err)
		}
	}
	_, err := fmt.Fprintf(con.Out, "%d files in %s\n", written, c.Dir)
	return err
}

func exportFile(files fs.FS, path, to string) error {
	content, err := fs.ReadFile(files, path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // The user's umask decides who may read the contract.
		return err
	}
	return os.WriteFile(to, content, 0o644) //nolint:gosec // As above.
}
