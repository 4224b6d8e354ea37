package provider

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

// asked is what a vendor was asked.
type asked struct{ path, body string }

// askVendor asks a vendor, which may be told what to speak ("openai as
// responses"), with the request of a client. It returns what came back and what
// the vendor was asked, in no order.
func askVendor(t *testing.T, vendor, model string, proto llm.Proto, op llm.Op, body string, strict bool, answer http.HandlerFunc) (llm.Chunk, *llm.Response, []asked, error) {
	t.Helper()
	var mu sync.Mutex
	var calls []asked
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		calls = append(calls, asked{r.URL.Path, string(b)})
		mu.Unlock()
		r.Body = io.NopCloser(strings.NewReader(string(b)))
		w.Header().Set("Content-Type", "application/json")
		answer(w, r)
	}))
	defer s.Close()
	vendor, protocolName, _ := strings.Cut(vendor, " as ")
	v, ok := VendorByName(vendor)
	if !ok {
		t.Fatalf("no vendor %s", vendor)
	}
	transports := &Transports{}
	defer transports.Close()
	speaks, _ := llm.ProtoByName(protocolName)
	acc, err := NewAccount(Settings{Name: "p", Vendor: v, BaseURL: s.URL, Protocol: speaks}, transports)
	if err != nil {
		t.Fatal(err)
	}
	do, err := acc.Line(Model{Name: model}, "key")
	if err != nil {
		t.Fatal(err)
	}
	req := &llm.Request{ID: "r", Header: http.Header{}, Strict: strict}
	if e := protocol.Of(proto).Decode(op, &wire.Buffer{B: []byte(body)}, req); e != nil {
		t.Fatal(e)
	}
	defer req.Body.Release()
	seen := func() []asked { // calls that were given up may still come in
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(calls)
	}
	resp, err := do(t.Context(), req)
	if err != nil {
		return llm.Chunk{}, nil, seen(), err
	}
	defer resp.Close()
	c, err := resp.Next()
	c.Raw = slices.Clone(c.Raw)
	return c, resp, seen(), err
}

// echo answers Titan's call with a vector that tells the text's length.
func echo(w http.ResponseWriter, r *http.Request) {
	var in struct{ InputText string }
	_ = json.NewDecoder(r.Body).Decode(&in)
	fmt.Fprintf(w, `{"embedding":[%d,0],"inputTextTokenCount":3}`, len(in.InputText))
}

// A vendor that takes one input at a time is asked for each, and the vectors
// come in the order of the inputs.
func TestEmbedParts(t *testing.T) {
	var texts []string
	for i := range 20 {
		texts = append(texts, strings.Repeat("x", i+1))
	}
	input, _ := json.Marshal(texts)
	c, resp, calls, err := askVendor(t, "bedrock", "amazon.titan-embed-text-v2:0", llm.ProtoOpenAI, llm.OpEmbedding, `{"model":"m","user":"u","input":`+string(input)+`}`, false, echo)
	if err != nil || len(calls) != 20 || calls[0].path != "/model/amazon.titan-embed-text-v2:0/invoke" {
		t.Fatalf("%v, %v", calls, err)
	}
	for i, v := range c.Embed.Vectors {
		if !slices.Equal(v, []float32{float32(i + 1), 0}) {
			t.Errorf("vector %d is %v", i, v)
		}
	}
	if len(c.Embed.Vectors) != 20 || c.Usage.Input != 60 || c.Usage.Estimated || c.Embed.Model != "amazon.titan-embed-text-v2:0" || c.Level != llm.LevelContent {
		t.Errorf("got %+v, %+v", c, c.Usage)
	}
	if lost := resp.Lossy(); !slices.Equal(lost, []string{"user"}) {
		t.Errorf("lost %v", lost)
	}
}

