package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sluice runs a command in this process, as main does.
func sluice(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// Every example is a file that a newcomer may start from.
func TestExamples(t *testing.T) {
	for _, name := range []string{
		"OPENAI_API_KEY", "SLUICE_KEY", "GROQ_API_KEY", "OPENAI_KEY_A", "OPENAI_KEY_B", "AZURE_OPENAI_API_KEY", "OPENROUTER_API_KEY",
		"TEAM_A_KEY", "TEAM_B_KEY", "INFERENCE_KEY", "SLUICE_ADMIN_KEY", "MISTRAL_API_KEY", "DEEPSEEK_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY",
	} {
		t.Setenv(name, "a-value-that-is-long-enough-for-"+name)
	}
	cert, key := pair(t)
	t.Setenv("TLS_CERT", cert)
	t.Setenv("TLS_KEY", key)
	files, err := filepath.Glob(filepath.Join("..", "..", "examples", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, f := range files {
		if code, out, errs := sluice(t, "check", "-c", f); code != 0 || !strings.Contains(out, " is good: ") {
			t.Errorf("check -c %s: exit code %d\n%s%s", f, code, out, errs)
		}
	}
}

// pair writes a certificate and its key, and returns their files.
func pair(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("tls.crt", "CERTIFICATE", der), write("tls.key", "PRIVATE KEY", pkcs8)
}

// The configuration in the README is one that works.
func TestReadme(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "k1")
	t.Setenv("GROQ_API_KEY", "k2")
	t.Setenv("SLUICE_KEY", "client-key-0123456789")
	b, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "```yaml\n")
	text, _, end := strings.Cut(rest, "```")
	if !ok || !end {
		t.Fatal("README.md has no configuration")
	}
	f := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := sluice(t, "check", "-c", f); code != 0 {
		t.Errorf("check: exit code %d\n%s%s", code, out, errs)
	}
}

// Each command explains itself with an example that names it.
func TestHelp(t *testing.T) {
	for _, c := range []string{"serve", "demo", "sim", "check", "route", "explain", "usage", "providers", "version"} {
		code, out, errs := sluice(t, c, "-h")
		if code != 0 || errs != "" || !strings.Contains(out, "Example") || !strings.Contains(out, "sluice "+c) {
			t.Errorf("%s -h: exit code %d\n%s%s", c, code, out, errs)
		}
	}
}

// What is wrong is said with what to do; 2 is for wrong commands, 1 for all
// that failed.
func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("listen: 127.0.0.1:0\nproviders:\n  o: {kind: opnai, api_key: secret-value}\nmodls: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		say  []string
	}{
		{[]string{"frobnicate"}, 2, []string{"frobnicate", "sluice -h"}},
		{[]string{"serve", "--lisen", ":1"}, 2, []string{"--listen"}},
		{[]string{"usage", "--by", "colour", "--data", dir}, 1, nil},
		{[]string{"check", "-c", bad}, 1, []string{bad + ":4:1", "did you mean models?"}},
		{[]string{"check", "-c", filepath.Join(dir, "none.yaml")}, 1, []string{"none.yaml"}},
		{[]string{"serve", "-c", bad}, 1, []string{bad + ":4:1"}},
	} {
		code, out, errs := sluice(t, c.args...)
		if code != c.code {
			t.Errorf("%v: exit code %d, want %d\n%s%s", c.args, code, c.code, out, errs)
		}
		for _, s := range c.say {
			if !strings.Contains(errs, s) {
				t.Errorf("%v: got %q, want it to say %q", c.args, errs, s)
			}
		}
		if strings.Contains(errs, "secret-value") {
			t.Errorf("%v tells a secret: %q", c.args, errs)
		}
	}
}
