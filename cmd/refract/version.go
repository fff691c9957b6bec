package main

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/refract-video/refract/internal/cli"
)

// versionCmd shows what this binary was built from.
type versionCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// buildVersion is what the Go toolchain recorded in the binary.
type buildVersion struct {
	Version   string `json:"version"`            // Of the module; "(devel)" when it was built in a work tree.
	Revision  string `json:"revision,omitempty"` // Of the version control system.
	Modified  bool   `json:"modified"`           // Whether the work tree differed from the revision.
	GoVersion string `json:"goVersion"`
	Platform  string `json:"platform"`
}

// Run prints the version.
func (c *versionCmd) Run(_ context.Context, con cli.Console) error {
	v := readVersion()
	if c.JSON {
		return json.NewEncoder(con.Out).Encode(v)
	}
	line := "refract " + v.Version
	if v.Revision != "" {
		line += ", revision " + v.Revision
	}
	if v.Modified {
		line += " with changes"
	}
	_, err := fmt.Fprintf(con.Out, "%s, %s, %s\n", line, v.GoVersion, v.Platform)
	return err
}

func readVersion() buildVersion {
	v := buildVersion{Version: "(devel)", GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
