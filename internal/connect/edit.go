package connect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/goccy/go-yaml"
	"github.com/tailscale/hujson"
)

// setting is one value at a path of members.
type setting struct {
	path  []string
	value string
}

func editClaude(old []byte, g Gateway) ([]byte, error) {
	return editJSON(old, []setting{
		{[]string{"env", "ANTHROPIC_BASE_URL"}, g.URL},
		{[]string{"env", "ANTHROPIC_AUTH_TOKEN"}, g.key()},
		{[]string{"env", "ANTHROPIC_MODEL"}, g.Model},
	})
}

func editOpencode(old []byte, g Gateway) ([]byte, error) {
	at := func(path ...string) []string { return append([]string{"provider", "sluice"}, path...) }
	set := []setting{
		{[]string{"$schema"}, "https://opencode.ai/config.json"},
		{at("npm"), "@ai-sdk/openai-compatible"},
		{at("name"), "Sluice"},
		{at("options", "baseURL"), g.v1()},
	}
	if g.Key != "" {
		set = append(set, setting{at("options", "apiKey"), "{env:" + keyEnv + "}"})
	}
	return editJSON(old, append(set,
		setting{at("models", g.Model, "name"), g.Model},
		setting{[]string{"model"}, "sluice/" + g.Model}))
}

// editJSON sets members of a JSON object, with comments or without, and
// leaves every other byte as it is.
func editJSON(old []byte, set []setting) ([]byte, error) {
	if len(bytes.TrimSpace(old)) == 0 {
		old = []byte("{}\n")
	}
	v, err := hujson.Parse(old)
	if err != nil {
		return nil, errors.New("it is not JSON")
	}
	for _, s := range set {
		if err := setMember(&v, s.path, s.value, 1); err != nil {
			return nil, err
		}
	}
	return v.Pack(), nil
}

// setMember sets a member below v, which is an object at a depth.
func setMember(v *hujson.Value, path []string, value string, depth int) error {
	obj, ok := v.Value.(*hujson.Object)
	if !ok {
		return fmt.Errorf("what holds %q is not an object", path[0])
	}
	i := slices.IndexFunc(obj.Members, func(m hujson.ObjectMember) bool {
		name, ok := m.Name.Value.(hujson.Literal)
		return ok && name.Kind() == '"' && name.String() == path[0]
	})
	if i < 0 {
		m := hujson.ObjectMember{Name: hujson.Value{BeforeExtra: indent(depth), Value: hujson.String(path[0])}}
		m.Value = hujson.Value{BeforeExtra: hujson.Extra(" "), Value: &hujson.Object{}}
		if len(obj.Members) == 0 {
			obj.AfterExtra = indent(depth - 1)
		}
		i, obj.Members = len(obj.Members), append(obj.Members, m)
	}
	if len(path) == 1 {
		obj.Members[i].Value.Value = hujson.String(value)
		return nil
	}
	return setMember(&obj.Members[i].Value, path[1:], value, depth+1)
}

func indent(depth int) hujson.Extra { return hujson.Extra("\n" + strings.Repeat("  ", depth)) }

// codexTable is the head of our table in Codex's file.
const codexTable = "[model_providers.sluice]"

func editCodex(old []byte, g Gateway) ([]byte, error) {
	table := [][2]string{{"name", "Sluice"}, {"base_url", g.v1()}, {"wire_api", "responses"}}
	if g.Key != "" {
		table = append(table, [2]string{"env_key", keyEnv})
	}
	before, err := codexKeys(old)
	if err != nil {
		return nil, errors.New("it is not TOML")
	}
	lines := splitLines(old)
	first := slices.IndexFunc(lines, isTable)
	if first < 0 {
		first = len(lines)
	}
	root := setLines(lines[:first], [][2]string{{"model", g.Model}, {"model_provider", "sluice"}}, tomlLine)
	rest := lines[first:]
	if i := slices.IndexFunc(rest, func(l string) bool { return tableName(l) == codexTable }); i >= 0 {
		end := len(rest)
		if n := slices.IndexFunc(rest[i+1:], isTable); n >= 0 {
			end = i + 1 + n
		}
		rest = slices.Concat(rest[:i+1], setLines(rest[i+1:end], table, tomlLine), rest[end:])
	} else {
		rest = append(slices.Clone(rest), setLines([]string{"\n", codexTable + "\n"}, table, tomlLine)...)
	}
	out := []byte(strings.TrimLeft(strings.Join(append(root, rest...), ""), "\n"))
	return out, codexKept(before, out, g)
}

