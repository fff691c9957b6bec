package catalog

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"go.yaml.in/yaml/v3"
)

//go:embed models.yaml
var builtIn []byte

// maxFile is the largest size of a catalog file in bytes.
const maxFile = 4 << 20

// document is a catalog file.
type document struct {
	Models []*Model `yaml:"models"`
}

// Load returns the catalog that is built in, with what the files add and replace, in their order. An error names the file, the
// entry and the field; then nothing of the files is used. Callers share the catalog that is built in, and must not change it.
func Load(files ...string) (*Catalog, error) {
	if len(files) == 0 {
		return loadBuiltIn()
	}
	return load(files)
}

// loadBuiltIn parses once what is the same for the life of the process.
var loadBuiltIn = sync.OnceValues(func() (*Catalog, error) { return load(nil) })

func load(files []string) (*Catalog, error) {
	c := &Catalog{byName: map[string]*Model{}}
	if err := c.add("models.yaml", builtIn); err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := read(file)
		if err != nil {
			return nil, fmt.Errorf("catalog %s: %w", file, err)
		}
		if err := c.add(filepath.Base(file), text); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(c.models, func(a, b *Model) int { return cmp.Compare(a.Name, b.Name) })
	if err := c.check(); err != nil {
		return nil, err
	}
	return c, nil
}

// read returns the content of a file of bounded size.
func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // It was only read.
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("it has more than %d bytes", maxFile)
	}
	return text, err
}

// add adds the entries of a file, and checks each of them.
func (c *Catalog) add(file string, text []byte) error {
	var d document
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&d); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("catalog %s: %w", file, err)
	}
	if err := decoder.Decode(new(document)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("catalog %s: it has more than one document", file)
	}
	for i, m := range d.Models {
		if m == nil {
			return fmt.Errorf("catalog %s: models[%d]: it is empty", file, i)
		}
		if err := m.complete(); err != nil {
			return fmt.Errorf("catalog %s: %s: %w", file, cmp.Or(m.Name, fmt.Sprintf("models[%d]", i)), err)
		}
		c.merge(m)
	}
	return nil
}

// merge adds a model, or changes the one of its name: offerings replace those at the same provider, and what else is set replaces
// what was.
func (c *Catalog) merge(m *Model) {
	known := c.byName[m.Name]
	if known == nil {
		c.byName[m.Name] = m
		c.models = append(c.models, m)
		return
	}
	known.Title, known.Description = cmp.Or(m.Title, known.Title), cmp.Or(m.Description, known.Description)
	if m.Route != nil {
		known.Route = m.Route
	}
	for _, o := range m.Offerings {
		i := slices.IndexFunc(known.Offerings, func(k *Offering) bool { return k.Provider == o.Provider })
		if i < 0 {
			known.Offerings = append(known.Offerings, o)
		} else {
			known.Offerings[i] = o
		}
	}
}
