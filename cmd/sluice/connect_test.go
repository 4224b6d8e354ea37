package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/connect"
)

// The command line takes the tools of the table, and no others.
func TestConnectTools(t *testing.T) {
	t.Setenv("SLUICE_KEY", "")
	for _, name := range connect.Tools() {
		code, out, errs := sluice(t, "connect", name, "--url", "http://127.0.0.1:1", "--model", "m")
		if code != 1 || !strings.Contains(out, "http://127.0.0.1:1") {
			t.Errorf("connect %s: exit code %d\n%s%s", name, code, out, errs)
		}
		if _, help, _ := sluice(t, "connect", "-h"); !strings.Contains(help, name) {
			t.Errorf("the help does not name %s", name)
		}
	}
	if code, _, errs := sluice(t, "connect", "vim"); code != 2 {
		t.Errorf("connect vim: exit code %d\n%s", code, errs)
	}
}

// Where the gateway is comes from the file, the environment or --url.
func TestConnectFindsGateway(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(file, []byte("listen: 0.0.0.0:1\nproviders:\n  x: {kind: openai-compatible, base_url: http://127.0.0.1:9/v1}\nmodels: {m: x/m}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SLUICE_KEY", "")
	t.Setenv("SLUICE_LISTEN", "")
	for _, c := range []struct {
		listen, want string
		args         []string
	}{
		{"", "http://127.0.0.1:1/v1", []string{"-c", file}},
		{"127.0.0.1:2", "http://127.0.0.1:2/v1", []string{"-c", file}},
		{"127.0.0.1:2", "http://127.0.0.1:3/v1", []string{"-c", file, "--url", "127.0.0.1:3/v1"}},
	} {
		t.Setenv("SLUICE_LISTEN", c.listen)
		_, out, errs := sluice(t, append([]string{"connect", "open-webui", "--model", "m"}, c.args...)...)
		if !strings.Contains(out, "OPENAI_API_BASE_URL="+c.want+"\n") {
			t.Errorf("listen %q, %v:\n%s%s", c.listen, c.args, out, errs)
		}
	}
}