func TestEmbedErrors(t *testing.T) {
	many := `{"input":[` + strings.Repeat(`"a",`, maxParts) + `"a"]}`
	for _, c := range []struct {
		name, vendor, model, body, answer string
		strict                            bool
		kind                              llm.Kind
		calls                             int
	}{
		{"more inputs than calls", "bedrock", "amazon.titan-embed-text-v2:0", many, ``, false, llm.KindInvalidRequest, 0},
		{"fewer vectors than inputs", "cohere", "embed-v4.0", `{"input":["a","b"]}`, `{"embeddings":{"float":[[1]]}}`, false, llm.KindUpstream, 1},
		{"an empty vector", "cohere", "embed-v4.0", `{"input":["a"]}`, `{"embeddings":{"float":[[]]}}`, false, llm.KindUpstream, 1},
		{"vectors of another length", "cohere", "embed-v4.0", `{"input":["a"],"dimensions":2}`, `{"embeddings":{"float":[[1]]}}`, false, llm.KindUnsupported, 1},
		{"strict", "cohere", "embed-v4.0", `{"input":["a"],"user":"u"}`, ``, true, llm.KindUnsupported, 0},
		{"no JSON", "cohere", "embed-v4.0", `{"input":["a"]}`, `<`, false, llm.KindUpstream, 1},
		{"a vendor without vectors", "anthropic", "claude-haiku-4-5", `{"input":["a"]}`, ``, false, llm.KindUnsupported, 0},
		{"a body that is no request", "cohere", "embed-v4.0", `{"input":{}}`, ``, false, llm.KindInvalidRequest, 0},
	} {
		_, _, calls, err := askVendor(t, c.vendor, c.model, llm.ProtoOpenAI, llm.OpEmbedding, c.body, c.strict, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, c.answer) })
		if e := llm.AsError(err); err == nil || e.Kind != c.kind || len(calls) != c.calls {
			t.Errorf("%s: %v after %d calls", c.name, err, len(calls))
		}
	}
	// One part that fails ends all.
	_, _, _, err := askVendor(t, "bedrock", "amazon.titan-embed-text-v2:0", llm.ProtoOpenAI, llm.OpEmbedding, `{"input":["a","bb","c"]}`, false, func(w http.ResponseWriter, r *http.Request) {
		if b, _ := io.ReadAll(r.Body); strings.Contains(string(b), "bb") {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		io.WriteString(w, `{"embedding":[1]}`)
	})
	if e := llm.AsError(err); err == nil || e.Kind != llm.KindRateLimited {
		t.Errorf("one part failed: %v", err)
	}
}

