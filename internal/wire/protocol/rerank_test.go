package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

var rerankAsks = []string{
	`{"model":"m","query":"q","documents":["a \"b\"","c"]}`,
	`{"model":"m","query":"q","documents":[{"text":"a","n":1},{"title":"c"}],"top_n":1,"return_documents":true,"max_tokens_per_doc":512,"priority":3}`,
	`{"model":"m","query":"q","documents":[{"a":"x"}],"rank_fields":["a"]}`,
	`{"model":"m","query":"q","documents":["a"],"top_k":1}`,
}

var rerankers = []struct {
	proto llm.Proto
	model string
}{{llm.ProtoCohere, "rerank-v3.5"}, {llm.ProtoBedrock, "cohere.rerank-v3-5:0"}, {llm.ProtoBedrock, "amazon.rerank-v1:0"}, {llm.ProtoBedrock, "amazon.nova-lite-v1:0"}}

// Every request in every vendor's words.
func TestRerankCalls(t *testing.T) {
	var out bytes.Buffer
	for _, body := range rerankAsks {
		fmt.Fprintf(&out, "== %s\n", body)
		r, bad := Of(llm.ProtoOpenAI).Rerank([]byte(body))
		if bad != nil {
			t.Fatalf("%s: %v", body, bad)
		}
		for _, to := range rerankers {
			fmt.Fprintf(&out, "-- %v %s\n", to.proto, to.model)
			call, bad := Of(to.proto).RerankCall(r, wire.Target{Model: to.model})
			if bad != nil {
				fmt.Fprintf(&out, "refused: %s\n", bad.Message)
				continue
			}
			fmt.Fprintf(&out, "%s\n", call.Body)
			if len(call.Lossy) > 0 {
				fmt.Fprintf(&out, "lost: %s\n", strings.Join(call.Lossy, ", "))
			}
		}
	}
	recorded.Golden(t, "rerank_calls.txt", out.Bytes())
}

func TestRerankRefused(t *testing.T) {
	for body, param := range map[string]string{
		`{"documents":["a"]}`:                                     "query",
		`{"query":"q"}`:                                           "documents",
		`{"query":"q","documents":[]}`:                            "documents",
		`{"query":"q","documents":[1]}`:                           "documents",
		`{"query":"q","documents":"a"}`:                           "documents",
		`{"query":1,"documents":["a"]}`:                           "query",
		`{"query":"q","documents":["a"],"top_n":-1}`:              "top_n",
		`{"query":"q","documents":["a"],"top_n":"x"}`:             "top_n",
		`{"query":"q","documents":["a"],"max_tokens_per_doc":-1}`: "max_tokens_per_doc",
	} {
		if r, bad := Of(llm.ProtoOpenAI).Rerank([]byte(body)); bad == nil || bad.Kind != llm.KindInvalidRequest || bad.Param != param {
			t.Errorf("%s: %+v, %v", body, r, bad)
		}
	}
}

// passRerank is the answer of a vendor that speaks OpenAI's protocol, as its
// client sees it.
func passRerank(t testing.TB, ask string, answer []byte) (llm.Chunk, error) {
	t.Helper()
	req := &llm.Request{ID: "r1"}
	if bad := Of(llm.ProtoOpenAI).Decode(llm.OpRerank, &wire.Buffer{B: []byte(ask)}, req); bad != nil {
		t.Fatalf("%s: %v", ask, bad)
	}
	defer req.Body.Release()
	s, bad := Of(llm.ProtoOpenAI).Pass(req, &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		ContentLength: int64(len(answer)), Body: io.NopCloser(bytes.NewReader(answer))}, wire.VectorFloat32)
	if bad != nil {
		return llm.Chunk{}, bad
	}
	defer s.Close()
	c, err := s.Next()
	c.Raw = bytes.Clone(c.Raw)
	return c, err
}

// Answers of vendors that speak OpenAI's protocol come as Cohere's clients
// know them: as they are, or made so.
func TestRerankPassed(t *testing.T) {
	const (
		plain = `{"query":"q","documents":["a","b"]}`
		with  = `{"query":"q","documents":["a",{"text":"b","n":1}],"top_n":1,"return_documents":true}`
	)
	for _, c := range []struct {
		ask, answer, want string // "" for the bytes as they came
		usage             llm.Usage
	}{
		{plain, `{"model":"m","results":[{"index":1,"relevance_score":-0.5,"more":1}],"usage":{"prompt_tokens":5,"total_tokens":5}}`, "", llm.Usage{Input: 5}},
		{plain, `{"id":"x","results":[{"index":1,"relevance_score":0.5}],"meta":{"billed_units":{"search_units":2}}}`, "", llm.Usage{Searches: 2}},
		{plain, `{"results":[]}`, "", llm.Usage{Input: 9, Estimated: true}},
		{plain, `{"object":"list","data":[{"relevance_score":0.7,"index":0},{"relevance_score":0.1,"index":1}],"model":"rerank-2.5","usage":{"total_tokens":43}}`,
			`{"id":"r1","model":"rerank-2.5","results":[{"index":0,"relevance_score":0.7},{"index":1,"relevance_score":0.1}],"meta":{"api_version":{"version":"2"},"tokens":{"input_tokens":43}},"usage":{"total_tokens":43}}`,
			llm.Usage{Input: 43}},
		{plain, `[{"score":0.1,"document":"a","index":0},{"score":0.9,"document":"b","index":1}]`,
			`{"id":"r1","results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.1}],"meta":{"api_version":{"version":"2"}}}`, llm.Usage{Input: 9, Estimated: true}},
		{with, `{"id":"x","results":[{"index":0,"relevance_score":0.1},{"index":1,"relevance_score":0.9}],"meta":{"billed_units":{"search_units":1}}}`,
			`{"id":"x","results":[{"index":1,"relevance_score":0.9,"document":{"text":"b","n":1}}],"meta":{"api_version":{"version":"2"},"billed_units":{"search_units":1}}}`, llm.Usage{Searches: 1}},
		{with, `{"results":[{"index":1,"document":{"text":"b"},"relevance_score":0.9}],"usage":{"total_tokens":5}}`, "", llm.Usage{Input: 5}},
	} {
		got, err := passRerank(t, c.ask, []byte(c.answer))
		want := c.want
		if want == "" {
			want = c.answer
		}
		if err != nil || string(got.Raw) != want || got.Usage == nil || *got.Usage != c.usage {
			t.Errorf("%s: got %s, %+v, %v, want %s, %+v", c.answer, got.Raw, got.Usage, err, want, c.usage)
		}
	}
	for answer, kind := range map[string]llm.Kind{
		`{}`:                        llm.KindUpstream,
		`{"results":[{"index":0}]}`: llm.KindUpstream,
		`{"results":[{"index":-1,"relevance_score":1}]}`:         llm.KindUpstream,
		`{"data":[{"index":2,"relevance_score":1}]}`:             llm.KindUpstream,
		`{"data":[{"index":0,"score":1},{"index":0,"score":1}]}`: llm.KindUpstream,
		`{"error":{"code":429}}`:                                 llm.KindRateLimited,
	} {
		if got, err := passRerank(t, plain, []byte(answer)); err == nil || llm.AsError(err).Kind != kind {
			t.Errorf("%s: got %s, %v", answer, got.Raw, err)
		}
	}
}

