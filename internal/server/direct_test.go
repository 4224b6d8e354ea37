package server

import "testing"

func TestTame(t *testing.T) {
	for path, want := range map[string]bool{
		"/v1/models": true, "/": true, "/a//b": true, "/v1/files/file..1": true, "/a%2Fb": true, "/models/org%2Fmodel:embed": true, "/a.b": true, "/100%25": true,
		"/..": false, "/v1/../x": false, "/.": false, "/%2e%2e/x": false, "/a%2f..%2fb": false, "/a/..%2fb": false, "/%252e%252e/x": false,
		"/a%5c..%5cb": false, "/..;x/b": false, "/%2e%2E%3bx": false, "/a%00b": false, "/a%0d%0aHost:%20x": false, "/%25252525252e": false,
	} {
		if got := tame(path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

func TestModelNamed(t *testing.T) {
	for path, want := range map[string]string{
		"/v1/chat/completions": "", "/v1beta/models/gemini-pro:generateContent": "gemini-pro", "/v1/models/org%2Fm": "org/m",
		"/model/anthropic.claude-v2:1/converse": "anthropic.claude-v2:1", "/openai/deployments/gpt/chat/completions": "gpt", "/v1/models": "", "/v1/models/": "",
	} {
		if got := modelIn(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	for body, want := range map[string]string{
		`{"model":"a","x":{"model":"b"}}`: "a", `{"model":"a","model":"b"}`: "", `{"model":"a","Model":"b"}`: "", `{"MODEL":"a"}`: "", `{"model":1}`: "",
		`{"model":"a","models":["b"]}`: "", `{}`: "", `[]`: "", ``: "", `{"mod\u0065l":"a"}`: "a",
	} {
		if got := bodyModel([]byte(body)); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

func FuzzTame(f *testing.F) {
	f.Add("/a%252f..%252fb")
	f.Fuzz(func(t *testing.T, path string) {
		_, _ = tame(path), modelIn(path)
		_ = bodyModel([]byte(path))
	})
}
