package provider

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
)

func TestVendors(t *testing.T) {
	want := []string{
		"openai", "azure", "anthropic", "gemini", "vertex", "bedrock", "cohere", "voyage", "jina", "groq", "deepseek", "mistral", "xai", "openrouter", "perplexity", "ollama", "llamacpp", "lmstudio", "vllm", "sglang",
		"together", "fireworks", "cerebras", "sambanova", "nvidia", "deepinfra", "moonshot", "zai", "alibaba", "huggingface", "github", "vercel",
		"cloudflare", "databricks", "venice", "avian", "crusoe", "doubleword", "writer", "snowflake", "copilot", "bedrock-mantle", "gpustack", "mistralrs", "openai-compatible",
	}
	var got []string
	env := map[string]string{}
	for _, v := range Vendors() {
		got = append(got, v.Name)
		if row, ok := VendorByName(v.Name); !ok || row.Title != v.Title {
			t.Errorf("VendorByName(%q) = %v, %v", v.Name, row, ok)
		}
		if v.Title == "" || !strings.HasPrefix(v.Docs, "https://") {
			t.Errorf("%s: title = %q, docs = %q", v.Name, v.Title, v.Docs)
		}
		if v.BaseURL != "" {
			if u, err := url.Parse(v.BaseURL); err != nil || u.Host == "" || !strings.HasSuffix(v.BaseURL, v.Version) {
				t.Errorf("%s: base URL %q, %v", v.Name, v.BaseURL, err)
			}
		}
		for _, name := range append(slices.Clone(v.KeyEnv), v.HostEnv) {
			if other, taken := env[name]; taken && name != "" {
				t.Errorf("%s: %s is also %s's", v.Name, name, other)
			}
			env[name] = v.Name
		}
		if v.NeedsKey() && len(v.KeyEnv) == 0 {
			t.Errorf("%s: needs a key, but has no variable for it", v.Name)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("vendors = %v, want %v", got, want)
	}
	if v, ok := VendorByName("none"); ok {
		t.Errorf("VendorByName(none) = %v", v)
	}
}

func TestURL(t *testing.T) {
	const chat, completion, embedding = llm.OpChat, llm.OpCompletion, llm.OpEmbedding
	tests := []struct {
		vendor, base string
		op           llm.Op
		model, want  string
	}{
		{"openai", "", chat, "m", "https://api.openai.com/v1/chat/completions"},
		{"openai", "", completion, "m", "https://api.openai.com/v1/completions"},
		{"openai", "", embedding, "m", "https://api.openai.com/v1/embeddings"},
		{"openai", "http://127.0.0.1:9001", chat, "m", "http://127.0.0.1:9001/v1/chat/completions"},
		{"openai", "http://127.0.0.1:9001/", chat, "m", "http://127.0.0.1:9001/v1/chat/completions"},
		{"openai", "http://127.0.0.1:9001/v1", chat, "m", "http://127.0.0.1:9001/v1/chat/completions"},
		{"openai", "http://127.0.0.1:9001/v1//", chat, "m", "http://127.0.0.1:9001/v1/chat/completions"},
		{"openai", "https://proxy.example/openai", chat, "m", "https://proxy.example/openai/v1/chat/completions"},
		{"openai", "https://proxy.example/v1/openai?key=1", chat, "m", "https://proxy.example/v1/openai/chat/completions?key=1"},
		{"openai", "https://v1.example", chat, "m", "https://v1.example/v1/chat/completions"},
		{"groq", "https://api.groq.com", chat, "m", "https://api.groq.com/openai/v1/chat/completions"},
		{"groq", "https://api.groq.com/openai", chat, "m", "https://api.groq.com/openai/v1/chat/completions"},
		{"groq", "https://api.groq.com/openai/v1/", chat, "m", "https://api.groq.com/openai/v1/chat/completions"},
		{"groq", "http://127.0.0.1:9001/v1", chat, "m", "http://127.0.0.1:9001/v1/chat/completions"},
		{"openrouter", "https://openrouter.ai/api", embedding, "m", "https://openrouter.ai/api/v1/embeddings"},
		{"deepseek", "", chat, "m", "https://api.deepseek.com/chat/completions"},
		{"deepseek", "https://api.deepseek.com/v1", chat, "m", "https://api.deepseek.com/v1/chat/completions"},
		{"deepseek", "https://api.deepseek.com/v1", completion, "m", "https://api.deepseek.com/beta/completions"},
		{"deepseek", "http://127.0.0.1:9001/v1", completion, "m", "http://127.0.0.1:9001/v1/completions"},
		{"perplexity", "", chat, "m", "https://api.perplexity.ai/chat/completions"},
		{"perplexity", "https://api.perplexity.ai/v1", chat, "m", "https://api.perplexity.ai/chat/completions"},
		{"perplexity", "https://api.perplexity.ai/v1", embedding, "m", "https://api.perplexity.ai/v1/embeddings"},
		{"ollama", "", chat, "m", "http://127.0.0.1:11434/v1/chat/completions"},
		{"ollama", "http://10.0.0.1:11434", embedding, "m", "http://10.0.0.1:11434/v1/embeddings"},
		{"llamacpp", "", completion, "m", "http://127.0.0.1:8080/v1/completions"},
		{"fireworks", "https://api.fireworks.ai", chat, "m", "https://api.fireworks.ai/inference/v1/chat/completions"},
		{"deepinfra", "", embedding, "m", "https://api.deepinfra.com/v1/openai/embeddings"},
		{"zai", "", chat, "m", "https://api.z.ai/api/paas/v4/chat/completions"},
		{"github", "", chat, "m", "https://models.github.ai/inference/chat/completions"},
		{"cloudflare", "https://api.cloudflare.com/client/v4/accounts/a/ai/v1", chat, "m", "https://api.cloudflare.com/client/v4/accounts/a/ai/v1/chat/completions"},
		{"databricks", "https://w.cloud.databricks.com/serving-endpoints", chat, "m", "https://w.cloud.databricks.com/serving-endpoints/chat/completions"},
		{"databricks", "https://w.cloud.databricks.com", chat, "m", "https://w.cloud.databricks.com/serving-endpoints/chat/completions"},
		{"openai-compatible", "http://127.0.0.1:9001", chat, "m", "http://127.0.0.1:9001/v1/chat/completions"},
		{"openai-compatible", "http://127.0.0.1:9001/v1", chat, "m", "http://127.0.0.1:9001/v1/chat/completions"},
		{"openai-compatible", "https://h.example/inference/", chat, "m", "https://h.example/inference/chat/completions"},
		{"openai-compatible", "https://h.example/api/paas/v4", chat, "m", "https://h.example/api/paas/v4/chat/completions"},
		{"azure", "https://r.openai.azure.com", chat, "gpt-4o", "https://r.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"},
		{"azure", "https://r.openai.azure.com/openai/", embedding, "e", "https://r.openai.azure.com/openai/deployments/e/embeddings?api-version=2024-10-21"},
		{"azure", "https://r.openai.azure.com/openai/deployments", completion, "c", "https://r.openai.azure.com/openai/deployments/c/completions?api-version=2024-10-21"},
		{"azure", "https://r.openai.azure.com/openai/deployments/x/", chat, "m", "https://r.openai.azure.com/openai/deployments/x/chat/completions?api-version=2024-10-21"},
		{"azure", "https://r.openai.azure.com?api-version=2025-01-01-preview", chat, "m", "https://r.openai.azure.com/openai/deployments/m/chat/completions?api-version=2025-01-01-preview"},
		{"azure", "https://r.openai.azure.com/?a=b", chat, "m", "https://r.openai.azure.com/openai/deployments/m/chat/completions?a=b&api-version=2024-10-21"},
		{"azure", "https://r.openai.azure.com/?a=b&api-version=x", chat, "m", "https://r.openai.azure.com/openai/deployments/m/chat/completions?a=b&api-version=x"},
		{"azure", "https://r.openai.azure.com", chat, "a/b?c", "https://r.openai.azure.com/openai/deployments/a%2Fb%3Fc/chat/completions?api-version=2024-10-21"},
		{"azure", "https://r.openai.azure.com/openai/v1/", chat, "m", "https://r.openai.azure.com/openai/v1/chat/completions"},
		{"azure", "https://r.services.ai.azure.com/models", chat, "m", "https://r.services.ai.azure.com/models/chat/completions?api-version=2024-05-01-preview"},
	}
	for _, tt := range tests {
		v, ok := VendorByName(tt.vendor)
		if !ok {
			t.Fatalf("no vendor %s", tt.vendor)
		}
		if got := v.URL(tt.base, route{proto: llm.ProtoOpenAI, op: tt.op}, tt.model); got != tt.want {
			t.Errorf("%s.URL(%q, %v, %q) = %s, want %s", tt.vendor, tt.base, tt.op, tt.model, got, tt.want)
		}
	}
}

func TestFromEnv(t *testing.T) {
	tests := []struct {
		vendor    string
		env       map[string]string
		base, key string
		ok        bool
	}{
		{"openai", nil, "", "", false},
		{"openai", map[string]string{"OPENAI_API_KEY": " k "}, "", "k", true},
		{"openai", map[string]string{"OPENAI_API_KEY": " "}, "", "", false},
		{"perplexity", map[string]string{"PPLX_API_KEY": "b"}, "", "b", true},
		{"perplexity", map[string]string{"PERPLEXITY_API_KEY": "a", "PPLX_API_KEY": "b"}, "", "a", true},
		{"azure", map[string]string{"AZURE_OPENAI_API_KEY": "k"}, "", "", false},
		{"azure", map[string]string{"AZURE_OPENAI_ENDPOINT": "https://r"}, "", "", false},
		{"azure", map[string]string{"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://r/"}, "https://r/", "k", true},
		{"azure", map[string]string{"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://r/", "OPENAI_API_VERSION": "v"}, "https://r?api-version=v", "k", true},
		{"azure", map[string]string{"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://r/openai/v1/", "OPENAI_API_VERSION": "v"}, "https://r/openai/v1/", "k", true},
		{"ollama", nil, "", "", false},
		{"ollama", map[string]string{"OLLAMA_API_KEY": "k"}, "", "", false},
		{"ollama", map[string]string{"OLLAMA_HOST": "0.0.0.0:11434"}, "http://127.0.0.1:11434", "", true},
		{"ollama", map[string]string{"OLLAMA_HOST": "https://ollama.com", "OLLAMA_API_KEY": "k"}, "https://ollama.com", "k", true},
		{"cloudflare", map[string]string{"CLOUDFLARE_API_TOKEN": "k", "CLOUDFLARE_ACCOUNT_ID": "a"}, "https://api.cloudflare.com/client/v4/accounts/a/ai/v1", "k", true},
		{"databricks", map[string]string{"DATABRICKS_TOKEN": "k", "DATABRICKS_HOST": "w.cloud.databricks.com"}, "https://w.cloud.databricks.com/serving-endpoints", "k", true},
		{"vllm", map[string]string{"VLLM_HOST": "http://box:8000"}, "http://box:8000", "", true},
		{"llamacpp", map[string]string{"": "x"}, "", "", false},
		{"openai-compatible", map[string]string{"": "x"}, "", "", false},
	}
	for _, tt := range tests {
		v, _ := VendorByName(tt.vendor)
		base, key, ok := v.FromEnv(func(name string) string { return tt.env[name] })
		if base != tt.base || key != tt.key || ok != tt.ok {
			t.Errorf("%s with %v = %q, %q, %v, want %q, %q, %v", tt.vendor, tt.env, base, key, ok, tt.base, tt.key, tt.ok)
		}
	}
}

func TestOllamaHost(t *testing.T) {
	for value, want := range map[string]string{
		"127.0.0.1":              "http://127.0.0.1:11434",
		"box":                    "http://box:11434",
		"box:8000":               "http://box:8000",
		":8000":                  "http://127.0.0.1:8000",
		"0.0.0.0":                "http://127.0.0.1:11434",
		"http://0.0.0.0:1234":    "http://127.0.0.1:1234",
		"[::]:11434":             "http://[::1]:11434",
		"::1":                    "http://[::1]:11434",
		"[2001:db8::1]":          "http://[2001:db8::1]:11434",
		"http://box":             "http://box",
		"https://box/":           "https://box",
		"https://box:8443/a/b/":  "https://box:8443/a/b",
		"box/a":                  "http://box:11434/a",
		`"box"`:                  "http://box:11434",
		" http://box:11434/v1/ ": "http://box:11434/v1",
	} {
		if got := ollamaHost(value, nil); got != want {
			t.Errorf("ollamaHost(%q) = %s, want %s", value, got, want)
		}
	}
}

func TestAuthorize(t *testing.T) {
	tests := []struct {
		vendor, key, header, want string
	}{
		{"openai", "k", "Authorization", "Bearer k"},
		{"azure", "k", "Api-Key", "k"},
		{"azure", "k", "Authorization", ""},
		{"ollama", "", "Authorization", ""},
		{"ollama", "k", "Authorization", "Bearer k"},
	}
	for _, tt := range tests {
		v, _ := VendorByName(tt.vendor)
		h := http.Header{}
		v.Authorize(h, tt.key)
		if got := h.Get(tt.header); got != tt.want {
			t.Errorf("%s: %s = %q, want %q", tt.vendor, tt.header, got, tt.want)
		}
	}
}

// TestRecordedURLs makes the URL of every recorded call again from its host.
func TestRecordedURLs(t *testing.T) {
	root := os.Getenv("SLUICE_DATA")
	if root == "" {
		t.Skip("SLUICE_DATA is not set: URLs are not compared with recorded ones")
	}
	ops := map[string]llm.Op{"chat": llm.OpChat, "completions": llm.OpCompletion, "embeddings": llm.OpEmbedding, "rerank": llm.OpRerank}
	seen := map[string]int{}
	for _, v := range Vendors() {
		proto := v.Speaks("")[0]
		if v.Name == "ollama" {
			proto = llm.ProtoOpenAI
		}
		if proto != llm.ProtoOpenAI && proto != llm.ProtoCohere {
			continue
		}
		for api, op := range ops {
			files, err := filepath.Glob(filepath.Join(root, "wire", recordedAs(v.Name), api, "*", "headers.json"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				var x struct{ Method, URL string }
				raw, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				if err := json.Unmarshal(raw, &x); err != nil {
					t.Fatalf("%s: %v", filepath.Base(filepath.Dir(f)), err)
				}
				u, err := url.Parse(x.URL)
				if err != nil || x.Method != http.MethodPost || u.Host == "" || !sameAPI(v.Name, u) {
					continue
				}
				seen[v.Name]++
				base, model := recordedBase(v.Name, u)
				if got := v.URL(base, route{proto: proto, op: op}, model); got != x.URL {
					t.Errorf("%s: URL(%q) = %s, want %s", v.Name, base, got, x.URL)
				}
			}
		}
	}
	for _, v := range Vendors() {
		answers, err := filepath.Glob(filepath.Join(root, "wire", recordedAs(v.Name), "*", "*", "response.*"))
		if err != nil {
			t.Fatal(err)
		}
		if proven := seen[v.Name] > 0 || len(answers) > 0; proven == v.Untested && v.Name != "openai-compatible" {
			t.Errorf("%s: recorded calls %v, marked untested %v", v.Name, proven, v.Untested)
		}
	}
}

// recordedAs is the vendor's name in the recordings.
func recordedAs(vendor string) string {
	if vendor == "vercel" {
		return "vercel-gateway"
	}
	return vendor
}

// sameAPI leaves out calls to other APIs of the vendor, or recorded without
// what URL needs.
func sameAPI(vendor string, u *url.URL) bool {
	switch {
	case strings.HasPrefix(u.Path, "/api/") && vendor == "ollama", // its native protocol
		strings.HasPrefix(u.Path, "/v1/") && vendor == "cohere": // its older one
		return false
	case vendor == "azure" && strings.Contains(u.Path, "/deployments/"):
		return u.Query().Has("api-version")
	case strings.Contains(u.Path, "/audio/"), strings.Contains(u.Path, "/organization/"):
		return false
	}
	return true
}

func recordedBase(vendor string, u *url.URL) (base, model string) {
	base = u.Scheme + "://" + u.Host
	switch {
	case vendor == "azure" && strings.Contains(u.Path, "/deployments/"):
		_, rest, _ := strings.Cut(u.Path, "/deployments/")
		model, _, _ = strings.Cut(rest, "/")
		return base + "?" + u.RawQuery, model
	case vendor == "azure" && strings.HasPrefix(u.Path, "/openai/v1/"):
		return base + "/openai/v1", ""
	case vendor == "azure":
		return base + "/models", ""
	case vendor == "zai", vendor == "huggingface": // other paths than the row's own
		path, _, _ := strings.Cut(u.Path, "/chat/")
		return base + path, ""
	case vendor == "deepseek" && !strings.HasPrefix(u.Path, "/chat/"):
		seg, _, _ := strings.Cut(u.Path[1:], "/")
		return base + "/" + seg, ""
	}
	return base, ""
}
