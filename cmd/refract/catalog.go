package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/cli"
)

// catalogCmd has the commands about the catalog of models.
type catalogCmd struct {
	Check catalogCheckCmd `cmd:"" help:"Check catalog files, and show the models that they and the program have together."`
}

// catalogCheckCmd checks files as the service does.
type catalogCheckCmd struct {
	Files []string `arg:"" optional:"" name:"file" type:"path" help:"Catalog files, in the order in which they add and replace offerings. Without one the built-in catalog is shown."`
}

// Run prints a line for each offering. An invalid file is an error that names the file, the entry and the field.
func (c *catalogCheckCmd) Run(con cli.Console) error {
	all, err := catalog.Load(c.Files...)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(con.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "MODEL\tPROVIDER\tREMOTE NAME\tRETIRES") // Flush returns the error of a failed write.
	for _, m := range all.Models() {
		for _, name := range m.Route {
			o := m.At(name)
			retires := "-"
			if date := o.Lifecycle.Retire.String(); date != "" {
				retires = date
			}
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", m.Name, name, o.Remote, retires)
		}
	}
	return table.Flush()
}