// Where each vendor is asked, in whose words, and what reaches it as it came.
func TestEmbedPaths(t *testing.T) {
	const (
		one     = `{"content":{"parts":[{"text":"a"}]},"newThing":{"x":1}}`
		batch   = `{"requests":[{"model":"models/mine","content":{"parts":[{"text":"a"}]},"newThing":1}]}`
		openai  = `{"model":"mine","input":["a"],"newThing":1}`
		gemini  = `{"embedding":{"values":[1]},"embeddings":[{"values":[1]}]}`
		predict = `{"predictions":[{"embeddings":{"values":[1],"statistics":{"token_count":2}}}]}`
		list    = `{"data":[{"index":0,"embedding":[1]}],"usage":{"total_tokens":2}}`
	)
	for _, c := range []struct {
		vendor, model string
		proto         llm.Proto
		op            llm.Op
		body, answer  string
		path, sent    string
		passed        bool
	}{
		{"gemini", "m", llm.ProtoGemini, llm.OpEmbedding, one, gemini, "/v1beta/models/m:embedContent", one, true},
		{"gemini", "m", llm.ProtoGemini, llm.OpEmbeddingBatch, batch, gemini, "/v1beta/models/m:batchEmbedContents",
			`{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]},"newThing":1}]}`, true},
		{"gemini", "m", llm.ProtoOpenAI, llm.OpEmbedding, openai, gemini, "/v1beta/models/m:batchEmbedContents",
			`{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]}}]}`, false},
		{"vertex", "gemini-embedding-2", llm.ProtoGemini, llm.OpEmbedding, one, gemini, "/publishers/google/models/gemini-embedding-2:embedContent", one, true},
		{"vertex", "gemini-embedding-2", llm.ProtoGemini, llm.OpEmbeddingBatch, batch, gemini, "/publishers/google/models/gemini-embedding-2:embedContent",
			`{"content":{"parts":[{"text":"a"}]}}`, false},
		{"vertex", "text-embedding-005", llm.ProtoGemini, llm.OpEmbedding, one, predict, "/publishers/google/models/text-embedding-005:predict", `{"instances":[{"content":"a"}]}`, false},
		{"vertex", "text-embedding-005", llm.ProtoOpenAI, llm.OpEmbedding, openai, predict, "/publishers/google/models/text-embedding-005:predict", `{"instances":[{"content":"a"}]}`, false},
		{"openai", "m", llm.ProtoOpenAI, llm.OpEmbedding, openai, list, "/v1/embeddings", `{"model":"m","input":["a"],"newThing":1}`, true},
		{"openai", "m", llm.ProtoGemini, llm.OpEmbedding, one, list, "/v1/embeddings", `{"model":"m","input":["a"]}`, false},
		{"ollama", "m", llm.ProtoOpenAI, llm.OpEmbedding, openai, list, "/v1/embeddings", `{"model":"m","input":["a"],"newThing":1}`, true},
		{"ollama", "m", llm.ProtoGemini, llm.OpEmbedding, one, `{"embeddings":[[1]]}`, "/api/embed", `{"model":"m","input":["a"]}`, false},
		{"voyage", "m", llm.ProtoOpenAI, llm.OpEmbedding, openai, list, "/v1/embeddings", `{"model":"m","input":["a"],"newThing":1}`, true},
		{"jina", "m", llm.ProtoGemini, llm.OpEmbeddingBatch, batch, list, "/v1/embeddings", `{"model":"m","input":["a"]}`, false},
		{"cohere", "m", llm.ProtoGemini, llm.OpEmbedding, one, `{"embeddings":[[1]]}`, "/v2/embed",
			`{"model":"m","texts":["a"],"input_type":"search_document","embedding_types":["float"]}`, false},
	} {
		got, _, calls, err := askVendor(t, c.vendor, c.model, c.proto, c.op, c.body, false, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, c.answer) })
		if err != nil || len(calls) != 1 || calls[0].path != c.path || calls[0].body != c.sent {
			t.Errorf("%s %s: %v, %v, want %s %s", c.vendor, c.model, calls, err, c.path, c.sent)
			continue
		}
		if c.passed && string(got.Raw) != c.answer || !c.passed && (got.Embed == nil || got.Embed.Vectors[0][0] != 1) || got.Usage == nil || got.Usage.Input == 0 || got.Usage.Output != 0 {
			t.Errorf("%s %s: answer %s, %+v, %+v", c.vendor, c.model, got.Raw, got.Embed, got.Usage)
		}
	}
}

// A provider that is told to speak Responses still has what Responses has not,
// and chats in nothing else.
func TestSpeaks(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/embeddings") {
			io.WriteString(w, `{"data":[{"index":0,"embedding":[1]}],"usage":{"total_tokens":2}}`)
			return
		}
		io.WriteString(w, `{"id":"resp_1","object":"response","status":"completed","model":"m","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Hi"}]}]}`)
	}
	for _, c := range []struct {
		proto      llm.Proto
		op         llm.Op
		body, path string
	}{
		{llm.ProtoOpenAI, llm.OpEmbedding, `{"model":"m","input":"a"}`, "/v1/embeddings"},
		{llm.ProtoGemini, llm.OpEmbedding, `{"content":{"parts":[{"text":"a"}]}}`, "/v1/embeddings"},
		{llm.ProtoOpenAI, llm.OpChat, `{"model":"m","messages":[{"role":"user","content":"a"}]}`, "/v1/responses"},
	} {
		if _, _, calls, err := askVendor(t, "openai as responses", "m", c.proto, c.op, c.body, false, answer); err != nil || len(calls) != 1 || calls[0].path != c.path {
			t.Errorf("%v: %v, %v, want %s", c.op, calls, err, c.path)
		}
	}
}

