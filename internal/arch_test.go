// Package internal holds the rooms of the gateway; this test holds their walls.
package internal

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// may says what each room may import of ours. A room that is missing here has
// no place in the house yet: give it one, here and in ARCHITECTURE.md.
var may = map[string][]string{
	"llm":                  {},
	"wire":                 {"llm", "wire/scan", "wire/sse"},
	"wire/protocol/compat": {"llm", "wire", "wire/scan", "wire/protocol"},
	"wire/protocol":        {"llm", "wire", "wire/scan", "wire/openai", "wire/responses", "wire/anthropic", "wire/gemini", "wire/bedrock", "wire/cohere", "wire/ollama"},
	"wire/recorded":        {"llm", "wire"},
	"wire/scan":            {},
	"wire/sse":             {},
	"wire/cohere":          {"llm", "wire", "wire/scan", "wire/sse"},
	"wire/anthropic":       {"llm", "wire", "wire/scan", "wire/sse"},
	"wire/bedrock":         {"llm", "wire", "wire/anthropic", "wire/scan", "wire/sse"},
	"wire/ollama":          {"llm", "wire", "wire/scan"},
	"wire/openai":          {"llm", "wire", "wire/scan", "wire/sse"},
	"wire/responses":       {"llm", "wire", "wire/openai", "wire/scan", "wire/sse"},
	"wire/gemini":          {"llm", "wire", "wire/scan", "wire/sse"},
	"catalog":              {"llm"},
	"catalog/gen":          {"llm", "catalog"},
	"config":               {"llm"},
	"connect":              {"wire/sse"},
	"quality":              {"llm", "signal"},
	"quality/gen":          {"llm", "quality"},
	"signal":               {"llm"},
	"store":                {"llm"},
	"telemetry":            {"llm"},
	"tenant":               {"llm", "store", "catalog"},
	"provider":             {"llm", "wire", "wire/protocol", "wire/scan", "catalog"},
	"provider/cloud":       {"llm"},
	"upstream":             {"llm", "telemetry"},
	"guard":                {"llm", "signal"},
	"route":                {"llm", "upstream", "catalog", "signal", "route/learned"},
	"route/eval":           {"route", "route/learned"},
	"route/learned":        {},
	"route/learned/make":   {"route/learned"},
	"experiment":           {"llm", "quality"},
	"compose":              {"llm", "quality", "upstream", "experiment"},
	"gateway":              {"llm", "upstream", "route", "tenant", "store"},
	"load":                 {"llm"},
	"server":               {"llm", "gateway", "experiment", "load", "quality", "tenant", "wire", "wire/protocol", "wire/scan"},
	"sim":                  {},
	"app": {"llm", "wire", "wire/openai", "wire/protocol", "catalog", "config", "store", "telemetry", "tenant", "provider", "provider/cloud", "upstream", "route", "route/learned",
		"compose", "experiment", "guard", "signal", "quality", "gateway", "load", "server", "sim"},
	"../cmd/sluice": {"app", "config", "connect", "llm", "provider", "route/eval", "route/learned", "sim", "store"},
}

const ours = "github.com/sluicegate/sluice/internal/"

// vague names tell nobody what a package holds.
var vague = []string{"utils", "util", "common", "pkg", "types", "helpers", "models", "interfaces"}

func TestDirections(t *testing.T) {
	seen := map[string]bool{}
	for _, root := range []string{".", filepath.Join("..", "cmd", "sluice")} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || filepath.Dir(path) == "." {
				return err
			}
			room := filepath.ToSlash(filepath.Dir(path))
			if slices.Contains(vague, filepath.Base(room)) {
				t.Errorf("%s: name the package after what it holds", room)
			}
			allowed, known := may[room]
			if !known {
				t.Errorf("%s: the room is not in the table of this test; DESIGN's directions say what it may import", room)
				return nil
			}
			seen[room] = true
			test := strings.HasSuffix(path, "_test.go")
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, im := range f.Imports {
				name, mine := strings.CutPrefix(strings.Trim(im.Path.Value, `"`), ours)
				if mine && !test && !slices.Contains(allowed, name) {
					t.Errorf("%s imports %s: that direction is closed; declare what you need where you need it, and let app wire it", path, name)
				}
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == "init" && fn.Recv == nil {
					t.Errorf("%s has an init function: make a table that can be read", path)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for room := range may {
		if !seen[room] {
			t.Errorf("%s is in the table and not in the house: take it out", room)
		}
	}
}
