package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// asks are requests of clients.
var asks = []struct {
	name  string
	proto llm.Proto
	op    llm.Op
	body  string
}{
	{"one text", llm.ProtoOpenAI, llm.OpEmbedding, `{"model":"m","input":"a \"b\" é"}`},
	{"texts with all that OpenAI has", llm.ProtoOpenAI, llm.OpEmbedding, `{"model":"m","input":["a","b"],"encoding_format":"base64","dimensions":256,"user":"u"}`},
	{"one array of tokens", llm.ProtoOpenAI, llm.OpEmbedding, `{"model":"m","input":[1,2,3]}`},
	{"arrays of tokens", llm.ProtoOpenAI, llm.OpEmbedding, `{"model":"m","input":[[1,2],[3]]}`},
	{"as Voyage's client asks", llm.ProtoOpenAI, llm.OpEmbedding, `{"encoding_format":"base64","input":["a"],"input_type":"query","model":"m","output_dimension":256,"output_dtype":null,"truncation":false}`},
	{"as Jina's client asks", llm.ProtoOpenAI, llm.OpEmbedding, `{"model":"m","input":[{"text":"a"}],"task":"text-matching","late_chunking":true}`},
	{"another encoding", llm.ProtoOpenAI, llm.OpEmbedding, `{"model":"m","input":["a"],"encoding_format":"int8"}`},
	{"one content", llm.ProtoGemini, llm.OpEmbedding, `{"model":"models/m","content":{"parts":[{"text":"a"},{"text":"b"}]},"taskType":"RETRIEVAL_DOCUMENT","title":"T","outputDimensionality":256}`},
	{"one content, newer", llm.ProtoGemini, llm.OpEmbedding, `{"content":{"parts":{"text":"a"}},"embed_content_config":{"task_type":8,"auto_truncate":true,"document_ocr":true}}`},
	{"a picture", llm.ProtoGemini, llm.OpEmbedding, `{"content":{"parts":[{"text":"a"},{"inlineData":{"mimeType":"image/png","data":"AA=="}}]}}`},
	{"contents", llm.ProtoGemini, llm.OpEmbeddingBatch, `{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}],"role":"user"},"output_dimensionality":256},{"model":"models/m","content":{"parts":[{"text":"b"}]},"outputDimensionality":"256"}]}`},
	{"contents with tasks of their own", llm.ProtoGemini, llm.OpEmbeddingBatch, `{"requests":[{"content":{"parts":[{"text":"a"}]},"taskType":"CLUSTERING"},{"content":{"parts":[{"text":"b"}]}}]}`},
}

// targets are models of vendors.
var targets = []struct {
	proto llm.Proto
	wire.Target
}{
	{llm.ProtoOpenAI, wire.Target{Model: "text-embedding-3-small", Dialect: "openai"}},
	{llm.ProtoOpenAI, wire.Target{Model: "voyage-4", Dialect: "voyage"}},
	{llm.ProtoOpenAI, wire.Target{Model: "jina-embeddings-v3", Dialect: "jina"}},
	{llm.ProtoOpenAI, wire.Target{Model: "codestral-embed", Dialect: "mistral"}},
	{llm.ProtoGemini, wire.Target{Model: "gemini-embedding-001", Dialect: "gemini"}},
	{llm.ProtoGemini, wire.Target{Model: "text-embedding-005", Dialect: "vertex"}},
	{llm.ProtoGemini, wire.Target{Model: "gemini-embedding-2", Dialect: "vertex"}},
	{llm.ProtoCohere, wire.Target{Model: "embed-v4.0", Dialect: "cohere"}},
	{llm.ProtoCohere, wire.Target{Model: "embed-english-v3.0", Dialect: "cohere"}},
	{llm.ProtoOllama, wire.Target{Model: "nomic-embed-text", Dialect: "ollama"}},
	{llm.ProtoBedrock, wire.Target{Model: "amazon.titan-embed-text-v2:0", Dialect: "bedrock"}},
	{llm.ProtoBedrock, wire.Target{Model: "amazon.titan-embed-text-v1", Dialect: "bedrock"}},
	{llm.ProtoBedrock, wire.Target{Model: "amazon.titan-embed-image-v1", Dialect: "bedrock"}},
	{llm.ProtoBedrock, wire.Target{Model: "amazon.nova-2-multimodal-embeddings-v1:0", Dialect: "bedrock"}},
	{llm.ProtoBedrock, wire.Target{Model: "us.cohere.embed-v4:0", Dialect: "bedrock"}},
	{llm.ProtoBedrock, wire.Target{Model: "anthropic.claude-sonnet-4-5", Dialect: "bedrock"}},
}

