package provider

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

var update = flag.Bool("update", false, "rewrite golden files")

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// TestClassify has the shapes of vendors' error bodies; texts are our own
// words around the parts that matter.
func TestClassify(t *testing.T) {
	tests := []struct {
		name   string
		status int
		header http.Header
		body   string
		want   llm.Kind
		// of the answer to the caller
		code    int
		message string
	}{
		{"openai bad field", 400, nil, `{"error":{"message":"bad temperature","type":"invalid_request_error","param":"temperature","code":"decimal_above_max_value"}}`, llm.KindCaller, 400, "bad temperature"},
		{"openai unknown model", 404, nil, `{"error":{"message":"no such model","type":"invalid_request_error","param":null,"code":"model_not_found"}}`, llm.KindCaller, 404, "no such model"},
		{"openai context", 400, nil, `{"error":{"message":"too much","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`, llm.KindContextLength, 400, "too much"},
		{"openai key", 401, nil, `{"error":{"message":"Incorrect API key provided: sk-secret","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`, llm.KindCredential, 502, ""},
		{"openai quota", 429, nil, `{"error":{"message":"secret quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, llm.KindCredit, 502, ""},
		{"openai rate", 429, nil, `{"error":{"message":"Rate limit reached for m in organization org-secret. Please try again in 174ms. Visit","type":"tokens","code":"rate_limit_exceeded"}}`, llm.KindRateLimited, 429, ""},
		{"openai one request above the limit", 429, nil, `{"error":{"message":"Request too large for m in organization org-secret on tokens per min (TPM): Limit 1, Requested 2.","type":"tokens","code":"rate_limit_exceeded"}}`, llm.KindContextLength, 413, "the request is larger than the tokens a minute of the gateway's account at the vendor; shorten it"},
		{"openai server", 500, nil, `{"error":{"message":"sorry","type":"server_error","param":null,"code":null}}`, llm.KindUpstream, 502, ""},
		{"openai overloaded, no wait", 503, nil, `{"error":{"message":"overloaded"}}`, llm.KindUpstream, 502, ""},
		{"openai overloaded, wait", 503, http.Header{"Retry-After": {"3"}}, `{"error":{"message":"overloaded"}}`, llm.KindRateLimited, 429, ""},
		{"azure filter", 400, nil, `{"error":{"message":"filtered","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}`, llm.KindCaller, 400, "filtered"},
		{"azure filter by inner code", 403, nil, `{"error":{"message":"no","code":"x","innererror":{"code":"ResponsibleAIPolicyViolation"}}}`, llm.KindCaller, 400, "the vendor refused the content of the request by its policy; change it"},
		{"azure rate", 429, nil, `{"error":{"code":"RateLimitReached","message":"Please retry after 45 seconds."}}`, llm.KindRateLimited, 429, ""},
		{"azure key", 401, nil, `{"error":{"code":"401","message":"Access denied"}}`, llm.KindCredential, 502, ""},
		{"groq above the limit", 413, nil, `{"error":{"message":"Request too large for model m in organization org_secret on tokens per minute (TPM)","type":"tokens","code":"rate_limit_exceeded"}}`, llm.KindContextLength, 413, "the request is larger than the tokens a minute of the gateway's account at the vendor; shorten it"},
		{"groq flex", 498, nil, ``, llm.KindRateLimited, 429, ""},
		{"deepseek balance", 402, nil, `{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}`, llm.KindCredit, 502, ""},
		{"deepseek key", 401, nil, `{"error":{"message":"Authentication Fails","type":"authentication_error","param":null,"code":"invalid_request_error"}}`, llm.KindCredential, 502, ""},
		{"mistral model", 400, nil, `{"object":"error","message":"Invalid model: x","type":"invalid_model","param":null,"code":"1500","raw_status_code":400}`, llm.KindCaller, 400, "Invalid model: x"},
		{"mistral context", 400, nil, `{"object":"error","message":"Prompt contains 9 tokens, too large for model with 8 maximum context length","type":"invalid_request_message_too_long","code":"3051"}`, llm.KindContextLength, 400, "Prompt contains 9 tokens, too large for model with 8 maximum context length"},
		{"mistral key", 401, nil, `{"detail":"Invalid API Key"}`, llm.KindCredential, 502, ""},
		{"mistral field", 422, nil, `{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","x"]}]},"type":"invalid_request_error","code":null}`, llm.KindCaller, 422, `{"detail":[{"type":"extra_forbidden","loc":["body","x"]}]}`},
		{"xai key", 400, nil, `{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***et."}`, llm.KindCredential, 502, ""},
		{"xai credit", 403, nil, `{"code":"permission","error":"Your team secret has either used all available credits or reached its monthly spending limit."}`, llm.KindCredit, 502, ""},
		{"xai credit, other status", 429, nil, `{"code":"x","error":"Your team secret has either used all available credits or reached its monthly spending limit."}`, llm.KindCredit, 502, ""},
		{"xai context", 400, nil, `{"code":"x","error":"This model's maximum prompt length is 8 but the request contains 9 tokens."}`, llm.KindContextLength, 400, "This model's maximum prompt length is 8 but the request contains 9 tokens."},
		{"xai content", 403, nil, `{"code":"x","error":"Content violates usage guidelines. Team: secret"}`, llm.KindCaller, 400, "the vendor refused the content of the request by its policy; change it"},
		{"xai forbidden", 403, nil, `{"code":"x","error":"no access to secret"}`, llm.KindCredential, 502, ""},
		{"openrouter credit", 402, nil, `{"error":{"message":"requires more credits","code":402},"user_id":"user_secret"}`, llm.KindCredit, 502, ""},
		{"openrouter key limit", 403, nil, `{"error":{"message":"Key limit exceeded (total limit).","code":403}}`, llm.KindCredit, 502, ""},
		{"openrouter moderation", 403, nil, `{"error":{"message":"flagged","code":403,"metadata":{"reasons":["violence"],"flagged_input":"secret"}}}`, llm.KindCaller, 400, "the vendor refused the content of the request by its policy; change it"},
		{"openrouter model", 400, nil, `{"error":{"code":400,"message":"not a valid model ID"},"user_id":"user_secret"}`, llm.KindCaller, 400, "not a valid model ID"},
		{"openrouter nested context", 400, nil, `{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"error\":\"prompt is too long: 9 tokens\"}","provider_name":"x"}}}`, llm.KindContextLength, 400, "Provider returned error"},
		{"perplexity context", 400, nil, `{"error":{"message":"long","type":"too_many_prompt_tokens","code":400}}`, llm.KindContextLength, 400, "long"},
		{"ollama context", 400, nil, `{"error":{"message":"prompt too long; exceeded max context length by 5 tokens","type":"invalid_request_error","param":null,"code":null}}`, llm.KindContextLength, 400, "prompt too long; exceeded max context length by 5 tokens"},
		{"cohere context", 400, nil, `{"id":"i","message":"too many tokens: size limit exceeded by 5 tokens. Try using shorter or fewer inputs."}`, llm.KindContextLength, 400, "too many tokens: size limit exceeded by 5 tokens. Try using shorter or fewer inputs."},
		{"llamacpp context", 500, nil, `{"error":{"code":500,"message":"full","type":"exceed_context_size_error"}}`, llm.KindContextLength, 400, "full"},
		{"llamacpp loading", 503, nil, `{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}`, llm.KindUpstream, 502, ""},
		{"quota talked of in a caller's error", 400, nil, `{"error":{"message":"bad content: 'insufficient balance'","type":"invalid_request_error"}}`, llm.KindCaller, 400, "bad content: 'insufficient balance'"},
		{"body too large", 413, nil, `<html>413</html>`, llm.KindCaller, 413, "the vendor refused the request with status 413"},
		{"overloaded", 529, nil, ``, llm.KindRateLimited, 429, ""},
		{"timeout", 408, nil, ``, llm.KindUpstream, 502, ""},
		{"conflict", 409, nil, `{"error":{"message":"secret"}}`, llm.KindUpstream, 502, ""},
		{"too early", 425, nil, ``, llm.KindUpstream, 502, ""},
		{"proxy", 407, nil, ``, llm.KindUpstream, 502, ""},
		{"redirect", 302, nil, ``, llm.KindUpstream, 502, ""},
		{"gateway", 504, nil, `<html>secret</html>`, llm.KindUpstream, 502, ""},
		{"empty object", 400, nil, `{}`, llm.KindCaller, 400, "the vendor refused the request with status 400"},
		{"null error", 400, nil, `{"error":null}`, llm.KindCaller, 400, "the vendor refused the request with status 400"},
		{"odd types", 400, nil, `{"error":{"message":["a","b"],"type":7,"code":{"x":1},"param":[1],"metadata":"m","innererror":3}}`, llm.KindCaller, 400, `["a","b"]`},
		{"cut", 400, nil, `{"error":{"message":"x`, llm.KindCaller, 400, "the vendor refused the request with status 400"},
		{"list", 404, nil, `[{"error":{"message":"x"}}]`, llm.KindCaller, 404, "x"},
		{"huge", 400, nil, `{"error":{"message":"` + strings.Repeat("x", maxRaw) + `"}}`, llm.KindCaller, 400, "the vendor refused the request with status 400"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := []byte(tt.body)
			e := Classify(llm.ProtoOpenAI, tt.status, tt.header, body, noon)
			if e.Kind != tt.want {
				t.Fatalf("kind = %v, want %v", e.Kind, tt.want)
			}
			if got := e.HTTPStatus(); got != tt.code {
				t.Errorf("status for the client = %d, want %d", got, tt.code)
			}
			if tt.message != "" && e.Message != tt.message {
				t.Errorf("message = %q, want %q", e.Message, tt.message)
			}
			if s := e.Message + string(e.Raw); strings.Contains(s, "secret") {
				t.Errorf("the client is told of the operator's account: %q", s)
			}
			checkRaw(t, e)
			clear(body)
			checkRaw(t, e) // nothing of body is kept
		})
	}
}

// checkRaw wants OpenAI's envelope with a message, or nothing.
func checkRaw(t *testing.T, e *llm.Error) {
	t.Helper()
	if e.Raw == nil {
		if e.Proto != 0 {
			t.Errorf("proto = %v without a body", e.Proto)
		}
		return
	}
	if e.Proto != llm.ProtoOpenAI || len(e.Raw) > 2*maxRaw {
		t.Errorf("raw of %d bytes in %v, want at most %d in openai", len(e.Raw), e.Proto, 2*maxRaw)
	}
	if e.Kind != llm.KindCaller && e.Kind != llm.KindContextLength {
		t.Errorf("raw body with kind %v", e.Kind)
	}
	var w struct {
		Error struct{ Message *string }
	}
	if err := json.Unmarshal(e.Raw, &w); err != nil || w.Error.Message == nil {
		t.Errorf("raw = %s (%v), want an envelope with a message", e.Raw, err)
	}
}

func TestClassifyEnvelope(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"as it is", `{"error":{"code":400,"message":"m","type":"t","x":[1]}, "status":401}`, `{"error":{"code":400,"message":"m","type":"t","x":[1]}, "status":401}`},
		{"account left out", `{"user_id":"u","error":{"code":400,"message":"m"}}`, `{"error":{"code":400,"message":"m"}}`},
		{"mistral", `{"object":"error","message":"m","type":"invalid_model","param":"p","code":"1500"}`, `{"error":{"message":"m","type":"invalid_model","param":"p","code":"1500"}}`},
		{"xai", `{"code":"c","error":"m"}`, `{"error":{"message":"m","type":"invalid_request_error","param":null,"code":"c"}}`},
		{"detail", `{"detail":"m"}`, `{"error":{"message":"m","type":"invalid_request_error","param":null,"code":null}}`},
		{"context", `{"error":{"code":400,"message":"This endpoint's maximum context length is 8 tokens.","type":"t"}}`, `{"error":{"message":"This endpoint's maximum context length is 8 tokens.","type":"invalid_request_error","param":null,"code":"context_length_exceeded"}}`},
		{"context, said so", `{"error":{"message":"m","code":"context_length_exceeded","x":1}}`, `{"error":{"message":"m","code":"context_length_exceeded","x":1}}`},
		{"nothing", `{}`, ``},
	}
	for _, tt := range tests {
		if got := Classify(llm.ProtoOpenAI, 400, nil, []byte(tt.body), noon).Raw; string(got) != tt.want {
			t.Errorf("%s: raw = %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestClassifyDetails(t *testing.T) {
	e := Classify(llm.ProtoOpenAI, 429, http.Header{"Retry-After": {"7"}, "X-Ratelimit-Reset-Requests": {"9s"}}, []byte(`{"error":{"message":"try again in 3s"}}`), noon)
	if e.RetryAfter != 7*time.Second {
		t.Errorf("wait = %v, want 7s", e.RetryAfter)
	}
	e = Classify(llm.ProtoOpenAI, 429, http.Header{"X-Ratelimit-Reset-Requests": {"9s"}}, []byte(`{"error":{"message":"try again in 3s"}}`), noon)
	if e.RetryAfter != 9*time.Second {
		t.Errorf("wait = %v, want 9s", e.RetryAfter)
	}
	for text, want := range map[string]time.Duration{
		"Please try again in 174ms. Visit": 174 * time.Millisecond, "please try again in 50.597142857s.": 50597142857,
		"Try again in 6m0s.": 6 * time.Minute, "Please retry after 45 seconds.": 45 * time.Second,
		"Please retry after 864000 seconds.": maxWait, "try again in a while": 0, "try again in -3s": 0,
		"retry after 3 minutes": 0, "retry after ": 0, "try again in ": 0,
	} {
		body, err := json.Marshal(map[string]string{"message": text})
		if err != nil {
			t.Fatal(err)
		}
		if got := Classify(llm.ProtoOpenAI, 429, nil, body, noon).RetryAfter; got != want {
			t.Errorf("%q: wait = %v, want %v", text, got, want)
		}
	}
	e = Classify(llm.ProtoOpenAI, 503, http.Header{"X-Ratelimit-Reset": {"9"}}, nil, noon)
	if e.Kind != llm.KindUpstream || e.RetryAfter != 0 {
		t.Errorf("503 with a rate limit header = %v, %v, want upstream_error, 0", e.Kind, e.RetryAfter)
	}
	e = Classify(llm.ProtoOpenAI, 400, nil, []byte(`{"error":{"message":"m","param":"top_p","code":"c"}}`), noon)
	if e.Param != "top_p" || e.Err == nil || e.Err.Error() != "vendor status 400, code c: m" {
		t.Errorf("param = %q, cause = %v, want top_p and the vendor's words", e.Param, e.Err)
	}
}

// openAIVendors are those of the recordings that speak OpenAI's protocol.
var openAIVendors = []string{
	"alibaba", "azure", "cerebras", "copilot", "deepseek", "doubleword", "gpustack", "groq", "huggingface", "llamacpp", "lmstudio",
	"mistral", "mistralrs", "moonshot", "ollama", "openai", "openrouter", "perplexity", "together", "venice", "xai", "zai",
}

// TestClassifyRecorded classifies every recorded and reported error answer
// and compares the summary with the golden file.
func TestClassifyRecorded(t *testing.T) {
	root := os.Getenv("SLUICE_DATA")
	if root == "" {
		t.Skip("SLUICE_DATA is not set: recorded errors are not classified")
	}
	dir := filepath.Join(root, "wire")
	count := map[string]int{}
	for _, x := range readLines[struct {
		Case, Provider, API, Response string
		Status                        int
	}](t, filepath.Join(dir, "index.jsonl")) {
		if x.Status < 300 || !slices.Contains(openAIVendors, x.Provider) {
			continue
		}
		body, err := os.ReadFile(filepath.Join(dir, x.Case, x.Response))
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		if raw, err := os.ReadFile(filepath.Join(dir, x.Case, "headers.json")); err == nil {
			h = responseHeader(t, raw)
		}
		count[summary(x.Provider, x.Status, h, body)]++
	}
	for _, x := range readLines[struct {
		Provider, Message string
		Status            int
		Headers           map[string]string
		Body              json.RawMessage
	}](t, filepath.Join(dir, "_reported_errors", "errors.jsonl")) {
		if x.Status < 300 || !slices.Contains(openAIVendors, x.Provider) {
			continue
		}
		if x.Message != "" {
			var err error
			if x.Body, err = json.Marshal(map[string]any{"error": map[string]string{"message": x.Message}}); err != nil {
				t.Fatal(err)
			}
		}
		h := http.Header{}
		for k, v := range x.Headers {
			h.Set(k, v)
		}
		count["reported "+summary(x.Provider, x.Status, h, x.Body)]++
	}
	var b strings.Builder
	for _, line := range slices.Sorted(mapKeys(count)) {
		fmt.Fprintf(&b, "%s ×%d\n", line, count[line])
	}
	golden(t, filepath.Join("testdata", "errors.golden"), b.String())
}

func summary(vendor string, status int, h http.Header, body []byte) string {
	d := readDetail(body)
	code := d.code
	if code == "" {
		code = d.kind
	}
	if code == "" {
		code = "-"
	}
	e := Classify(llm.ProtoOpenAI, status, h, body, noon)
	line := fmt.Sprintf("%s %d %s → %s", vendor, status, strings.ReplaceAll(code, " ", "_"), e.Kind)
	if e.RetryAfter > 0 {
		line += " after " + e.RetryAfter.String()
	}
	return line
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

func mapKeys(m map[string]int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func readLines[T any](t *testing.T, path string) []T {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("reading the data: %v", err)
	}
	var all []T
	for line := range strings.Lines(string(b)) {
		var x T
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			t.Fatal(err)
		}
		all = append(all, x)
	}
	return all
}

func responseHeader(t *testing.T, raw []byte) http.Header {
	t.Helper()
	var x struct {
		Headers map[string]string `json:"response_headers"`
	}
	if err := json.Unmarshal(raw, &x); err != nil {
		var mismatch *json.UnmarshalTypeError
		if !errors.As(err, &mismatch) {
			t.Fatal(err)
		}
	}
	h := http.Header{}
	for k, v := range x.Headers {
		h.Set(k, v)
	}
	return h
}

func FuzzClassify(f *testing.F) {
	f.Add(400, "", []byte(`{"error":{"message":"m","code":"context_length_exceeded"}}`))
	f.Add(429, "5", []byte(`{"message":"m","code":12}`))
	f.Add(403, "x", []byte(`{"error":"m","metadata":{"raw":{}}}`))
	f.Add(503, "1", []byte(`{"detail":[{"loc":[]}],"user_id":1,"error":{"message":null}}`))
	f.Add(0, "", []byte(`{"error":{"message":"\ud800"},"error":{"MESSAGE":"x"}}`))
	f.Fuzz(func(t *testing.T, status int, after string, body []byte) {
		e := Classify(llm.ProtoOpenAI, status, http.Header{"Retry-After": {after}}, body, noon)
		if e.Message == "" || len(e.Message) > maxMessage || len(e.Param) > maxCode || e.Err == nil {
			t.Errorf("message of %d bytes, param of %d, cause %v", len(e.Message), len(e.Param), e.Err)
		}
		if e.RetryAfter < 0 || e.RetryAfter > maxWait {
			t.Errorf("wait = %v, want 0 to 24h", e.RetryAfter)
		}
		if got := e.HTTPStatus(); got < 400 || got > 599 || got == 401 || got == 402 || got == 403 {
			t.Errorf("status for the client = %d", got)
		}
		checkRaw(t, e)
	})
}
