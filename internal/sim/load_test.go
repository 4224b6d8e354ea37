package sim

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestLoad(t *testing.T) {
	got, err := Load(strings.NewReader(`
seed: 42
speed: 10
keys: [sk-a]
any_model: true
default: {latency: 100ms}
models:
  gpt-4:
    latency: 800ms
    sigma: 0.2
    tokens_per_second: 50
    tokens: 40
    spread: 5
    cache: 5m
    errors: 0.05
    error_status: 502
    rpm: 60
    fault: {kind: status, share: 0.5, count: 2, status: 429, headers: {retry-after: "3", cache: "5"}}
  a/b.c: {}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Seed: 42, Speed: 10, Keys: []string{"sk-a"}, AnyModel: true, Control: true, Journal: 1000, Default: Model{Latency: 100 * time.Millisecond},
		Models: []Model{{Name: "a/b.c"}, {
			Name: "gpt-4", Latency: 800 * time.Millisecond, Sigma: 0.2, TokensPerSecond: 50, Tokens: 40, Spread: 5, Cache: 5 * time.Minute,
			Errors: 0.05, ErrorStatus: 502, RPM: 60,
			Fault: &Fault{Kind: FaultStatus, Share: 0.5, Count: 2, Status: 429, Headers: map[string]string{"retry-after": "3", "cache": "5"}},
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if c, err := Load(strings.NewReader("")); err != nil || !c.Control || c.Speed != 1 {
		t.Errorf("empty file: got %+v, %v", c, err)
	}
	if c, err := Load(strings.NewReader("control: false")); err != nil || c.Control {
		t.Errorf("control: false: got %+v, %v", c, err)
	}
}

func TestLoadErrors(t *testing.T) {
	for _, tc := range []struct{ file, want string }{
		{"seed: 1\nsped: 2\n", "2:1: unknown field \"sped\""},
		{"seed: 1\nseed: 2\n", "2:1: mapping key \"seed\" already defined at [1:1]"},
		{"models:\n  a: {latency: 1s}\n  a: {}\n", "3:3: mapping key \"a\" already defined"},
		{"models:\n  a: {latncy: 1s}\n", "2:7: unknown field \"latncy\""},
		{"models:\n  a: {latency: soon}\n", "2:16: latency: \"soon\" is no duration"},
		{"models:\n  a: {cache: 5}\n", "2:14: cache: \"5\" is no duration"},
		{"models:\n  a: {fault: {kind: cut, every: 1}}\n", "2:33: every: "},
		{"seed: 1\n---\nseed: 2\n", "3:1: a second document"},
		{"- a\n", "1:1: "},
		{"models:\n  a.b: {errors: 1.5}\n", "2:17: errors: 1.5 is out of range 0 to 1"},
		{"models:\n  a:\n    fault: {kind: explode}\n", "3:19: kind: \"explode\" is no fault"},
		{"models:\n  a:\n    fault: {kind: status}\n", "3:19: kind: status needs a status"},
		{"speed: -1\n", "1:8: speed: -1 is out of range 0.001 to 1e+06"},
		{"default: {rpm: -1}\n", "1:16: rpm: -1 is out of range"},
		{"models:\n  a:\n    moods: [{kind: sulk}]\n", "3:12: moods: \"sulk\" is no mood, write one of [refusal "},
		{"models:\n  a:\n    moods: [{kind: echo, share: 2}]\n", "3:12: moods: share: 2 is out of range"},
		{"models:\n  a:\n    outcomes: {model: b}\n", "3:15: outcomes: file: it names none"},
		{"models:\n  a:\n    outcomes: {file: b, price: {output: -1}}\n", "3:41: output: -1 is out of range"},
		{"models:\n  a:\n    answers: {file: no/such/file}\n", "3:14: answers: open no/such/file"},
		{"default: {answers: {file: a}}\n", "1:1"},
		{"seed: [\n", "1:"},
	} {
		if _, err := Load(strings.NewReader(tc.file)); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%q: got %v, want %s…", tc.file, err, tc.want)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("models: {a: {latency: 1s, fault: {kind: cut}}}")
	f.Add("seed: &x 1\nspeed: *x")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Load(strings.NewReader(text))
		if err != nil {
			return
		}
		if _, err := New(c); err != nil {
			t.Errorf("%q loads, but: %v", text, err)
		}
	})
}

func TestBuiltIn(t *testing.T) {
	for _, c := range []Config{Demo(1), Default()} {
		s, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
}

func TestControl(t *testing.T) {
	r := start(t, Config{Seed: 5, Control: true, Models: []Model{{Name: "org/m", Latency: time.Millisecond, Fault: &Fault{Kind: FaultStatus, Status: 500}}}})
	call := func() int {
		resp, _, err := r.post("/v1/chat/completions", strings.Replace(hello, `"m"`, `"org/m"`, 1))
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	type view struct {
		Seed   uint64
		Models []struct {
			Name     string
			Settings struct {
				Latency string
				Errors  float64
				Fault   *struct {
					Kind  string
					After int
				}
			}
			Calls, Errors uint64
		}
	}
	show := func() (v view) {
		_, body := r.get("/sim")
		if err := json.Unmarshal([]byte(body), &v); err != nil || len(v.Models) != 1 {
			t.Fatalf("got %s, %v", body, err)
		}
		return v
	}
	if got := call(); got != 500 {
		t.Errorf("got %d, want 500", got)
	}
	v := show()
	if m := v.Models[0]; v.Seed != 5 || m.Name != "org/m" || m.Settings.Latency != "1ms" || m.Settings.Fault.Kind != "status" || m.Calls != 1 || m.Errors != 1 {
		t.Errorf("got %+v", v)
	}
	for _, tc := range []struct {
		path, body string
		status     int
	}{
		{"/sim/models/org/m", `{"fault":{"kind":"cut","after":2},"latency":"2ms"}`, 200},
		{"/sim/models/org/m", `{"fault":{"after":2}}`, 400},
		{"/sim/models/org/m", `{"nothing":1}`, 400},
		{"/sim/models/org/m", `{"errors":7}`, 400},
		{"/sim/models/org/m", `latency: 1s`, 400},
		{"/sim/models/org/m", `{"latency":"1s` + strings.Repeat(" ", maxChange) + `"}`, 400},
		{"/sim/models/x", `{}`, 400},
	} {
		if resp, body, err := r.post(tc.path, tc.body); err != nil || resp.StatusCode != tc.status {
			t.Errorf("%s %.60s: got %v %s %v, want %d", tc.path, tc.body, resp, body, err, tc.status)
		}
	}
	if m := show().Models[0].Settings; m.Latency != "2ms" || m.Fault == nil || m.Fault.Kind != "cut" || m.Fault.After != 2 {
		t.Errorf("got %+v", m)
	}
	if resp, _, _ := r.post("/sim/models/org%2Fm", `{"fault":null}`); resp.StatusCode != http.StatusOK || call() != 200 {
		t.Errorf("the fault is still there: %+v", show())
	}
	if resp, _, _ := r.post("/sim/reset", "", "Sec-Fetch-Site", "cross-site"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a web page's reset: got %d, want 403", resp.StatusCode)
	}
	if _, body := r.get("/sim/journal"); strings.Count(body, `"model":"org/m"`) != 2 {
		t.Errorf("got journal %s", body)
	}
	if resp, _, _ := r.post("/sim/reset", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("got %d, want 200", resp.StatusCode)
	}
	if m := show().Models[0]; m.Calls != 0 || m.Settings.Fault != nil || m.Settings.Latency != "2ms" {
		t.Errorf("after reset got %+v", m)
	}
	off := start(t, Config{})
	if status, _ := off.get("/sim"); status != http.StatusNotFound {
		t.Errorf("switched off: got %d, want 404", status)
	}
}