// Every recorded reranking is read, and means the same in the client's words.
func TestRecordedRanks(t *testing.T) {
	seen := 0
	for _, x := range exchanges(t, "rerank") {
		if x.Status != http.StatusOK {
			continue
		}
		seen++
		ask := string(x.Body)
		if ask == "" { // recorded without: two documents
			ask = `{"model":"m","query":"q","documents":["a","b"]}`
		}
		want, err := wire.Ranks(x.Answer)
		if err != nil || len(want) == 0 {
			t.Errorf("%s: %v", x.Case, err)
			continue
		}
		asked, bad := Of(llm.ProtoOpenAI).Rerank([]byte(ask))
		if bad != nil {
			t.Errorf("%s: the request: %v", x.Case, bad)
			continue
		}
		var raw []byte
		var usage *llm.Usage
		if proto := protoOf(&x); proto == llm.ProtoOpenAI {
			c, err := passRerank(t, ask, x.Answer)
			if err != nil {
				t.Errorf("%s: %v", x.Case, err)
			}
			raw, usage = c.Raw, c.Usage
		} else {
			r, bad := Of(proto).ParseRerank(asked, x.header, x.Answer)
			if bad != nil || r.Complete(asked) != nil {
				t.Errorf("%s: %v", x.Case, bad)
				continue
			}
			raw, usage = Of(llm.ProtoOpenAI).AppendRerank(nil, &llm.Request{ID: "r"}, r), r.Usage
		}
		got, err := wire.Ranks(raw)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) || usage == nil || usage.Estimated || usage.Input+usage.Searches == 0 || scan.Get(raw, "results") == nil {
			t.Errorf("%s: became %s, %+v, %v", x.Case, raw, usage, err)
		}
	}
	if t.Logf("%d answers", seen); seen < 12 {
		t.Errorf("too few: %d", seen)
	}
}

// Whatever a client sends: no panic, and what is understood can be written.
func FuzzRerank(f *testing.F) {
	for _, s := range rerankAsks {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, bad := Of(llm.ProtoOpenAI).Rerank(body)
		if bad != nil {
			return
		}
		if len(r.Documents) == 0 || len(r.Documents) > len(body) {
			t.Fatalf("%s became %d documents", body, len(r.Documents))
		}
		for _, to := range rerankers {
			if call, bad := Of(to.proto).RerankCall(r, wire.Target{Model: to.model}); bad == nil && !scan.Valid(call.Body) {
				t.Fatalf("%s became %s", body, call.Body)
			}
		}
	})
}

// Whatever a vendor sends: no panic, and what is understood can be told.
func FuzzParseRerank(f *testing.F) {
	for _, s := range []string{`{"results":[{"index":1,"relevance_score":0.5,"document":{"text":"a"}}],"meta":{"billed_units":{"search_units":1}}}`,
		`{"data":[{"index":0,"relevance_score":1e9}],"usage":{"total_tokens":5}}`, `[{"score":0.1,"document":"a","index":0}]`, `{"error":{"code":429}}`} {
		f.Add([]byte(s))
	}
	const ask = `{"query":"q","documents":["a",{"text":"b"},{"x":1}],"return_documents":true}`
	f.Fuzz(func(t *testing.T, body []byte) {
		asked, _ := Of(llm.ProtoOpenAI).Rerank([]byte(ask))
		for _, proto := range [...]llm.Proto{llm.ProtoCohere, llm.ProtoBedrock} {
			if r, bad := Of(proto).ParseRerank(asked, nil, body); bad == nil && r.Complete(asked) == nil {
				if out := Of(llm.ProtoOpenAI).AppendRerank(nil, &llm.Request{}, r); !json.Valid(out) || len(r.Ranks) > 3 {
					t.Fatalf("%s became %s", body, out)
				}
			}
		}
		if c, err := passRerank(t, ask, body); err == nil && (c.Usage == nil || !c.Usage.Valid()) {
			t.Fatalf("%s: %+v", body, c.Usage)
		}
	})
}
