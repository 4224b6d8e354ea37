package server

import "testing"

func TestOrderPath(t *testing.T) {
	for path, want := range map[string]string{
		"/admin/v1/targets/openai/gpt-4o/drain":       "openai/gpt-4o",
		"/admin/v1/targets/groq/meta/llama-3/undrain": "groq/meta/llama-3",
		"/admin/v1/targets/a/drain/reset":             "a/drain",
		"/admin/v1/targets/drain":                     "",
		"/admin/v1/targets//drain":                    "",
		"/admin/v1/targets/a/b":                       "",
		"/admin/v1/targets/a/b/Drain":                 "",
		"/admin/v1/targets/a/b/drain/":                "",
		"/admin/v1/targets":                           "",
		"/v1/admin/v1/targets/a/b/drain":              "",
	} {
		if _, id, ok := order(path); id != want || ok != (want != "") {
			t.Errorf("%s: got %q, %v, want %q", path, id, ok, want)
		}
	}
}
