package ollama

import (
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// embedRequest is the body of /api/embed.
type embedRequest struct {
	Model      string   `json:"model"`
	Input      []string `json:"input"`
	Truncate   *bool    `json:"truncate,omitzero"`
	Dimensions int64    `json:"dimensions,omitzero"`
}

// EmbedCall writes the body of /api/embed.
func EmbedCall(e *llm.Embed, t wire.Target) (*wire.Call, *llm.Error) {
	call := &wire.Call{}
	if bad := call.Leave(e.Left); bad != nil {
		return nil, bad
	}
	if e.User != "" {
		call.Lose("user")
	}
	call.Word(&wire.Tasks{}, e.Task)
	in := embedRequest{Model: t.Model, Truncate: e.Cut, Dimensions: e.Dimensions}
	var bad *llm.Error
	if in.Input, bad = call.Texts(e); bad != nil {
		return nil, bad
	}
	var err error
	if call.Body, err = json.Marshal(&in, lenient); err != nil {
		return nil, &llm.Error{Kind: llm.KindInternal, Message: "the request could not be written for the vendor", Err: err}
	}
	return call, nil
}

// ParseEmbed reads the answer of /api/embed.
func ParseEmbed(_ wire.Target, _ http.Header, body []byte) (*llm.EmbedReply, *llm.Error) {
	v := scan.Get(body, "embeddings")
	if scan.Null(v) {
		return nil, wire.BadAnswer("an answer without embeddings")
	}
	r := &llm.EmbedReply{}
	r.Model, _ = scan.String(scan.Get(body, "model"))
	var err error
	if r.Vectors, err = wire.Vectors(v); err != nil {
		return nil, wire.BadAnswer("reading an embedding: " + err.Error())
	}
	if n, ok := scan.Int(scan.Get(body, "prompt_eval_count")); ok {
		r.Usage = &llm.Usage{Input: min(n, llm.MaxTokens)}
	}
	return r, nil
}
