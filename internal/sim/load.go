package sim

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

const maxFile = 1 << 20 // bytes of a configuration

// file is a Config as it is written.
type file struct {
	Config `yaml:",inline"`
	Models map[string]Model `yaml:"models"`
}

// Load reads a configuration in YAML, and the recordings that it names. Unknown
// and double keys and values out of range are errors that begin with LINE:COL.
// Control is on unless the file says `control: false`.
func Load(r io.Reader) (Config, error) { return load(r, "") }

// LoadFile is Load of a file: recordings are found from its directory, and
// errors begin with its name.
func LoadFile(name string) (Config, error) {
	f, err := os.Open(name)
	if err != nil {
		return Config{}, fmt.Errorf("reading what to simulate: %w", err)
	}
	defer f.Close()
	c, err := load(f, filepath.Dir(name))
	if err != nil {
		return Config{}, fmt.Errorf("%s:%w", name, err)
	}
	return c, nil
}

func load(r io.Reader, dir string) (Config, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return Config{}, fmt.Errorf("read simulator configuration: %w", err)
	}
	if len(data) > maxFile {
		return Config{}, fmt.Errorf("1:1: longer than %d bytes", maxFile)
	}
	f := file{Config: Config{Speed: 1, Journal: defJournal, Control: true}}
	doc, err := decodeYAML(data, &f)
	if err != nil {
		return Config{}, err
	}
	c := f.Config
	for _, name := range slices.Sorted(maps.Keys(f.Models)) {
		m := f.Models[name]
		m.Name = name
		c.Models = append(c.Models, m)
	}
	if err := c.check(); err != nil {
		return Config{}, locate(doc, err)
	}
	if bad := c.read(dir); bad != nil {
		return Config{}, locate(doc, bad)
	}
	return c, nil
}

// decodeYAML reads one YAML document over what into holds; an empty one
// leaves it as it is. Errors begin with LINE:COL.
func decodeYAML(data []byte, into any) (*ast.File, error) {
	doc, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, placed(err)
	}
	var bodies []ast.Node
	for _, d := range doc.Docs {
		if d.Body != nil && d.Body.Type() != ast.NullType && d.Body.Type() != ast.CommentType {
			bodies = append(bodies, d.Body)
		}
	}
	if len(bodies) == 0 {
		return doc, nil
	}
	if len(doc.Docs) > 1 {
		return nil, fmt.Errorf("%d:1: a second document, write one", bodies[len(bodies)-1].GetToken().Position.Line)
	}
	var d durations
	if ast.Walk(&d, bodies[0]); d.err != nil {
		return nil, d.err
	}
	if err := yaml.UnmarshalWithOptions(data, into, yaml.Strict()); err != nil {
		return nil, placed(err)
	}
	return doc, nil
}

// durations finds durations that are none, which the YAML reader would refuse
// without a position, or take a bare number as nanoseconds.
type durations struct{ err error }

func (d *durations) Visit(n ast.Node) ast.Visitor {
	v, ok := n.(*ast.MappingValueNode)
	if !ok || v.Value == nil {
		return d
	}
	switch v.Key.GetToken().Value {
	case "headers":
		return nil
	case "latency", "cache", "every":
		scalar, ok := v.Value.(ast.ScalarNode)
		if !ok || scalar.Type() == ast.NullType || d.err != nil {
			return d
		}
		t := scalar.GetToken()
		if _, err := time.ParseDuration(t.Value); err != nil {
			d.err = fmt.Errorf("%d:%d: %s: %q is no duration, write one such as 800ms", t.Position.Line, t.Position.Column, v.Key.GetToken().Value, clip(t.Value, 40))
		}
	}
	return d
}

// placed puts the position in front of an error of the YAML reader.
func placed(err error) error {
	var at yaml.Error
	if errors.As(err, &at) && at.GetToken() != nil {
		p := at.GetToken().Position
		return fmt.Errorf("%d:%d: %s", p.Line, p.Column, at.GetMessage())
	}
	return err
}

// locate puts the position of the setting in front of a *wrong: that of the
// longest part of its path that the file has.
func locate(doc *ast.File, err error) error {
	var bad *wrong
	if !errors.As(err, &bad) {
		return err
	}
	for n := len(bad.path); n > 0; n-- {
		if node := nodeAt(doc, bad.path[:n]); node != nil {
			p := node.GetToken().Position
			return fmt.Errorf("%d:%d: %w", p.Line, p.Column, err)
		}
	}
	return fmt.Errorf("1:1: %w", err)
}

func nodeAt(doc *ast.File, keys []string) ast.Node {
	b := (&yaml.PathBuilder{}).Root()
	for _, k := range keys {
		b = b.Child(k)
	}
	node, err := b.Build().FilterFile(doc)
	if err != nil || node == nil || node.GetToken() == nil {
		return nil
	}
	return node
}
