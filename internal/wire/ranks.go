package wire

import (
	"errors"
	"math"
	"strconv"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// Ranks reads the results of a reranking, in the order they come: the member
// results (Cohere and those who follow it), data (Voyage), or all of the body
// (SGLang).
func Ranks(body []byte) ([]llm.Rank, error) {
	list := body
	if len(body) > 0 && body[0] == '{' {
		if list = scan.Get(body, "results"); list == nil {
			list = scan.Get(body, "data")
		}
	}
	if scan.Null(list) {
		return nil, errors.New("an answer without results")
	}
	var out []llm.Rank
	var bad error
	err := scan.Elements(list, func(e []byte) bool {
		var r llm.Rank
		r, bad = rank(e)
		out = append(out, r)
		return bad == nil
	})
	if err == nil {
		err = bad
	}
	return out, err
}

func rank(e []byte) (llm.Rank, error) {
	n, ok := scan.Int(scan.Get(e, "index"))
	v := scan.Get(e, "relevance_score")
	if v == nil {
		v = scan.Get(e, "score")
	}
	score, err := strconv.ParseFloat(string(v), 64)
	if !ok || n > math.MaxInt32 || err != nil || math.IsNaN(score) || math.IsInf(score, 0) {
		return llm.Rank{}, errors.New("a result without index or score")
	}
	r := llm.Rank{Index: int(n), Score: score}
	if d := scan.Get(e, "document"); !scan.Null(d) {
		r.Document = Document(d)
	}
	return r, nil
}

// Document reads a document: a text, or an object, whose member text is what
// counts of it; of one that has none, all does. nil: it is neither.
func Document(v []byte) *llm.Document {
	if s, ok := scan.String(v); ok {
		return &llm.Document{Text: s}
	}
	if len(v) == 0 || v[0] != '{' {
		return nil
	}
	d := &llm.Document{Text: string(v), Raw: v}
	if s, ok := scan.String(scan.Get(v, "text")); ok {
		d.Text = s
	}
	return d
}
