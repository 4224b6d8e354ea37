package blackbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// connected runs `sluice connect` in a home of its own.
func connected(t *testing.T, home string, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	env = append([]string{"HOME=" + home, "USERPROFILE=" + home, "XDG_CONFIG_HOME=", "CODEX_HOME=", "CLAUDE_CONFIG_DIR=", "OPENCODE_CONFIG="}, env...)
	return run(t, home, "", env, append([]string{"connect"}, args...)...)
}

const toolKey = "sk-sluice-of-a-tool-0123456789"

// toolGateway is a gateway with a key, in front of the simulator.
func toolGateway(t *testing.T) (*gateway, *simulator) {
	t.Helper()
	s := simulate(t, simConfig)
	g := serve(t, "providers:\n  sim: {kind: openai, base_url: "+s.url+"/v1, api_key: k}\n"+
		"models:\n  chat-model: sim/chat-model\n  refusing: sim/refusing-model\n", withEnv("SLUICE_KEY="+toolKey))
	return g, s
}

// connectTools are the tools with how they call and where their settings are.
var connectTools = []struct{ name, path, file string }{
	{"claude-code", "/v1/messages?beta=true", ".claude/settings.json"},
	{"codex", "/v1/responses", ".codex/config.toml"},
	{"cursor", "/v1/chat/completions", ""},
	{"opencode", "/v1/chat/completions", ".config/opencode/opencode.json"},
	{"open-webui", "/v1/chat/completions", ""},
	{"aider", "/v1/chat/completions", ".aider.conf.yml"},
}

func TestConnect(t *testing.T) {
	t.Parallel()
	g, s := toolGateway(t)
	key := []string{"SLUICE_KEY=" + toolKey}
	for _, c := range connectTools {
		t.Run(c.name, func(t *testing.T) {
			home := t.TempDir()
			before := len(s.journal("chat-model"))
			code, out, errs := connected(t, home, key, c.name, "--url", g.url+"/v1/")
			if code != 0 || !strings.Contains(errs, "tested: POST "+c.path+", model chat-model") {
				t.Fatalf("exit code %d\n%s%s", code, out, errs)
			}
			if !strings.Contains(out, g.url) || !strings.Contains(out, "chat-model") || strings.Contains(out+errs, toolKey) {
				t.Errorf("the settings lack the gateway or hold the key:\n%s%s", out, errs)
			}
			if calls := s.journal("chat-model"); len(calls) != before+1 || !calls[before].Stream {
				t.Errorf("the vendor saw %+v, want one streamed call more", calls[before:])
			}
			files, err := os.ReadDir(home)
			if err != nil || len(files) > 0 {
				t.Errorf("without --write it left %v, %v", files, err)
			}
			connectWrites(t, g, home, c.name, c.file)
		})
	}
}

// connectWrites writes a tool's settings twice.
func connectWrites(t *testing.T, g *gateway, home, tool, file string) {
	t.Helper()
	args := []string{tool, "--url", g.url, "--key", toolKey, "--model", "chat-model", "--write"}
	code, out, errs := connected(t, home, nil, args...)
	if file == "" {
		if code != 2 || !strings.Contains(errs, "without --write") {
			t.Errorf("--write for a tool without a file: exit code %d\n%s%s", code, out, errs)
		}
		return
	}
	path := filepath.Join(home, filepath.FromSlash(file))
	b, err := os.ReadFile(path)
	if code != 0 || err != nil || !strings.Contains(string(b), g.url) || !strings.Contains(out, "wrote ") {
		t.Fatalf("--write: exit code %d, %v\n%s%s%s", code, err, out, errs, b)
	}
	if code, out, errs = connected(t, home, nil, args...); code != 0 || !strings.Contains(out, "says so already") {
		t.Errorf("--write again: exit code %d\n%s%s", code, out, errs)
	}
	if again, _ := os.ReadFile(path); string(again) != string(b) {
		t.Errorf("written twice:\n%s", again)
	}
	if copies, _ := filepath.Glob(path + "*.bak"); len(copies) > 0 {
		t.Errorf("copies of a file that was new: %v", copies)
	}
}

func TestConnectFails(t *testing.T) {
	t.Parallel()
	g, _ := toolGateway(t)
	home := t.TempDir()
	for _, c := range []struct {
		name  string
		code  int
		says  string
		args  []string
		quiet bool // on stdout
	}{
		{"no tool", 2, "expected", nil, true},
		{"another tool", 2, "claude-code", []string{"vim"}, true},
		{"a URL that is none", 2, "scheme, host and port", []string{"aider", "--url", "ftp://x"}, true},
		{"nobody there", 1, "does the gateway run there?", []string{"aider", "--url", "http://127.0.0.1:1"}, false},
		{"a wrong key", 1, "401", []string{"aider", "--url", g.url, "--key", "wrong", "--write"}, true},
		{"a model that is none", 1, "404", []string{"aider", "--url", g.url, "--key", toolKey, "--model", "nowhere", "--write"}, true},
		{"a vendor that refuses", 1, "aider would fail with model refusing", []string{"aider", "--url", g.url, "--key", toolKey, "--model", "refusing", "--write"}, true},
		{"a file that is none", 1, "--url says it without", []string{"aider", "-c", filepath.Join(home, "none.yaml")}, true},
	} {
		code, out, errs := connected(t, home, nil, c.args...)
		if code != c.code || !strings.Contains(errs, c.says) || c.quiet != (out == "") {
			t.Errorf("%s: exit code %d, want %d and %q\n%s%s", c.name, code, c.code, c.says, out, errs)
		}
		if strings.Contains(out+errs, toolKey) {
			t.Errorf("%s: the key is in what was printed\n%s%s", c.name, out, errs)
		}
	}
	if files, err := os.ReadDir(home); err != nil || len(files) > 0 {
		t.Errorf("calls that failed wrote %v, %v", files, err)
	}
}

// What was in a tool's file before stays, and a copy of it too.
func TestConnectKeepsSettings(t *testing.T) {
	t.Parallel()
	g, _ := toolGateway(t)
	home := t.TempDir()
	path := filepath.Join(home, ".aider.conf.yml")
	old := "# my settings\ndark-mode: true\nmodel: sonnet\n"
	write(t, path, old)
	args := []string{"aider", "-c", g.file, "--url", g.url, "--key", toolKey, "--model", "chat-model", "--write"}
	if code, out, errs := connected(t, home, nil, args...); code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	b, err := os.ReadFile(path)
	want := "# my settings\ndark-mode: true\nmodel: \"openai/chat-model\"\nopenai-api-base: \"" + g.url + "/v1\"\nopenai-api-key: \"" + toolKey + "\"\n"
	if err != nil || string(b) != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, b, want)
	}
	copies, _ := filepath.Glob(path + ".*.bak")
	if len(copies) != 1 {
		t.Fatalf("copies: %v, want one", copies)
	}
	if b, err := os.ReadFile(copies[0]); err != nil || string(b) != old {
		t.Errorf("the copy: %v\n%s", err, b)
	}
	write(t, path, "model: [\n")
	if code, _, errs := connected(t, home, nil, args...); code != 1 || !strings.Contains(errs, "left as it is") {
		t.Errorf("a file that is broken: exit code %d\n%s", code, errs)
	}
}
