package config

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestSchemaNames holds the schema's names against those that the decoder
// accepts: it says them when it meets an unknown one.
func TestSchemaNames(t *testing.T) {
	var s map[string]any
	if err := json.Unmarshal(Schema(), &s); err != nil {
		t.Fatal(err)
	}
	if got, want := s["$schema"], "https://json-schema.org/draft/2020-12/schema"; got != want {
		t.Errorf("$schema: got %v, want %v", got, want)
	}
	files := map[string]string{ // path in the schema: a file with an unknown key there
		"":                               `{zzzzzzzz: 1}`,
		"admin":                          `{admin: {zzzzzzzz: 1}}`,
		"tls":                            `{tls: {cert: a, key: a, zzzzzzzz: 1}}`,
		"limits":                         `{limits: {zzzzzzzz: 1}}`,
		"timeouts":                       `{timeouts: {zzzzzzzz: 1}}`,
		"retry":                          `{retry: {zzzzzzzz: 1}}`,
		"breaker":                        `{breaker: {zzzzzzzz: 1}}`,
		"cooldown":                       `{cooldown: {zzzzzzzz: 1}}`,
		"hedge":                          `{hedge: {zzzzzzzz: 1}}`,
		"health":                         `{health: {zzzzzzzz: 1}}`,
		"quality":                        `{quality: {zzzzzzzz: 1}}`,
		"quality/alarm":                  `{quality: {alarm: {zzzzzzzz: 1}}}`,
		"log":                            `{log: {zzzzzzzz: 1}}`,
		"telemetry":                      `{telemetry: {zzzzzzzz: 1}}`,
		"providers/*":                    `{providers: {p: {zzzzzzzz: 1}}}`,
		"providers/*/health":             `{providers: {p: {health: {zzzzzzzz: 1}}}}`,
		"providers/*/timeouts":           `{providers: {p: {timeouts: {zzzzzzzz: 1}}}}`,
		"providers/*/limits":             `{providers: {p: {limits: {zzzzzzzz: 1}}}}`,
		"models/*":                       `{providers: [p], models: {m: {targets: [p/x], zzzzzzzz: 1}}}`,
		"models/*/retry":                 `{providers: [p], models: {m: {targets: [p/x], retry: {zzzzzzzz: 1}}}}`,
		"models/*/hedge":                 `{providers: [p], models: {m: {targets: [p/x], hedge: {zzzzzzzz: 1}}}}`,
		"models/*/degrade/[]":            `{providers: [p], models: {m: {targets: [p/x], degrade: [{zzzzzzzz: 1}]}}}`,
		"models/*/params":                `{providers: [p], models: {m: {targets: [p/x], params: {zzzzzzzz: 1}}}}`,
		"models/*/targets/[]":            `{providers: [p], models: {m: {targets: [{target: p/x, zzzzzzzz: 1}]}}}`,
		"models/*/targets/[]/price":      `{providers: [p], models: {m: {targets: [{target: p/x, price: {input: 1, output: 1, zzzzzzzz: 1}}]}}}`,
		"models/*/auto":                  `{providers: [p], models: {m: {auto: {models: [p/x], zzzzzzzz: 1}}}}`,
		"models/*/split":                 `{providers: [p], models: {m: {split: {arms: [{model: p/x}], zzzzzzzz: 1}}}}`,
		"models/*/split/arms/[]":         `{providers: [p], models: {m: {split: {arms: [{model: p/x, zzzzzzzz: 1}]}}}}`,
		"models/*/split/shadow":          `{providers: [p], models: {m: {split: {arms: [{model: p/x}], shadow: {model: p/y, zzzzzzzz: 1}}}}}`,
		"models/*/split/canary":          `{providers: [p], models: {m: {split: {arms: [{model: p/x}, {model: p/y}], canary: {arm: p/x, zzzzzzzz: 1}}}}}`,
		"keys/[]":                        `{keys: [{name: a, key: abcdefgh, zzzzzzzz: 1}]}`,
		"guards/*":                       `{guards: {g: {pii: mask, zzzzzzzz: 1}}}`,
		"guards/*/rules/[]":              `{guards: {g: {rules: [{words: [a], zzzzzzzz: 1}]}}}`,
		"guards/*/pii":                   `{guards: {g: {pii: {card: mask, zzzzzzzz: 1}}}}`,
		"guards/*/moderation":            `{providers: [p], guards: {g: {moderation: {model: p/x, zzzzzzzz: 1}}}}`,
		"guards/*/moderation/thresholds": `{providers: [p], guards: {g: {moderation: {model: p/x, thresholds: {low: 0.5, zzzzzzzz: 1}}}}}`,
		"guards/*/model":                 `{providers: [p], guards: {g: {model: {model: p/x, zzzzzzzz: 1}}}}`,
		"guards/*/webhook":               `{guards: {g: {webhook: {url: https://x.example, zzzzzzzz: 1}}}}`,
		"risk":                           `{risk: {low: block, zzzzzzzz: 1}}`,
		"risk/high":                      `{providers: [p], risk: {high: {models: [p/x], zzzzzzzz: 1}}}`,
		"risk/medium":                    `{providers: [p], risk: {medium: {models: [p/x], zzzzzzzz: 1}}}`,
		"risk/low":                       `{providers: [p], risk: {low: {models: [p/x], zzzzzzzz: 1}}}`,
		"models/*/risk":                  `{providers: [p], models: {m: {targets: [p/x], risk: {low: block, zzzzzzzz: 1}}}}`,
		"models/*/risk/high":             `{providers: [p], models: {m: {targets: [p/x], risk: {high: {models: [p/y], zzzzzzzz: 1}}}}}`,
		"models/*/risk/medium":           `{providers: [p], models: {m: {targets: [p/x], risk: {medium: {models: [p/y], zzzzzzzz: 1}}}}}`,
		"models/*/risk/low":              `{providers: [p], models: {m: {targets: [p/x], risk: {low: {models: [p/y], zzzzzzzz: 1}}}}}`,
	}
	files["models/*/cascade"] = `{providers: [p], models: {m: {cascade: {models: [p/x], accept: [complete], zzzzzzzz: 1}}}}`
	for _, g := range gates() {
		needs := map[string]string{"pattern": "is: a, ", "judge": "model: p/x, ", "principles": "model: p/x, rules: [a], "}[g.name]
		files["models/*/accept/[]/"+g.name] = `{providers: [p], models: {m: {targets: [p/x], accept: [{` + g.name + `: {` + needs + `zzzzzzzz: 1}}]}}}`
		files["models/*/cascade/accept/[]/"+g.name] = `{providers: [p], models: {m: {cascade: {models: [p/x], accept: [{` + g.name + `: {` + needs + `zzzzzzzz: 1}}]}}}}`
	}
	files["models/*/accept/[]"] = `{providers: [p], models: {m: {targets: [p/x], accept: [{zzzzzzzz: {}}]}}}`
	files["models/*/cascade/accept/[]"] = `{providers: [p], models: {m: {cascade: {models: [p/x], accept: [{zzzzzzzz: {}}]}}}}`
	seen := map[string]bool{}
	walkSchema("", s, func(path string, names []string) {
		file, ok := files[path]
		if !ok {
			if path != "providers/*/retry" && path != "providers/*/breaker" && path != "models/*/timeouts" {
				t.Errorf("the schema has an object at %q that the test does not know", path)
			}
			return
		}
		seen[path] = true
		_, err := Parse("f", []byte(file), nil)
		if err == nil {
			t.Errorf("%s: got no error, want an unknown key", file)
			return
		}
		_, list, _ := strings.Cut(err.Error(), "write one of ")
		got := strings.Split(list, ", ")
		slices.Sort(got)
		if !slices.Equal(got, names) {
			t.Errorf("%q: the decoder has %v, the schema %v", path, got, names)
		}
	})
	for path := range files {
		if !seen[path] {
			t.Errorf("the schema has no object at %q", path)
		}
	}
}