// Every request of a client in every vendor's words: what is sent, what is lost
// and what is refused.
func TestEmbedCalls(t *testing.T) {
	var out bytes.Buffer
	for _, a := range asks {
		fmt.Fprintf(&out, "== %s\n%s\n", a.name, a.body)
		e, bad := Of(a.proto).Embed(a.op, []byte(a.body))
		if bad != nil {
			t.Fatalf("%s: %v", a.name, bad)
		}
		for _, to := range targets {
			p := Of(to.proto)
			fmt.Fprintf(&out, "-- %s %s\n", to.Dialect, to.Model)
			most := p.EmbedMost(to.Target)
			if most == 0 {
				most = len(e.Inputs)
			}
			call, bad := p.EmbedCall(e.Part(0, min(most, len(e.Inputs))), to.Target)
			if bad != nil {
				fmt.Fprintf(&out, "refused: %s\n", bad.Message)
				continue
			}
			if !json.Valid(call.Body) {
				t.Errorf("%s to %s: %s", a.name, to.Model, call.Body)
			}
			fmt.Fprintf(&out, "%s\n", call.Body)
			if len(call.Lossy) > 0 {
				fmt.Fprintf(&out, "lost: %s\n", strings.Join(call.Lossy, ", "))
			}
		}
	}
	recorded.Golden(t, "embed_calls.txt", out.Bytes())
}

func TestEmbedRefused(t *testing.T) {
	for _, c := range []struct {
		proto       llm.Proto
		op          llm.Op
		body, param string
	}{
		{llm.ProtoOpenAI, llm.OpEmbedding, `{"model":"m"}`, "input"},
		{llm.ProtoOpenAI, llm.OpEmbedding, `{"input":[]}`, "input"},
		{llm.ProtoOpenAI, llm.OpEmbedding, `{"input":5}`, "input"},
		{llm.ProtoOpenAI, llm.OpEmbedding, `{"input":["a",1]}`, "input"},
		{llm.ProtoOpenAI, llm.OpEmbedding, `{"input":[[]]}`, "input"},
		{llm.ProtoOpenAI, llm.OpEmbedding, `{"input":[{"image":"x"}]}`, "input"},
		{llm.ProtoOpenAI, llm.OpEmbedding, `{"input":"a","dimensions":"x"}`, "dimensions"},
		{llm.ProtoOpenAI, llm.OpEmbedding, `{"input":"a","dimensions":-1}`, "dimensions"},
		{llm.ProtoGemini, llm.OpEmbedding, `{}`, "content"},
		{llm.ProtoGemini, llm.OpEmbedding, `{"content":{"parts":[]}}`, "content"},
		{llm.ProtoGemini, llm.OpEmbedding, `{"content":{"parts":[{"text":"a"}]},"outputDimensionality":-1}`, "outputDimensionality"},
		{llm.ProtoGemini, llm.OpEmbeddingBatch, `{"content":{"parts":[{"text":"a"}]}}`, "requests"},
		{llm.ProtoGemini, llm.OpEmbeddingBatch, `{"requests":[{"content":{"parts":[{"text":"a"}]}},{}]}`, "requests[1].content"},
	} {
		if e, bad := Of(c.proto).Embed(c.op, []byte(c.body)); bad == nil || bad.Kind != llm.KindInvalidRequest || bad.Param != c.param {
			t.Errorf("%s: %+v, %v", c.body, e, bad)
		}
	}
}

