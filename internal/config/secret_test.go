package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// secrets is a file with the canary wherever a secret may stand.
const secrets = `
admin: {key: "${SECRET}-0"}
providers:
  a: {api_key: "${SECRET}-1", headers: {x-a: "${SECRET}-2"}}
  b: {api_keys: ["${SECRET}-3", "${SECRET}-4"]}
keys: [{name: k, key: "${SECRET}-5"}]
`

func TestSecretsAreNeverPrinted(t *testing.T) {
	c, err := Parse("sluice.yaml", []byte(secrets), env)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Providers[0].APIKeys[0].Reveal(), canary+"-1"; got != want {
		t.Fatalf("Reveal: got %q, want %q", got, want)
	}
	var log bytes.Buffer
	l := slog.New(slog.NewJSONHandler(&log, nil))
	l.Info("x", "config", c, "admin", c.Admin, "key", c.Admin.Key, "keys", c.Keys, "headers", c.Providers[0].Headers)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "config", c, "key", c.Admin.Key, "keys", c.Keys)
	whole, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	outputs := map[string]string{"slog": log.String(), "json": string(whole)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		outputs[verb] = fmt.Sprintf(verb, c)
		outputs[verb+" value"] = fmt.Sprintf(verb, *c)
		outputs[verb+" key"] = fmt.Sprintf(verb, c.Admin.Key)
		outputs[verb+" keys"] = fmt.Sprintf(verb, c.Keys)
		outputs[verb+" headers"] = fmt.Sprintf(verb, c.Providers[0].Headers)
		outputs[verb+" pointer"] = fmt.Sprintf(verb, &c.Providers[1])
	}
	hex := fmt.Sprintf("%x", canary)
	for how, out := range outputs {
		if strings.Contains(out, canary) || strings.Contains(strings.ToLower(out), hex) {
			t.Errorf("%s shows the secret:\n%s", how, out)
		}
	}
	if got := fmt.Sprintf("%v %+v %#v %s", c.Admin.Key, c.Admin.Key, c.Admin.Key, c.Admin.Key); got != "*** *** *** ***" {
		t.Errorf("got %q, want four times ***", got)
	}
}
