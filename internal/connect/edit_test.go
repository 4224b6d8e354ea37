package connect

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/tailscale/hujson"
)

var gw = Gateway{URL: "http://127.0.0.1:8080", Key: "sk-sluice-1", Model: "smart"}

func tool(t testing.TB, name string) *Tool {
	t.Helper()
	x, ok := Find(name)
	if !ok {
		t.Fatalf("no tool is called %s", name)
	}
	return x
}

func TestEdit(t *testing.T) {
	for _, c := range []struct{ name, tool, old, want string }{
		{"claude: beside others", "claude-code", "{\n\t\"model\": \"opus\",\n\t\"env\": {\"FOO\": \"1\", \"ANTHROPIC_MODEL\": \"x\"},\n\t\"permissions\": {\"allow\": [\"Bash(ls:*)\"]}\n}\n",
			"{\n\t\"model\": \"opus\",\n\t\"env\": {\"FOO\": \"1\", \"ANTHROPIC_MODEL\": \"smart\",\n    \"ANTHROPIC_BASE_URL\": \"http://127.0.0.1:8080\",\n    \"ANTHROPIC_AUTH_TOKEN\": \"sk-sluice-1\"},\n\t\"permissions\": {\"allow\": [\"Bash(ls:*)\"]}\n}\n"},
		{"claude: without env", "claude-code", `{"a": 1}`,
			"{\"a\": 1,\n  \"env\": {\n    \"ANTHROPIC_BASE_URL\": \"http://127.0.0.1:8080\",\n    \"ANTHROPIC_AUTH_TOKEN\": \"sk-sluice-1\",\n    \"ANTHROPIC_MODEL\": \"smart\"\n  }}"},
		{"codex: tables, comments and arrays", "codex",
			"# mine\nmodel = \"gpt-5\" # fast\napproval_policy = \"never\"\nlist = [\n  [\"a\"],\n]\n\n[mcp_servers.x]\ncommand = \"x\"\nmodel = \"not ours\"\n",
			"# mine\nmodel = \"smart\"\napproval_policy = \"never\"\nlist = [\n  [\"a\"],\n]\nmodel_provider = \"sluice\"\n\n[mcp_servers.x]\ncommand = \"x\"\nmodel = \"not ours\"\n\n[model_providers.sluice]\nname = \"Sluice\"\nbase_url = \"http://127.0.0.1:8080/v1\"\nwire_api = \"responses\"\nenv_key = \"SLUICE_KEY\"\n"},
		{"codex: our table from before", "codex",
			"[model_providers.other]\nname = \"o\"\n[ model_providers.\"sluice\" ] # ours\nbase_url = \"http://old/v1\"\nrequest_max_retries = 2\n\n[z]\nk = 1",
			"model = \"smart\"\nmodel_provider = \"sluice\"\n[model_providers.other]\nname = \"o\"\n[ model_providers.\"sluice\" ] # ours\nbase_url = \"http://127.0.0.1:8080/v1\"\nrequest_max_retries = 2\nname = \"Sluice\"\nwire_api = \"responses\"\nenv_key = \"SLUICE_KEY\"\n\n[z]\nk = 1\n"},
		{"opencode: with comments", "opencode", "{\n  // mine\n  \"theme\": \"x\",\n  \"provider\": {\"other\": {},},\n}\n",
			"{\n  // mine\n  \"theme\": \"x\",\n  \"provider\": {\"other\": {},\n    \"sluice\": {\n      \"npm\": \"@ai-sdk/openai-compatible\",\n      \"name\": \"Sluice\",\n      \"options\": {\n        \"baseURL\": \"http://127.0.0.1:8080/v1\",\n        \"apiKey\": \"{env:SLUICE_KEY}\"\n      },\n      \"models\": {\n        \"smart\": {\n          \"name\": \"smart\"\n        }\n      }\n    }},\n  \"$schema\": \"https://opencode.ai/config.json\",\n  \"model\": \"sluice/smart\"\n}\n"},
		{"aider: beside others", "aider", "# mine\ndark-mode: true\nmodel: sonnet\nread:\n  - a.md\n",
			"# mine\ndark-mode: true\nmodel: \"openai/smart\"\nread:\n  - a.md\nopenai-api-base: \"http://127.0.0.1:8080/v1\"\nopenai-api-key: \"sk-sluice-1\"\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := tool(t, c.tool).Edit([]byte(c.old), gw)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			again, err := tool(t, c.tool).Edit(got, gw)
			if err != nil || !bytes.Equal(again, got) {
				t.Errorf("edited twice (%v):\n%s", err, again)
			}
		})
	}
}

func TestEditRefuses(t *testing.T) {
	for _, c := range []struct{ name, tool, old string }{
		{"not JSON", "claude-code", `{"env": `},
		{"not an object", "claude-code", `[1]`},
		{"env is none", "claude-code", `{"env": "x"}`},
		{"not TOML", "codex", "model = \n"},
		{"an inline table", "codex", "model_providers = { sluice = { name = \"x\" } }\n"},
		{"a dotted key", "codex", "model_providers.sluice.base_url = \"x\"\n"},
		{"a string over lines that looks like our key", "codex", "note = \"\"\"\nmodel = 1\n\"\"\"\n"},
		{"a table head inside a string", "codex", "note = '''\n[x]\n'''\n[y]\nk = 1\n"},
		{"not YAML", "aider", "a: [\n"},
		{"a list", "aider", "- a\n"},
		{"a mapping in flow style", "aider", "{dark-mode: true}\n"},
		{"a value over lines", "aider", "model: >\n  sonnet\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := tool(t, c.tool).Edit([]byte(c.old), gw); err == nil {
				t.Errorf("was edited:\n%s", got)
			}
		})
	}
}

