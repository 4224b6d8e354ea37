package blackbox

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"google.golang.org/genai"
)

// measured is a vendor of vectors in everybody's words: that of a text is its
// length and a half.
func measured(c *call) {
	var in struct {
		Input, Texts []string
		InputText    string
		Requests     []struct {
			Content struct{ Parts []struct{ Text string } }
		}
		Instances []struct{ Content string }
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		c.answer(400, `{"error":{"message":"no JSON"}}`)
		return
	}
	texts := append(in.Input, in.Texts...)
	for _, r := range in.Requests {
		texts = append(texts, r.Content.Parts[0].Text)
	}
	for _, r := range in.Instances {
		texts = append(texts, r.Content)
	}
	if in.InputText != "" {
		texts = []string{in.InputText}
	}
	vectors := make([]string, len(texts))
	for i, s := range texts {
		vectors[i] = fmt.Sprintf("[%d,0.5]", len(s))
	}
	each := func(format string) string {
		out := make([]string, len(vectors))
		for i, v := range vectors {
			out[i] = strings.NewReplacer("$v", v, "$i", strconv.Itoa(i)).Replace(format)
		}
		return "[" + strings.Join(out, ",") + "]"
	}
	switch {
	case strings.HasSuffix(c.path, "/v1/embeddings"):
		c.answer(200, `{"object":"list","data":`+each(`{"index":$i,"embedding":$v}`)+`,"model":"theirs","usage":{"total_tokens":7}}`)
	case strings.HasSuffix(c.path, "/v2/embed"):
		c.answer(200, `{"id":"x","embeddings":{"float":`+each("$v")+`},"meta":{"billed_units":{"input_tokens":7}}}`)
	case strings.HasSuffix(c.path, "/api/embed"):
		c.answer(200, `{"model":"theirs","embeddings":`+each("$v")+`,"prompt_eval_count":7}`)
	case strings.HasSuffix(c.path, ":batchEmbedContents"):
		c.answer(200, `{"embeddings":`+each(`{"values":$v}`)+`,"usageMetadata":{"promptTokenCount":7}}`)
	case strings.HasSuffix(c.path, ":embedContent"):
		c.answer(200, `{"embedding":{"values":[4,0.5]}}`)
	case strings.HasSuffix(c.path, "/invoke"):
		c.answer(200, `{"embedding":`+vectors[0]+`,"inputTextTokenCount":7}`)
	default:
		c.answer(404, `{"error":{"message":"no such path"}}`)
	}
}

// vectorGateway serves models of five vendors of vectors, by the vendors'
// names.
func vectorGateway(t *testing.T, script func(*call)) (*gateway, *vendor) {
	t.Helper()
	v := newVendor(t, script)
	at := "http://" + v.addr()
	return serve(t, fmt.Sprintf(`
providers:
  cohere: {kind: cohere, base_url: "%[1]s", api_key: vendor-key}
  voyage: {kind: voyage, base_url: "%[1]s", api_key: vendor-key}
  jina: {kind: jina, base_url: "%[1]s", api_key: vendor-key}
  ollama: {kind: ollama, base_url: "%[1]s"}
  gemini: {kind: gemini, base_url: "%[1]s", api_key: vendor-key}
  bedrock: {kind: bedrock, base_url: "%[1]s", api_key: vendor-key}
  local: {kind: openai-compatible, base_url: "%[1]s/v1"}
models:
  cohere: cohere/embed-v4.0
  cohere-old: cohere/embed-english-v3.0
  voyage: voyage/voyage-4
  ollama: ollama/nomic-embed-text
  gemini: gemini/gemini-embedding-001
  bedrock: bedrock/amazon.titan-embed-text-v2:0
  local: local/any
  rerank-cohere: cohere/rerank-v3.5
  rerank-voyage: voyage/rerank-2.5
  rerank-jina: jina/jina-reranker-v3
  rerank-bedrock: bedrock/cohere.rerank-v3-5:0
  rerank-local: local/bge-reranker
keys: [{name: sdk, key: "${KEY}"}]
`, at), withEnv("KEY="+keyOne)), v
}