// An answer in each client's words, in each form that it may want.
func TestEmbedAnswers(t *testing.T) {
	r := &llm.EmbedReply{Model: "m\"", Vectors: [][]float32{{0.1, -2, 1e-7, 3e10, math.MaxFloat32}, {0}}, Usage: &llm.Usage{Input: 7}}
	for _, c := range []struct {
		proto llm.Proto
		req   llm.Request
		want  string
	}{
		{llm.ProtoOpenAI, llm.Request{Op: llm.OpEmbedding, Vectors: llm.VectorsNumbers},
			`{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1,-2,1e-07,3e+10,3.4028235e+38]},{"object":"embedding","index":1,"embedding":[0]}],"model":"m\"","usage":{"prompt_tokens":7,"total_tokens":7}}`},
		{llm.ProtoOpenAI, llm.Request{Op: llm.OpEmbedding, Vectors: llm.VectorsBase64},
			`{"object":"list","data":[{"object":"embedding","index":0,"embedding":"zczMPQAAAMCVv9YzdoTfUP//f38="},{"object":"embedding","index":1,"embedding":"AAAAAA=="}],"model":"m\"","usage":{"prompt_tokens":7,"total_tokens":7}}`},
		{llm.ProtoGemini, llm.Request{Op: llm.OpEmbeddingBatch},
			`{"embeddings":[{"values":[0.1,-2,1e-07,3e+10,3.4028235e+38]},{"values":[0]}],"usageMetadata":{"promptTokenCount":7}}`},
		{llm.ProtoGemini, llm.Request{Op: llm.OpEmbedding},
			`{"embedding":{"values":[0.1,-2,1e-07,3e+10,3.4028235e+38]},"usageMetadata":{"promptTokenCount":7}}`},
	} {
		p := Of(c.proto)
		got := p.AppendEmbed(nil, &c.req, r)
		if string(got) != c.want {
			t.Errorf("%v: got %s, want %s", c.proto, got, c.want)
		}
		back, bad := p.ParseEmbed(wire.Target{}, nil, got)
		if bad != nil || c.req.Op == llm.OpEmbeddingBatch && !slices.EqualFunc(back.Vectors, r.Vectors, slices.Equal) || !slices.Equal(back.Vectors[0], r.Vectors[0]) || back.Usage.Input != 7 {
			t.Errorf("%s came back as %+v, %v", got, back, bad)
		}
	}
}

// Answers of vendors, with what they say of the count.
func TestParseEmbed(t *testing.T) {
	counted := http.Header{"X-Amzn-Bedrock-Input-Token-Count": {"9"}}
	for _, c := range []struct {
		proto  llm.Proto
		t      wire.Target
		h      http.Header
		body   string
		tokens int64 // -1: not counted
	}{
		{llm.ProtoOpenAI, wire.Target{}, nil, `{"data":[{"index":1,"embedding":[2]},{"index":0,"embedding":[1,-1]}],"usage":{"prompt_tokens":5}}`, 5},
		{llm.ProtoOpenAI, wire.Target{}, nil, `{"data":[{"embedding":[1,-1]},{"embedding":"AAAAQA=="}],"usage":{"total_tokens":5}}`, 5},
		{llm.ProtoOpenAI, wire.Target{Dialect: "perplexity"}, nil, `{"data":[{"embedding":"Af8="},{"embedding":"Ag=="}]}`, -1},
		{llm.ProtoGemini, wire.Target{}, nil, `{"embeddings":[{"values":[1,-1]},{"values":[2]}]}`, -1},
		{llm.ProtoGemini, wire.Target{}, nil, `{"predictions":[{"embeddings":{"values":[1,-1],"statistics":{"token_count":2}}},{"embeddings":{"values":[2],"statistics":{"token_count":1}}}]}`, 3},
		{llm.ProtoCohere, wire.Target{}, nil, `{"embeddings":{"float":[[1,-1],[2]]},"meta":{"billed_units":{"input_tokens":4}}}`, 4},
		{llm.ProtoCohere, wire.Target{}, nil, `{"embeddings":[[1,-1],[2]]}`, -1},
		{llm.ProtoOllama, wire.Target{}, nil, `{"model":"m","embeddings":[[1,-1],[2]],"prompt_eval_count":4}`, 4},
		{llm.ProtoBedrock, wire.Target{}, counted, `{"embeddings":{"float":[[1,-1],[2]]}}`, 9},
		{llm.ProtoBedrock, wire.Target{}, counted, `{"embeddings":[{"embeddingType":"TEXT","embedding":[1,-1]},{"embedding":[2]}]}`, 9},
	} {
		r, bad := Of(c.proto).ParseEmbed(c.t, c.h, []byte(c.body))
		if bad != nil || len(r.Vectors) != 2 || !slices.Equal(r.Vectors[0], []float32{1, -1}) || !slices.Equal(r.Vectors[1], []float32{2}) {
			t.Errorf("%s: %+v, %v", c.body, r, bad)
			continue
		}
		if tokens := count(r); tokens != c.tokens {
			t.Errorf("%s: %d tokens, want %d", c.body, tokens, c.tokens)
		}
	}
	for _, c := range []struct {
		proto llm.Proto
		body  string
		kind  llm.Kind
	}{
		{llm.ProtoOpenAI, `{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}`, llm.KindUpstream},
		{llm.ProtoOpenAI, `{"data":[{"index":7,"embedding":[1]}]}`, llm.KindUpstream},
		{llm.ProtoOpenAI, `{"data":[{"embedding":["x"]}]}`, llm.KindUpstream},
		{llm.ProtoOpenAI, `{"data":[{"embedding":"AAAAfw==f"}]}`, llm.KindUpstream},
		{llm.ProtoOpenAI, `{"data":[{"embedding":"AADAfw=="}]}`, llm.KindUpstream}, // NaN
		{llm.ProtoOpenAI, `{"data":[{"embedding":[1e99]}]}`, llm.KindUpstream},
		{llm.ProtoOpenAI, `{"error":{"code":429}}`, llm.KindRateLimited},
		{llm.ProtoGemini, `{"error":{"code":429}}`, llm.KindRateLimited},
		{llm.ProtoGemini, `{}`, llm.KindUpstream},
		{llm.ProtoCohere, `{"embeddings":{"int8":[[1]]}}`, llm.KindUpstream},
		{llm.ProtoOllama, `{}`, llm.KindUpstream},
		{llm.ProtoBedrock, `{}`, llm.KindUpstream},
	} {
		if r, bad := Of(c.proto).ParseEmbed(wire.Target{}, nil, []byte(c.body)); bad == nil || bad.Kind != c.kind {
			t.Errorf("%s: %+v, %v", c.body, r, bad)
		}
	}
}