// walkSchema calls f for every object with fixed keys, with their names
// sorted.
func walkSchema(path string, s map[string]any, f func(path string, names []string)) {
	sub := func(name string, x any) {
		if m, ok := x.(map[string]any); ok {
			walkSchema(strings.TrimPrefix(path+name, "/"), m, f)
		}
	}
	if props, ok := s["properties"].(map[string]any); ok {
		f(path, slices.Sorted(maps.Keys(props)))
		for name, x := range props {
			sub("/"+name, x)
		}
	}
	sub("/[]", s["items"])
	sub("/*", s["additionalProperties"])
	if any, ok := s["anyOf"].([]any); ok {
		for _, x := range any {
			sub("", x)
		}
	}
}

// TestSchemaDefaults holds the schema's defaults against those of an empty
// file: a file that spells them out changes nothing.
func TestSchemaDefaults(t *testing.T) {
	var s map[string]any
	if err := json.Unmarshal(Schema(), &s); err != nil {
		t.Fatal(err)
	}
	file := map[string]any{}
	for name, x := range s["properties"].(map[string]any) {
		section := x.(map[string]any)
		if def, ok := section["default"]; ok {
			file[name] = def
		}
		props, _ := section["properties"].(map[string]any)
		values := map[string]any{}
		for key, x := range props {
			if def, ok := x.(map[string]any)["default"]; ok {
				values[key] = def
			}
		}
		if len(values) > 0 {
			file[name] = values
		}
	}
	data, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(file) < 10 {
		t.Fatalf("got %d sections with defaults, want at least 10: %s", len(file), data)
	}
	c, err := Parse("", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := dump(c); got != "" {
		t.Errorf("got\n%swant the defaults", got)
	}
}

func TestSchemaGolden(t *testing.T) { golden(t, "testdata/schema.json", string(Schema())) }