// codexFile is what we set in Codex's file.
type codexFile struct {
	Model     string `toml:"model"`
	Provider  string `toml:"model_provider"`
	Providers map[string]struct {
		BaseURL string `toml:"base_url"`
		WireAPI string `toml:"wire_api"`
	} `toml:"model_providers"`
}

// codexKeys returns the keys of a file that are not ours, and their types.
func codexKeys(b []byte) ([]string, error) {
	var f codexFile
	md, err := toml.Decode(string(b), &f)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, k := range md.Keys() {
		name := k.String()
		if name != "model" && name != "model_provider" && name != "model_providers" && !strings.HasPrefix(name, "model_providers.sluice") {
			keys = append(keys, name+" "+md.Type(k...))
		}
	}
	return keys, nil
}

// codexKept checks an edited file: it says what we set, and everything that
// was there before is where it was. Lines cannot be edited so in every file
// (tables written inline, strings over several lines).
func codexKept(before []string, out []byte, g Gateway) error {
	var f codexFile
	_, err := toml.Decode(string(out), &f)
	after, _ := codexKeys(out)
	if err != nil || f.Model != g.Model || f.Provider != "sluice" || f.Providers["sluice"].BaseURL != g.v1() ||
		f.Providers["sluice"].WireAPI != "responses" || !slices.Equal(before, after) {
		return errors.New("it is written in a way that this command cannot edit")
	}
	return nil
}

// tableName is a TOML line's table head as we write it, "" for other lines.
func tableName(line string) string {
	line, _, _ = strings.Cut(line, "#")
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "[") {
		return ""
	}
	return strings.NewReplacer(" ", "", "\t", "", `"`, "", `'`, "").Replace(line)
}

// tomlHead is a table's head; an array's element does not look like it.
var tomlHead = regexp.MustCompile(`^\s*\[\[?\s*[A-Za-z0-9_"'][^,=]*\]\]?\s*(#.*)?$`)

func isTable(line string) bool { return tomlHead.MatchString(strings.TrimRight(line, "\r\n")) }

func tomlLine(name, value string) string { return name + " = " + quote(value) + "\n" }

// quote writes a string as JSON does, which TOML and YAML read alike.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil { // not for strings
		return strconv.Quote(s)
	}
	return string(b)
}

func editAider(old []byte, g Gateway) ([]byte, error) {
	set := [][2]string{{"openai-api-base", g.v1()}, {"openai-api-key", g.key()}, {"model", "openai/" + g.Model}}
	var f struct {
		Base  string `yaml:"openai-api-base"`
		Key   string `yaml:"openai-api-key"`
		Model string `yaml:"model"`
	}
	if len(bytes.TrimSpace(old)) > 0 && yaml.Unmarshal(old, &f) != nil {
		return nil, errors.New("it is not a YAML mapping")
	}
	out := []byte(strings.Join(setLines(splitLines(old), set, func(name, value string) string { return name + ": " + quote(value) + "\n" }), ""))
	if yaml.Unmarshal(out, &f) != nil || f.Base != g.v1() || f.Key != g.key() || f.Model != "openai/"+g.Model {
		return nil, errors.New("it is written in a way that this command cannot edit")
	}
	return out, nil
}

// splitLines returns lines with their ends; the last has one too.
func splitLines(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	s := string(b)
	if !strings.HasSuffix(s, "\n") {
		s += "\n"
	}
	return slices.Collect(strings.Lines(s))
}

// setLines replaces the lines that set a name, and puts those that are
// missing behind the last line that is not blank.
func setLines(lines []string, set [][2]string, line func(name, value string) string) []string {
	out := slices.Clone(lines)
	end := len(out)
	for end > 0 && strings.TrimSpace(out[end-1]) == "" {
		end--
	}
	for _, s := range set {
		is := regexp.MustCompile(`^\s*["']?` + regexp.QuoteMeta(s[0]) + `["']?\s*[:=]`)
		if i := slices.IndexFunc(out, is.MatchString); i >= 0 {
			out[i] = line(s[0], s[1])
			continue
		}
		out = slices.Insert(out, end, line(s[0], s[1]))
		end++
	}
	return out
}