// count is what the vendor counted, -1 for nothing.
func count(r *llm.EmbedReply) int64 {
	if r.Usage == nil || r.Usage.Estimated {
		return -1
	}
	return r.Usage.Input
}

// exchange is a recorded exchange with its answer's header.
type exchange struct {
	recorded.Exchange
	header http.Header
}

// exchanges returns those of some APIs.
func exchanges(t *testing.T, apis ...string) (out []exchange) {
	t.Helper()
	for _, x := range recorded.Exchanges(t, func(x *recorded.Exchange) bool { return slices.Contains(apis, x.API) }) {
		var h struct {
			Headers map[string]string `json:"response_headers"`
		}
		e := exchange{x, http.Header{}}
		if raw, err := os.ReadFile(filepath.Join(os.Getenv("SLUICE_DATA"), "wire", x.Case, "headers.json")); err == nil && json.Unmarshal(raw, &h) == nil {
			for k, v := range h.Headers {
				e.header.Set(k, v)
			}
		}
		out = append(out, e)
	}
	return out
}

// protoOf is the protocol of a recorded exchange.
func protoOf(x *exchange) llm.Proto {
	switch x.Provider {
	case "gemini", "vertex":
		return llm.ProtoGemini
	case "cohere":
		return llm.ProtoCohere
	case "bedrock":
		return llm.ProtoBedrock
	case "ollama":
		if scan.Get(x.Answer, "data") == nil {
			return llm.ProtoOllama
		}
	}
	return llm.ProtoOpenAI
}

