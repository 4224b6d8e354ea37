package bedrock

import (
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// rerankRequest is the body of InvokeModel for Amazon's and Cohere's rerankers.
type rerankRequest struct {
	Query     string   `json:"query"`
	Documents []string `json:"documents"`
	TopN      int64    `json:"top_n,omitzero"`
	MaxTokens int64    `json:"max_tokens_per_doc,omitzero"` // Cohere's
	Version   int      `json:"api_version,omitzero"`        // of Cohere's API
}

// perSearch is how many documents are billed as one search (Amazon Bedrock's
// price list, by general knowledge: no recording shows it).
const perSearch = 100

// RerankCall writes the body of InvokeModel for a reranker.
func RerankCall(r *llm.Rerank, t wire.Target) (*wire.Call, *llm.Error) {
	call := &wire.Call{}
	if bad := call.Leave(r.Left); bad != nil {
		return nil, bad
	}
	in := rerankRequest{Query: r.Query, TopN: r.Top}
	switch {
	case strings.Contains(t.Model, "cohere.rerank"):
		in.MaxTokens, in.Version = r.MaxTokens, 2
	case strings.Contains(t.Model, "amazon.rerank"):
		if r.MaxTokens > 0 {
			call.Lose("max_tokens_per_doc")
		}
	default:
		return nil, wire.Unsupported("model", "the gateway knows no way to ask this model to rank documents; ask a reranker of Amazon's or Cohere's")
	}
	for _, d := range r.Documents {
		in.Documents = append(in.Documents, d.Text)
	}
	var err error
	if call.Body, err = json.Marshal(&in, lenient); err != nil {
		return nil, &llm.Error{Kind: llm.KindInternal, Message: "the request could not be written for the vendor", Err: err}
	}
	return call, nil
}

// ParseRerank reads InvokeModel's answer of a reranker, which does not say what
// is billed: searches, by the documents.
func ParseRerank(asked *llm.Rerank, _ http.Header, body []byte) (*llm.RerankReply, *llm.Error) {
	ranks, err := wire.Ranks(body)
	if err != nil {
		return nil, wire.BadAnswer("reading a reranking: " + err.Error())
	}
	searches := int64(len(asked.Documents)+perSearch-1) / perSearch
	return &llm.RerankReply{Ranks: ranks, Usage: &llm.Usage{Searches: searches, Estimated: true}}, nil
}