// A vendor of vectors alone is not asked to chat.
func TestOnly(t *testing.T) {
	_, _, calls, err := askVendor(t, "voyage", "voyage-4", llm.ProtoOpenAI, llm.OpChat, `{"model":"m","messages":[{"role":"user","content":"a"}]}`, false, echo)
	if e := llm.AsError(err); err == nil || e.Kind != llm.KindUnsupported || !strings.Contains(e.Message, "cannot be asked for chat") || len(calls) != 0 {
		t.Errorf("%v after %d calls", err, len(calls))
	}
}

// Where each vendor is asked to rank, and what its answer becomes.
func TestRerank(t *testing.T) {
	const body = `{"model":"mine","query":"q","documents":["a",{"text":"b"}],"top_n":2,"newThing":1}`
	const cohere = `{"id":"x","results":[{"index":0,"relevance_score":0.1},{"index":1,"relevance_score":0.9}],"meta":{"billed_units":{"search_units":1}}}`
	for _, c := range []struct {
		vendor, model, answer, path, sent string
		passed                            bool
		usage                             llm.Usage
	}{
		{"cohere", "m", cohere, "/v2/rerank", `{"model":"m","query":"q","documents":["a","b"],"top_n":2}`, false, llm.Usage{Searches: 1}},
		{"bedrock", "cohere.rerank-v3-5:0", cohere, "/model/cohere.rerank-v3-5:0/invoke", `{"query":"q","documents":["a","b"],"top_n":2,"api_version":2}`, false, llm.Usage{Searches: 1, Estimated: true}},
		{"voyage", "m", `{"data":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.1}],"usage":{"total_tokens":7}}`, "/v1/rerank",
			`{"top_k":2,"model":"m","query":"q","documents":["a",{"text":"b"}],"newThing":1}`, true, llm.Usage{Input: 7}},
		{"jina", "m", cohere, "/v1/rerank", `{"model":"m","query":"q","documents":["a",{"text":"b"}],"top_n":2,"newThing":1}`, true, llm.Usage{Searches: 1}},
		{"vllm", "m", cohere, "/v1/rerank", `{"model":"m","query":"q","documents":["a",{"text":"b"}],"top_n":2,"newThing":1}`, true, llm.Usage{Searches: 1}},
	} {
		got, resp, calls, err := askVendor(t, c.vendor, c.model, llm.ProtoOpenAI, llm.OpRerank, body, false, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, c.answer) })
		if err != nil || len(calls) != 1 || calls[0].path != c.path || calls[0].body != c.sent || *got.Usage != c.usage {
			t.Errorf("%s: %v, %v, %+v, want %s %s", c.vendor, calls, err, got.Usage, c.path, c.sent)
			continue
		}
		if c.passed {
			if !strings.Contains(string(got.Raw), `"results":[{"index":`) {
				t.Errorf("%s: answer %s", c.vendor, got.Raw)
			}
			continue
		}
		if r := got.Rerank; r == nil || len(r.Ranks) != 2 || r.Ranks[0].Index != 1 || r.Ranks[0].Score != 0.9 || r.Model != c.model || r.Ranks[0].Document != nil {
			t.Errorf("%s: answer %+v", c.vendor, r)
		}
		if lost := resp.Lossy(); !slices.Equal(lost, []string{"newThing"}) {
			t.Errorf("%s: lost %v", c.vendor, lost)
		}
	}
	for answer, kind := range map[string]llm.Kind{
		`{}`: llm.KindUpstream, `{"results":[{"index":2,"relevance_score":1}]}`: llm.KindUpstream, `<`: llm.KindUpstream,
	} {
		_, _, _, err := askVendor(t, "cohere", "m", llm.ProtoOpenAI, llm.OpRerank, body, false, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) })
		if e := llm.AsError(err); err == nil || e.Kind != kind {
			t.Errorf("%s: %v", answer, err)
		}
	}
	for _, vendor := range []string{"anthropic", "gemini"} {
		_, _, calls, err := askVendor(t, vendor, "m", llm.ProtoOpenAI, llm.OpRerank, body, false, echo)
		if e := llm.AsError(err); err == nil || e.Kind != llm.KindUnsupported || len(calls) != 0 {
			t.Errorf("%s: %v after %d calls", vendor, err, len(calls))
		}
	}
}
