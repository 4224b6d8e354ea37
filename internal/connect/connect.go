// Package connect points coding tools and chat front ends at the gateway: it
// makes their settings, writes them into their files, and calls the gateway
// as they do.
package connect

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Gateway is what a tool is pointed at.
type Gateway struct {
	URL   string // scheme, host and port; no slash at its end
	Key   string // "": the gateway asks for none
	Model string // as the tool asks for it
}

// noKey stands where a tool insists on a key and the gateway asks for none.
const noKey = "none"

// keyEnv is the variable that tools read the key from, where they can.
const keyEnv = "SLUICE_KEY"

// key is what is written for the key.
func (g Gateway) key() string {
	if g.Key == "" {
		return noKey
	}
	return g.Key
}

// v1 is the base URL of OpenAI's clients.
func (g Gateway) v1() string { return g.URL + "/v1" }

// Tool is a row of the table. Rows are never changed.
type Tool struct {
	Name  string // on the command line
	Title string // as its owner writes it
	// Prefer are the beginnings of names of models that suit the tool, the
	// best first; where none fits, any model does.
	Prefer []string
	// Guide says what to do by hand. nil: Edit's result for an empty file is
	// it.
	Guide func(g Gateway) string
	// Path is the tool's settings file, Edit puts the gateway into its content
	// and keeps everything else; both nil where the tool has no such file.
	Path func(home string, getenv func(string) string) string
	Edit func(old []byte, g Gateway) ([]byte, error)
	// Notes are for those who use the tool.
	Notes []string
	// Docs is where the tool documents its settings.
	Docs string
	call call
}

// From the tools' pages under Docs, read in November 2026.
var tools = []Tool{
	{Name: "claude-code", Title: "Claude Code", Prefer: []string{"claude-sonnet", "claude", "anthropic/claude"}, Path: claudePath, Edit: editClaude, call: messages,
		Notes: []string{"ANTHROPIC_API_KEY, where it is set, is sent too: unset it",
			"small tasks go to the model of ANTHROPIC_DEFAULT_HAIKU_MODEL: set it to one that the gateway has"}, Docs: "https://code.claude.com/docs/en/llm-gateway-connect"},
	{Name: "codex", Title: "Codex CLI", Prefer: []string{"gpt-5", "gpt-", "openai/gpt-"}, Path: codexPath, Edit: editCodex, call: responses,
		Notes: []string{"Codex reads the key from " + keyEnv + " when it starts"}, Docs: "https://developers.openai.com/codex/config-advanced"},
	{Name: "cursor", Title: "Cursor", Guide: cursorGuide, call: chat,
		Notes: []string{"Cursor calls from its own servers: the gateway's URL must be reachable from the internet"}, Docs: "https://docs.cursor.com/settings/api-keys"},
	{Name: "opencode", Title: "opencode", Path: opencodePath, Edit: editOpencode, call: chat,
		Notes: []string{"opencode reads the key from " + keyEnv + " when it starts"}, Docs: "https://opencode.ai/docs/providers"},
	{Name: "open-webui", Title: "Open WebUI", Guide: webuiGuide, call: chat,
		Notes: []string{"Open WebUI takes these from its environment at its first start only; later: Admin Settings, Connections"}, Docs: "https://docs.openwebui.com/reference/env-configuration"},
	{Name: "aider", Title: "aider", Path: aiderPath, Edit: editAider, call: chat, Docs: "https://aider.chat/docs/llms/openai-compat.html"},
}

// Tools returns the names of the tools, in the table's order.
func Tools() []string {
	var names []string
	for _, t := range tools {
		names = append(names, t.Name)
	}
	return names
}

// Find returns a tool by its name.
func Find(name string) (*Tool, bool) {
	for i := range tools {
		if tools[i].Name == name {
			return &tools[i], true
		}
	}
	return nil, false
}

// Settings returns what a person puts into the tool, with a stand-in where a
// key would be.
func (t *Tool) Settings(g Gateway) (string, error) {
	if g.Key != "" {
		g.Key = "YOUR_SLUICE_KEY"
	}
	if t.Guide != nil {
		return t.Guide(g), nil
	}
	b, err := t.Edit(nil, g)
	return string(b), err
}

// Base returns the URL of a gateway that listens on addr, for clients on the
// same machine.
func Base(addr string, tls bool) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		host, port = addr, "8080"
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http"
	if tls {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// ParseURL reads a gateway's URL as people write it: with or without a slash
// or a version path at its end.
func ParseURL(s string) (string, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", errors.New("the URL of the gateway is its scheme, host and port, such as http://127.0.0.1:8080")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("the URL of the gateway has no user, query or fragment: the key goes into --key or " + keyEnv)
	}
	path := strings.TrimRight(u.Path, "/")
	path = strings.TrimRight(strings.TrimSuffix(path, "/v1"), "/")
	return u.Scheme + "://" + u.Host + path, nil
}

// Choose picks a model for the tool: want, else the one of the gateway's that
// suits it best. "" if there is none.
func (t *Tool) Choose(want string, models []string) string {
	if want != "" {
		return want
	}
	models = slices.DeleteFunc(slices.Clone(models), func(m string) bool { return strings.Contains(m, "*") }) // families
	for _, p := range t.Prefer {
		for _, m := range models {
			if strings.HasPrefix(m, p) {
				return m
			}
		}
	}
	if len(models) == 0 {
		return ""
	}
	return models[0]
}

func claudePath(home string, getenv func(string) string) string {
	if dir := getenv("CLAUDE_CONFIG_DIR"); dir != "" {
		return filepath.Join(dir, "settings.json")
	}
	return filepath.Join(home, ".claude", "settings.json")
}

func codexPath(home string, getenv func(string) string) string {
	if dir := getenv("CODEX_HOME"); dir != "" {
		return filepath.Join(dir, "config.toml")
	}
	return filepath.Join(home, ".codex", "config.toml")
}

func opencodePath(home string, getenv func(string) string) string {
	if file := getenv("OPENCODE_CONFIG"); file != "" {
		return file
	}
	dir := getenv("XDG_CONFIG_HOME")
	if dir == "" {
		dir = filepath.Join(home, ".config")
	}
	file := filepath.Join(dir, "opencode", "opencode.json")
	if _, err := os.Stat(file + "c"); err == nil { // it may hold comments
		return file + "c"
	}
	return file
}

func aiderPath(home string, _ func(string) string) string {
	return filepath.Join(home, ".aider.conf.yml")
}

func cursorGuide(g Gateway) string {
	return fmt.Sprintf(`Cursor keeps these in its own store; set them in its window:
  1. Cursor Settings > Models > API Keys
  2. OpenAI API Key:            %s
  3. Override OpenAI Base URL:  %s
  4. Add model:                 %s
`, g.key(), g.v1(), g.Model)
}

func webuiGuide(g Gateway) string {
	return fmt.Sprintf("OPENAI_API_BASE_URL=%s\nOPENAI_API_KEY=%s\nDEFAULT_MODELS=%s\n", g.v1(), g.key(), g.Model)
}
