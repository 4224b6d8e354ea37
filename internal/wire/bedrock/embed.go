package bedrock

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// Converse has no vectors: InvokeModel takes each maker's own words. Bodies and
// bounds: Amazon Bedrock's user guide, "Inference request parameters and
// response fields for foundation models", by general knowledge, and recorded
// calls.

// titanRequest is the body for Amazon's Titan text models.
type titanRequest struct {
	Text       string `json:"inputText"`
	Dimensions int64  `json:"dimensions,omitzero"` // not of the first version
}

// titanImageRequest is the body for Amazon's Titan multimodal model.
type titanImageRequest struct {
	Text   string       `json:"inputText"`
	Config *titanConfig `json:"embeddingConfig,omitzero"`
}

type titanConfig struct {
	Length int64 `json:"outputEmbeddingLength"`
}

// novaRequest is the body for Amazon's Nova models of vectors.
type novaRequest struct {
	Task   string     `json:"taskType"`
	Params novaParams `json:"singleEmbeddingParams"`
}

type novaParams struct {
	Purpose    string   `json:"embeddingPurpose"`
	Text       novaText `json:"text"`
	Dimensions int64    `json:"embeddingDimension,omitzero"`
}

type novaText struct {
	Value    string `json:"value"`
	Truncate string `json:"truncationMode"`
}

// cohereRequest is the body for Cohere's models.
type cohereRequest struct {
	Texts      []string `json:"texts"`
	InputType  string   `json:"input_type"`
	Types      []string `json:"embedding_types"`
	Dimensions int64    `json:"output_dimension,omitzero"`
	Truncate   string   `json:"truncate,omitzero"`
}

var (
	cohereTasks = wire.Tasks{llm.TaskNone: "search_document", llm.TaskQuery: "search_query", llm.TaskDocument: "search_document",
		llm.TaskClassification: "classification", llm.TaskClustering: "clustering"}
	novaTasks = wire.Tasks{llm.TaskNone: "GENERIC_INDEX", llm.TaskQuery: "GENERIC_RETRIEVAL", llm.TaskDocument: "GENERIC_INDEX",
		llm.TaskClassification: "CLASSIFICATION", llm.TaskClustering: "CLUSTERING"}
	titanTasks = wire.Tasks{}
)

// EmbedMost is how many inputs one call may have.
func EmbedMost(t wire.Target) int {
	if strings.Contains(t.Model, "cohere.embed") {
		return 96
	}
	return 1
}

// EmbedCall writes the body of InvokeModel for a model of vectors.
func EmbedCall(e *llm.Embed, t wire.Target) (*wire.Call, *llm.Error) {
	call := &wire.Call{}
	if bad := call.Leave(e.Left); bad != nil {
		return nil, bad
	}
	if e.User != "" {
		call.Lose("user")
	}
	texts, bad := call.Texts(e)
	if bad != nil {
		return nil, bad
	}
	var body any
	cut := e.Cut
	switch m := t.Model; {
	case strings.Contains(m, "cohere.embed"):
		if e.Dimensions > 0 && strings.Contains(m, "-v3") {
			return nil, oneLength
		}
		in := cohereRequest{Texts: texts, InputType: call.Word(&cohereTasks, e.Task), Types: []string{"float"}, Dimensions: e.Dimensions}
		if cut != nil {
			in.Truncate = mode(*cut)
		}
		body, cut = &in, nil
	case strings.Contains(m, "titan-embed-image"):
		call.Word(&titanTasks, e.Task)
		in := titanImageRequest{Text: texts[0]}
		if e.Dimensions > 0 {
			in.Config = &titanConfig{e.Dimensions}
		}
		body = &in
	case strings.Contains(m, "titan-embed"):
		if e.Dimensions > 0 && !strings.Contains(m, "text-v2") {
			return nil, oneLength
		}
		call.Word(&titanTasks, e.Task)
		body = &titanRequest{Text: texts[0], Dimensions: e.Dimensions}
	case strings.Contains(m, "nova") && strings.Contains(m, "embed"):
		in := novaRequest{Task: "SINGLE_EMBEDDING"}
		in.Params = novaParams{call.Word(&novaTasks, e.Task), novaText{texts[0], mode(cut == nil || *cut)}, e.Dimensions}
		body, cut = &in, nil
	default:
		return nil, wire.Unsupported("model", "the gateway knows no way to ask this model for embeddings; ask a Titan, Nova or Cohere model of embeddings")
	}
	if cut != nil {
		call.Lose("truncate")
	}
	var err error
	if call.Body, err = json.Marshal(body, lenient); err != nil {
		return nil, &llm.Error{Kind: llm.KindInternal, Message: "the request could not be written for the vendor", Err: err}
	}
	return call, nil
}

var oneLength = wire.Unsupported("dimensions", "the model has vectors of one length; leave it out or ask another model")

// mode is how Cohere and Nova say whether a text may be cut.
func mode(cut bool) string {
	if cut {
		return "END"
	}
	return "NONE"
}

// ParseEmbed reads InvokeModel's answer with vectors: Titan's one, Cohere's by
// type or bare, Nova's with a type each.
func ParseEmbed(_ wire.Target, h http.Header, body []byte) (*llm.EmbedReply, *llm.Error) {
	r := &llm.EmbedReply{}
	r.ID, _ = scan.String(scan.Get(body, "id"))
	var err error
	if v := scan.Get(body, "embedding"); v != nil {
		var one []float32
		one, err = wire.Vector(v, wire.VectorFloat32)
		r.Vectors = [][]float32{one}
	} else {
		r.Vectors, err = several(scan.Get(body, "embeddings"))
	}
	if err != nil {
		return nil, wire.BadAnswer("reading an embedding: " + err.Error())
	}
	n, ok := scan.Int(scan.Get(body, "inputTextTokenCount"))
	if !ok {
		n, ok = invoked(h)
	}
	if ok {
		r.Usage = &llm.Usage{Input: min(n, llm.MaxTokens)}
	}
	return r, nil
}

// several reads the member embeddings of Cohere's and Nova's answers.
func several(v []byte) ([][]float32, error) {
	if len(v) > 0 && v[0] == '{' {
		v = scan.Get(v, "float")
	}
	if scan.Null(v) {
		return nil, errors.New("there is none")
	}
	var out [][]float32
	var bad error
	err := scan.Elements(v, func(e []byte) bool {
		if len(e) > 0 && e[0] == '{' {
			e = scan.Get(e, "embedding")
		}
		var one []float32
		one, bad = wire.Vector(e, wire.VectorFloat32)
		out = append(out, one)
		return bad == nil
	})
	if err == nil {
		err = bad
	}
	return out, err
}

// invoked is InvokeModel's count of the prompt's tokens.
func invoked(h http.Header) (int64, bool) {
	n, err := strconv.ParseInt(h.Get("X-Amzn-Bedrock-Input-Token-Count"), 10, 64)
	return n, err == nil && n >= 0
}