// Each vendor of vectors behind OpenAI's and Google's own clients.
func TestVectors(t *testing.T) {
	t.Parallel()
	g, _ := vectorGateway(t, measured)
	ctx := t.Context()
	oa := openai.NewClient(option.WithBaseURL(g.url+"/v1"), option.WithAPIKey(keyOne), option.WithMaxRetries(0), option.WithHTTPClient(client))
	post := func(path, body string) *reply { return g.post(path, body, "Authorization", "Bearer "+keyOne) }
	gg, err := genai.NewClient(ctx, &genai.ClientConfig{APIKey: keyOne, Backend: genai.BackendGeminiAPI, HTTPClient: client, HTTPOptions: genai.HTTPOptions{BaseURL: g.url}})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{"cohere", "voyage", "ollama", "gemini", "bedrock", "local"} {
		t.Run(m, func(t *testing.T) {
			r, err := oa.Embeddings.New(ctx, openai.EmbeddingNewParams{Model: m, Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"a", "four"}}})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Data) != 2 || r.Data[1].Index != 1 || fmt.Sprint(r.Data[0].Embedding, r.Data[1].Embedding) != "[1 0.5] [4 0.5]" || r.Usage.TotalTokens == 0 || r.Model == "" {
				t.Errorf("openai-go: got %s", r.RawJSON())
			}
			c, err := gg.Models.EmbedContent(ctx, m, []*genai.Content{genai.NewContentFromText("a", "user"), genai.NewContentFromText("four", "user")},
				&genai.EmbedContentConfig{TaskType: "RETRIEVAL_QUERY"})
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Embeddings) != 2 || fmt.Sprint(c.Embeddings[0].Values, c.Embeddings[1].Values) != "[1 0.5] [4 0.5]" {
				t.Errorf("genai: got %+v", c)
			}
			// Base64 is what OpenAI's other clients ask for and decode unseen.
			raw := post("/v1/embeddings", `{"model":"`+m+`","input":["four"],"encoding_format":"base64"}`)
			var b struct{ Data []struct{ Embedding string } }
			if err := json.Unmarshal([]byte(raw.body), &b); raw.status != 200 || err != nil || len(b.Data) != 1 {
				t.Fatalf("base64: got %v, %v", raw, err)
			}
			bits, err := base64.StdEncoding.DecodeString(b.Data[0].Embedding)
			if err != nil || string(bits) != "\x00\x00\x80\x40\x00\x00\x00\x3f" {
				t.Errorf("base64: got %s", raw.body)
			}
			one := post("/v1beta/models/"+m+":embedContent", `{"content":{"parts":[{"text":"four"}]}}`)
			if one.status != 200 || !strings.HasPrefix(string(one.body), `{"embedding":{"values":[4,0.5]}`) {
				t.Errorf("embedContent: got %v", one)
			}
		})
	}
	// What a vendor cannot be told is named, or refused.
	r := post("/v1/embeddings", `{"model":"cohere","input":"a","user":"u"}`)
	if got := r.header.Get("X-Sluice-Lossy"); r.status != 200 || got != "user" {
		t.Errorf("lossy: got %q of %v", got, r)
	}
	for _, body := range []string{`{"model":"cohere-old","input":"a","dimensions":9}`, `{"model":"cohere","input":[1,2]}`, `{"model":"cohere","input":"a","encoding_format":"ubinary"}`,
		`{"model":"cohere","input":"a","dimensions":9}`} {
		if r := post("/v1/embeddings", body); r.status != 400 || r.code() != "unsupported_parameter" {
			t.Errorf("%s: got %v", body, r)
		}
	}
	if r := post("/v1/chat/completions", `{"model":"voyage","messages":[{"role":"user","content":"a"}]}`); r.status != 400 || r.code() != "unsupported_parameter" {
		t.Errorf("chat with a vendor of vectors: got %v", r)
	}
}

// Each vendor that ranks behind Cohere's contract, on every path that it has.
func TestRerank(t *testing.T) {
	t.Parallel()
	g, v := vectorGateway(t, func(c *call) {
		switch {
		case strings.HasSuffix(c.path, "/v2/rerank"):
			c.answer(200, `{"id":"x","results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.1}],"meta":{"billed_units":{"search_units":1}}}`)
		case strings.HasSuffix(c.path, "/invoke"):
			c.answer(200, `{"results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.1}]}`)
		case c.path == "/v1/rerank" && strings.Contains(string(c.body), "top_k"): // Voyage
			c.answer(200, `{"object":"list","data":[{"relevance_score":0.9,"index":1},{"relevance_score":0.1,"index":0}],"model":"rerank-2.5","usage":{"total_tokens":12}}`)
		case c.path == "/v1/rerank":
			c.answer(200, `{"model":"m","results":[{"index":1,"relevance_score":0.9,"document":{"text":"b"}},{"index":0,"relevance_score":0.1,"document":{"text":"a"}}],"usage":{"total_tokens":12}}`)
		default:
			c.answer(404, `{"error":{"message":"no such path"}}`)
		}
	})
	post := func(path, body string) *reply { return g.post(path, body, "Authorization", "Bearer "+keyOne) }
	type result struct {
		Results []struct {
			Index    int
			Score    float64 `json:"relevance_score"`
			Document *struct{ Text string }
		}
	}
	for _, m := range []string{"cohere", "voyage", "jina", "bedrock", "local"} {
		for _, path := range []string{"/v1/rerank", "/rerank", "/openai/v1/rerank", "/v2/rerank"} {
			r := post(path, `{"model":"rerank-`+m+`","query":"q","documents":["a","b"],"top_n":2,"return_documents":true}`)
			var got result
			if err := json.Unmarshal(r.body, &got); r.status != 200 || err != nil || len(got.Results) != 2 {
				t.Fatalf("%s %s: got %v, %v", m, path, r, err)
			}
			if first := got.Results[0]; first.Index != 1 || first.Score != 0.9 || first.Document == nil || first.Document.Text != "b" {
				t.Errorf("%s %s: got %v", m, path, r)
			}
			if got := r.header.Get("X-Sluice-Target"); !strings.HasPrefix(got, m+"/") {
				t.Errorf("%s: answered by %s", m, got)
			}
		}
	}
	// A search costs 2 USD a thousand at Cohere.
	if r := post("/v1/rerank", `{"model":"rerank-cohere","query":"q","documents":["a","b"]}`); r.header.Get("X-Sluice-Cost-Usd") != "0.002" {
		t.Errorf("cost: got %v", r)
	}
	calls := v.count()
	for _, body := range []string{`{"model":"rerank-cohere","query":"q","documents":["a"],"rank_fields":["t"]}`, `{"model":"gemini","query":"q","documents":["a"]}`} {
		if r := post("/v1/rerank", body); r.status != 400 || r.code() != "unsupported_parameter" {
			t.Errorf("%s: got %v", body, r)
		}
	}
	if v.count() != calls {
		t.Errorf("%d calls of what cannot be asked", v.count()-calls)
	}
}