// Every recorded answer with vectors is read, and is the same in every client's
// words; every recorded request of a client is understood.
func TestRecordedVectors(t *testing.T) {
	seen, requests := 0, 0
	for _, x := range exchanges(t, "embeddings", "batchEmbedContents", "predict", "invoke") {
		proto := protoOf(&x)
		if x.API == "invoke" && !strings.Contains(x.Model, "embed") || x.Status != http.StatusOK ||
			x.Case == "openai/embeddings/rubyopenai-usage-embeddings-0" { // the account's usage, not vectors
			continue
		}
		seen++
		p := Of(proto)
		to := wire.Target{Model: x.Model, Dialect: x.Provider}
		r, bad := p.ParseEmbed(to, x.header, x.Answer)
		if bad != nil || len(r.Vectors) == 0 || len(r.Vectors[0]) == 0 {
			t.Errorf("%s: %v", x.Case, bad)
			continue
		}
		for _, c := range []struct {
			proto llm.Proto
			req   llm.Request
		}{
			{llm.ProtoOpenAI, llm.Request{Op: llm.OpEmbedding, Vectors: llm.VectorsNumbers}},
			{llm.ProtoOpenAI, llm.Request{Op: llm.OpEmbedding, Vectors: llm.VectorsBase64}},
			{llm.ProtoGemini, llm.Request{Op: llm.OpEmbeddingBatch}},
		} {
			body := Of(c.proto).AppendEmbed(nil, &c.req, r)
			again, bad := Of(c.proto).ParseEmbed(wire.Target{}, nil, body)
			if bad != nil || !slices.EqualFunc(again.Vectors, r.Vectors, slices.Equal) {
				t.Errorf("%s: differs in the words of %v: %v", x.Case, c.proto, bad)
			}
		}
		client, op := Of(proto), llm.OpEmbedding
		if scan.Get(x.Body, "requests") != nil {
			op = llm.OpEmbeddingBatch
		}
		if client.Embed == nil || x.Body == nil || x.API == "predict" {
			continue
		}
		requests++
		e, bad := client.Embed(op, x.Body)
		if bad != nil || len(e.Inputs) != len(r.Vectors) {
			t.Errorf("%s: the request was read as %+v, %v", x.Case, e, bad)
			continue
		}
		call, bad := p.EmbedCall(e, to)
		if bad != nil && bad.Kind != llm.KindUnsupported {
			t.Errorf("%s: %v", x.Case, bad)
		} else if bad == nil {
			if again, bad := client.Embed(llm.OpEmbeddingBatch, call.Body); bad != nil || !slices.EqualFunc(again.Inputs, e.Inputs, func(a, b llm.Input) bool { return a.Text == b.Text }) {
				t.Errorf("%s: the request became %s, %v", x.Case, call.Body, bad)
			}
		}
	}
	t.Logf("%d answers, %d requests", seen, requests)
	if seen < 55 || requests < 25 {
		t.Errorf("too few: %d answers, %d requests", seen, requests)
	}
}

// Whatever a client sends: no panic, and what is understood can be written for
// every vendor or is refused.
func FuzzEmbed(f *testing.F) {
	for _, a := range asks {
		f.Add([]byte(a.body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, a := range [...]struct {
			proto llm.Proto
			op    llm.Op
		}{{llm.ProtoOpenAI, llm.OpEmbedding}, {llm.ProtoGemini, llm.OpEmbedding}, {llm.ProtoGemini, llm.OpEmbeddingBatch}} {
			e, bad := Of(a.proto).Embed(a.op, body)
			if bad != nil {
				continue
			}
			if len(e.Inputs) == 0 || e.Len() > 4*len(body) {
				t.Fatalf("%s became %d inputs of %d bytes", body, len(e.Inputs), e.Len())
			}
			for _, to := range targets {
				if call, bad := Of(to.proto).EmbedCall(e, to.Target); bad == nil && !scan.Valid(call.Body) {
					t.Fatalf("%s became %s", body, call.Body)
				}
			}
		}
	})
}

// Whatever a vendor sends: no panic, no more values than bytes, and what is
// understood can be told.
func FuzzParseEmbed(f *testing.F) {
	for _, s := range []string{`{"data":[{"index":1,"embedding":[2]},{"index":0,"embedding":"AACAPw=="}],"usage":{"prompt_tokens":5}}`, `{"embedding":[1]}`,
		`{"embeddings":[{"values":[1,-1]}]}`, `{"predictions":[{"embeddings":{"values":[1],"statistics":{"token_count":2}}}]}`, `{"embeddings":{"float":[[1]]}}`,
		`{"embeddings":[[1]],"prompt_eval_count":4}`, `{"embeddings":[{"embedding":[1]}]}`, `{"error":{"code":429}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if !scan.Valid(body) {
			return
		}
		for _, proto := range [...]llm.Proto{llm.ProtoOpenAI, llm.ProtoGemini, llm.ProtoCohere, llm.ProtoOllama, llm.ProtoBedrock} {
			r, bad := Of(proto).ParseEmbed(wire.Target{Dialect: "perplexity"}, nil, body)
			if bad != nil {
				continue
			}
			values := 0
			for _, v := range r.Vectors {
				values += len(v)
			}
			if values > len(body) || r.Usage != nil && !r.Usage.Valid() {
				t.Fatalf("%v: %s became %d values, %+v", proto, body, values, r.Usage)
			}
			if out := Of(llm.ProtoGemini).AppendEmbed(nil, &llm.Request{Op: llm.OpEmbeddingBatch}, r); !json.Valid(out) {
				t.Fatalf("%v: %s became %s", proto, body, out)
			}
		}
	})
}
