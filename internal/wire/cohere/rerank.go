package cohere

import (
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// rerankRequest is the body of /v2/rerank.
type rerankRequest struct {
	Model     string   `json:"model"`
	Query     string   `json:"query"`
	Documents []string `json:"documents"`
	TopN      int64    `json:"top_n,omitzero"`
	MaxTokens int64    `json:"max_tokens_per_doc,omitzero"`
}

// RerankCall writes the body of /v2/rerank. Objects go as their text, which is
// what version 1 of the API looked at; the answer repeats no documents.
func RerankCall(r *llm.Rerank, t wire.Target) (*wire.Call, *llm.Error) {
	call := &wire.Call{}
	if bad := call.Leave(r.Left); bad != nil {
		return nil, bad
	}
	in := rerankRequest{Model: t.Model, Query: r.Query, TopN: r.Top, MaxTokens: r.MaxTokens}
	for _, d := range r.Documents {
		in.Documents = append(in.Documents, d.Text)
	}
	var err error
	if call.Body, err = json.Marshal(&in, lenient); err != nil {
		return nil, &llm.Error{Kind: llm.KindInternal, Message: "the request could not be written for the vendor", Err: err}
	}
	return call, nil
}

// ParseRerank reads the answer of /v2/rerank, or of /v1/rerank.
func ParseRerank(_ *llm.Rerank, _ http.Header, body []byte) (*llm.RerankReply, *llm.Error) {
	ranks, err := wire.Ranks(body)
	if err != nil {
		return nil, wire.BadAnswer("reading a reranking: " + err.Error())
	}
	r := &llm.RerankReply{Ranks: ranks}
	r.ID, _ = scan.String(scan.Get(body, "id"))
	if u, ok := ParseUsage(scan.Get(body, "meta")); ok {
		r.Usage = &u
	}
	return r, nil
}
