package cohere

import (
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// embedRequest is the body of /v2/embed.
type embedRequest struct {
	Model      string   `json:"model"`
	Texts      []string `json:"texts"`
	InputType  string   `json:"input_type"`
	Types      []string `json:"embedding_types"`
	Dimensions int64    `json:"output_dimension,omitzero"`
	Truncate   string   `json:"truncate,omitzero"`
}

// tasks are the input types; models from version 3 on want one, and texts are
// documents nearly always.
var tasks = wire.Tasks{llm.TaskNone: "search_document", llm.TaskQuery: "search_query", llm.TaskDocument: "search_document",
	llm.TaskClassification: "classification", llm.TaskClustering: "clustering"}

// EmbedMost is how many texts one call may have (Cohere's OpenAPI document).
func EmbedMost(wire.Target) int { return 96 }

// EmbedCall writes the body of /v2/embed.
func EmbedCall(e *llm.Embed, t wire.Target) (*wire.Call, *llm.Error) {
	call := &wire.Call{}
	if bad := call.Leave(e.Left); bad != nil {
		return nil, bad
	}
	if e.User != "" {
		call.Lose("user")
	}
	if e.Dimensions > 0 && (strings.Contains(t.Model, "-v2") || strings.Contains(t.Model, "-v3")) {
		return nil, wire.Unsupported("dimensions", "the model has vectors of one length; leave it out or ask another model")
	}
	in := embedRequest{Model: t.Model, InputType: call.Word(&tasks, e.Task), Types: []string{"float"}, Dimensions: e.Dimensions}
	if e.Cut != nil {
		in.Truncate = "NONE"
		if *e.Cut {
			in.Truncate = "END"
		}
	}
	var bad *llm.Error
	if in.Texts, bad = call.Texts(e); bad != nil {
		return nil, bad
	}
	var err error
	if call.Body, err = json.Marshal(&in, lenient); err != nil {
		return nil, &llm.Error{Kind: llm.KindInternal, Message: "the request could not be written for the vendor", Err: err}
	}
	return call, nil
}

// ParseEmbed reads the answer of /v2/embed, or of /v1/embed, which has the
// vectors themselves where the other has them by type.
func ParseEmbed(_ wire.Target, _ http.Header, body []byte) (*llm.EmbedReply, *llm.Error) {
	v := scan.Get(body, "embeddings")
	if len(v) > 0 && v[0] == '{' {
		v = scan.Get(v, "float")
	}
	if scan.Null(v) {
		return nil, wire.BadAnswer("an answer without embeddings")
	}
	r := &llm.EmbedReply{}
	r.ID, _ = scan.String(scan.Get(body, "id"))
	var err error
	if r.Vectors, err = wire.Vectors(v); err != nil {
		return nil, wire.BadAnswer("reading an embedding: " + err.Error())
	}
	if u, ok := ParseUsage(scan.Get(body, "meta")); ok {
		r.Usage = &u
	}
	return r, nil
}
