package llm

import (
	"errors"
	"slices"
)

// Embed is texts that are to be made into vectors, in no vendor's words. It is
// immutable once decoded.
type Embed struct {
	Inputs     []Input // at least one; a vector for each
	Dimensions int64   // of a vector, 0 for the model's own
	Task       Task
	// Cut says whether the end of an input that is too long for the model is
	// left out (true) or the request refused; nil: as the vendor does.
	Cut  *bool
	User string // the end user
	Left []Left
}

// Input is what becomes one vector. One of Text and Tokens is set.
type Input struct {
	Text   string
	Tokens []int64 // of the tokenizer of OpenAI's model
	Title  string  // of the document that the text is of, "" for none
}

// Len is how long the inputs are, in bytes; a token counts as four.
func (e *Embed) Len() (n int) {
	for i := range e.Inputs {
		n += len(e.Inputs[i].Text) + 4*len(e.Inputs[i].Tokens)
	}
	return n
}

// Part returns a copy that asks for the inputs from, included, to to.
func (e *Embed) Part(from, to int) *Embed {
	c := *e
	c.Inputs = e.Inputs[from:to]
	return &c
}

// Task is what vectors are for.
type Task uint8

// The tasks.
const (
	TaskNone       Task = iota
	TaskQuery           // find documents by it
	TaskDocument        // be found
	TaskSimilarity      // compare texts of a kind
	TaskClassification
	TaskClustering
	TaskQuestion // find answers by it
	TaskFact     // find evidence by it
	TaskCode     // find code by it
)

// EmbedReply is the answer to an Embed.
type EmbedReply struct {
	ID      string      // the vendor's, "" if it sent none
	Model   string      // as the vendor calls it
	Vectors [][]float32 // in the order of the inputs
	Usage   *Usage      // nil if the vendor did not count
}

// Rerank asks which documents answer a query best, in no vendor's words. It is
// immutable once decoded.
type Rerank struct {
	Query     string
	Documents []Document // at least one
	Top       int64      // how many are wanted, 0 for all
	MaxTokens int64      // of each document that are looked at, 0 for the vendor's own bound
	// Return: the answer repeats the documents.
	Return bool
	Left   []Left
}

// Document is one that is ranked.
type Document struct {
	Text string
	Raw  []byte // the JSON object that it came as; nil for a plain text
}

// Len is how long query and documents are, in bytes, the query read with each
// document, as rerankers do.
func (r *Rerank) Len() (n int) {
	for i := range r.Documents {
		n += len(r.Query) + len(r.Documents[i].Text)
	}
	return n
}

// RerankReply is the answer to a Rerank.
type RerankReply struct {
	ID    string // the vendor's, "" if it sent none
	Model string // as the vendor calls it, "" if it does not say
	Ranks []Rank // the best first
	Usage *Usage // nil if the vendor did not count
}

// Rank is how well a document answers.
type Rank struct {
	Index int     // of the document in the request
	Score float64 // higher is better; its range is the model's own
	// Document is nil where it was not asked for.
	Document *Document
}

// Complete brings the reply into the form that was asked for: the best first,
// no more than wanted, with the documents or without. It fails on ranks of
// documents that are none.
func (r *RerankReply) Complete(asked *Rerank) error {
	seen := make([]bool, len(asked.Documents))
	for i := range r.Ranks {
		one := &r.Ranks[i]
		if one.Index < 0 || one.Index >= len(seen) || seen[one.Index] {
			return errors.New("ranks of documents that were not sent, or of one twice")
		}
		seen[one.Index] = true
		if one.Document = nil; asked.Return {
			one.Document = &asked.Documents[one.Index]
		}
	}
	slices.SortStableFunc(r.Ranks, func(a, b Rank) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return 0
	})
	if asked.Top > 0 && asked.Top < int64(len(r.Ranks)) {
		r.Ranks = r.Ranks[:asked.Top]
	}
	return nil
}
