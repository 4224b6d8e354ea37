package openai

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// Reranking is no API of OpenAI's: what servers of its protocol have on
// /rerank is Cohere's, more or less.

// rerankBody is a client's request, in the words of both versions of Cohere's
// API and of those who follow it.
type rerankBody struct {
	Model     jsontext.Value   `json:"model"`
	Context   jsontext.Value   `json:"context"`
	Query     string           `json:"query"`
	Documents []jsontext.Value `json:"documents"`
	TopN      int64            `json:"top_n"`
	TopK      int64            `json:"top_k"` // Voyage's
	Return    bool             `json:"return_documents"`
	MaxTokens int64            `json:"max_tokens_per_doc"`
	Fields    jsontext.Value   `json:"rank_fields"`
	Rest      jsontext.Value   `json:",embed"`
}

// Rerank reads a client's request to rank documents.
func Rerank(body []byte) (*llm.Rerank, *llm.Error) {
	var in rerankBody
	if err := json.Unmarshal(body, &in, lenient); err != nil {
		return nil, badBody(err)
	}
	r := &llm.Rerank{Query: in.Query, Top: max(in.TopN, in.TopK), MaxTokens: in.MaxTokens, Return: in.Return}
	for _, v := range in.Documents {
		d := wire.Document(v)
		if d == nil {
			return nil, badDocuments
		}
		r.Documents = append(r.Documents, *d)
	}
	switch {
	case in.Query == "":
		return nil, &llm.Error{Kind: llm.KindInvalidRequest, Param: "query", Message: "\"query\" must be a string that is not empty"}
	case len(r.Documents) == 0:
		return nil, badDocuments
	case in.TopN < 0 || in.TopK < 0:
		return nil, &llm.Error{Kind: llm.KindInvalidRequest, Param: "top_n", Message: "\"top_n\" must be a positive number"}
	case in.MaxTokens < 0:
		return nil, &llm.Error{Kind: llm.KindInvalidRequest, Param: "max_tokens_per_doc", Message: "\"max_tokens_per_doc\" must be a positive number"}
	}
	if !null(in.Fields) {
		r.Left = append(r.Left, llm.Left{Name: "rank_fields", Must: true})
	}
	members(in.Rest, func(name string, v jsontext.Value) {
		if !null(v) {
			r.Left = append(r.Left, llm.Left{Name: name})
		}
	})
	return r, nil
}

var badDocuments = &llm.Error{Kind: llm.KindInvalidRequest, Param: "documents", Message: "\"documents\" must be an array of strings or objects, and not empty"}

// ranked makes c the answer to req of a vendor that speaks this protocol: as it
// came, but in Cohere's form where it came in another, and with the documents
// where they were asked for and forgotten.
func ranked(req *llm.Request, body []byte, c *llm.Chunk) *llm.Error {
	body = bytes.TrimSpace(body)
	if e := errorIn(body); e != nil {
		return e
	}
	ranks, err := wire.Ranks(body)
	if err != nil {
		return wire.BadAnswer("reading a reranking: " + err.Error())
	}
	r := &llm.RerankReply{Ranks: ranks, Usage: rerankUsage(body)}
	if c.Usage = r.Usage; c.Usage == nil {
		c.Usage = &llm.Usage{Input: req.InputTokens(), Estimated: true}
	}
	again := scan.Get(body, "results") == nil
	if string(scan.Get(req.Body.Bytes(), "return_documents")) == "true" {
		for i := range ranks {
			again = again || ranks[i].Document == nil
		}
	}
	if !again {
		return nil
	}
	asked, bad := Rerank(req.Body.Bytes())
	if bad != nil {
		return nil // the vendor took what is not understood; so may the client
	}
	r.ID, _ = scan.String(scan.Get(body, "id"))
	r.Model, _ = scan.String(scan.Get(body, "model"))
	if err := r.Complete(asked); err != nil {
		return wire.BadAnswer(err.Error())
	}
	c.Raw = AppendRerank(nil, req, r)
	return nil
}

// rerankUsage reads what a reranking is billed by: tokens, or searches.
func rerankUsage(body []byte) *llm.Usage {
	if u, ok := ParseUsage(scan.Get(body, "usage")); ok {
		return &u
	}
	if n, ok := scan.Int(scan.Get(scan.Get(scan.Get(body, "meta"), "billed_units"), "search_units")); ok {
		return &llm.Usage{Searches: min(n, llm.MaxTokens)}
	}
	return nil
}

// AppendRerank appends the answer to a client's request to rank documents.
func AppendRerank(dst []byte, req *llm.Request, r *llm.RerankReply) []byte {
	dst = append(dst, `{"id":`...)
	if r.ID == "" {
		dst = wire.AppendString(dst, req.ID)
	} else {
		dst = wire.AppendString(dst, r.ID)
	}
	if r.Model != "" {
		dst = wire.AppendString(append(dst, `,"model":`...), r.Model)
	}
	dst = append(dst, `,"results":[`...)
	for i, one := range r.Ranks {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"index":`...)
		dst = strconv.AppendInt(dst, int64(one.Index), 10)
		dst = append(dst, `,"relevance_score":`...)
		dst = strconv.AppendFloat(dst, one.Score, 'g', -1, 64)
		switch d := one.Document; {
		case d == nil:
		case d.Raw != nil:
			dst = append(append(dst, `,"document":`...), d.Raw...)
		default:
			dst = wire.AppendString(append(dst, `,"document":{"text":`...), d.Text)
			dst = append(dst, '}')
		}
		dst = append(dst, '}')
	}
	dst = append(dst, `],"meta":{"api_version":{"version":"2"}`...)
	u := r.Usage
	if u != nil && u.Searches > 0 {
		dst = append(dst, `,"billed_units":{"search_units":`...)
		dst = append(strconv.AppendInt(dst, u.Searches, 10), '}')
	}
	if u != nil && u.Input > 0 {
		dst = append(dst, `,"tokens":{"input_tokens":`...)
		dst = append(strconv.AppendInt(dst, u.Input, 10), '}')
		dst = append(dst, `},"usage":{"total_tokens":`...)
		dst = strconv.AppendInt(dst, u.Input, 10)
	}
	return append(dst, `}}`...)
}