// Whatever the file holds: it is refused, or what comes out says what was
// asked, in the tool's own syntax, and an edit of that changes nothing.
func FuzzEdit(f *testing.F) {
	for _, s := range []string{"", "{}", "{\"env\": {}} // x", "model = 1\n[a]\nb = 2\n", "a: 1\nmodel: x\n", "[model_providers.sluice]\nbase_url = 'x'\n", "x = [\n[1],\n]", "---\na: b\n...\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, old []byte) {
		for i := range tools {
			if tools[i].Edit == nil {
				continue
			}
			got, err := tools[i].Edit(old, gw)
			if err != nil {
				continue
			}
			if len(got) > len(old)+1000 {
				t.Errorf("%s: %d bytes became %d", tools[i].Name, len(old), len(got))
			}
			again, err := tools[i].Edit(got, gw)
			if err != nil || !bytes.Equal(got, again) {
				t.Errorf("%s: edited twice (%v):\n%s\n---\n%s", tools[i].Name, err, got, again)
			}
			switch tools[i].Name {
			case "claude-code":
				b, err := hujson.Standardize(got)
				var v struct{ Env map[string]any }
				if err != nil || json.Unmarshal(b, &v) != nil && !bytes.Contains(old, []byte("env")) {
					t.Errorf("claude-code: %v in\n%s", err, got)
				}
			case "codex":
				var before, after map[string]any
				_, _ = toml.Decode(string(old), &before)
				if _, err := toml.Decode(string(got), &after); err != nil {
					t.Errorf("codex: %v in\n%s", err, got)
				}
				if n := len(after) - len(before); n < 0 || n > 3 {
					t.Errorf("codex: %d top-level keys became %d:\n%s", len(before), len(after), got)
				}
			}
		}
	})
}

func TestWrite(t *testing.T) {
	claude := tool(t, "claude-code")
	dir := t.TempDir()
	path := filepath.Join(dir, "deep", "settings.json")
	w, err := claude.Write(path, gw)
	if err != nil || !w.Changed || w.Backup != "" {
		t.Fatalf("a new file: %+v, %v", w, err)
	}
	if w, err = claude.Write(path, gw); err != nil || w.Changed {
		t.Errorf("twice: %+v, %v", w, err)
	}
	old := "{\"theme\": \"dark\"}\n"
	if err := os.WriteFile(path, []byte(old), 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link.json")
	if err := os.Symlink(path, link); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	w, err = claude.Write(link, gw)
	if err != nil || !w.Changed {
		t.Fatalf("over an old file: %+v, %v", w, err)
	}
	if b, err := os.ReadFile(w.Backup); err != nil || string(b) != old {
		t.Errorf("copy %q, %v", b, err)
	}
	b, _ := os.ReadFile(path)
	if !bytes.Contains(b, []byte(`"theme": "dark"`)) || !bytes.Contains(b, []byte(gw.Key)) {
		t.Errorf("written:\n%s", b)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v, %v", info, err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("a file with a key: %v, %v", info.Mode(), err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "deep", ".sluice-*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestWriteRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, path := range map[string]string{
		"a directory":  dir,
		"broken":       file("broken.json", `{"env": `),
		"far too long": file("long.json", `{"a": "`+strings.Repeat("x", maxFile)+`"}`),
	} {
		before, _ := os.ReadFile(path)
		if w, err := tool(t, "claude-code").Write(path, gw); err == nil || w.Changed {
			t.Errorf("%s was written: %+v", name, w)
		} else if !strings.Contains(err.Error(), "left as it is") || strings.Contains(err.Error(), gw.Key) {
			t.Errorf("%s: %v", name, err)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
			t.Errorf("%s is not as it was", name)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*.bak")); len(files) > 0 {
		t.Errorf("copies of files that were left alone: %v", files)
	}
}

func TestSettingsKeepTheKey(t *testing.T) {
	for i := range tools {
		s, err := tools[i].Settings(gw)
		if err != nil || strings.Contains(s, gw.Key) {
			t.Errorf("%s: %v\n%s", tools[i].Name, err, s)
		}
		if !strings.Contains(s, gw.URL) || !strings.Contains(s, gw.Model) {
			t.Errorf("%s: neither URL nor model in\n%s", tools[i].Name, s)
		}
	}
}

func TestPlaces(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080", ":9000": "http://127.0.0.1:9000", "0.0.0.0:80": "http://127.0.0.1:80",
		"[::]:8080": "http://127.0.0.1:8080", "gw.example:443": "http://gw.example:443", "[::1]:8080": "http://[::1]:8080",
	} {
		if got := Base(addr, false); got != want {
			t.Errorf("Base(%q): %s, want %s", addr, got, want)
		}
	}
	for in, want := range map[string]string{
		"http://127.0.0.1:8080/": "http://127.0.0.1:8080", "https://gw.example/v1/": "https://gw.example", "gw:8080": "http://gw:8080",
		"https://x.example/ai/v1": "https://x.example/ai",
		"ftp://x":                 "", "https://u:p@x": "", "https://x/?key=1": "", "http://": "", "http://[": "",
	} {
		got, err := ParseURL(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("ParseURL(%q): %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestChoose(t *testing.T) {
	models := []string{"llama-2", "claude-*", "gpt-4", "claude-3"}
	for name, want := range map[string]string{"claude-code": "claude-3", "codex": "gpt-4", "aider": "llama-2"} {
		if got := tool(t, name).Choose("", models); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := tool(t, "aider").Choose("mine", nil); got != "mine" {
		t.Errorf("asked for mine: %q", got)
	}
	if got := tool(t, "aider").Choose("", []string{"claude-*"}); got != "" {
		t.Errorf("a family alone: %q", got)
	}
}
