package openai

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// embedBody is a request for embeddings: OpenAI's, and what Voyage's, Jina's
// and other clients of the same path say beside it.
type embedBody struct {
	Model           jsontext.Value `json:"model"`
	Context         jsontext.Value `json:"context"`
	Input           jsontext.Value `json:"input"`
	Dimensions      int64          `json:"dimensions"`
	OutputDimension int64          `json:"output_dimension"`
	Encoding        jsontext.Value `json:"encoding_format"`
	OutputType      jsontext.Value `json:"output_dtype"`
	User            string         `json:"user"`
	InputType       jsontext.Value `json:"input_type"`
	Task            jsontext.Value `json:"task"`
	TaskType        jsontext.Value `json:"task_type"`
	Truncation      *bool          `json:"truncation"`
	Truncate        jsontext.Value `json:"truncate"`
	Rest            jsontext.Value `json:",embed"`
}

// Embed reads a client's request for embeddings.
func Embed(_ llm.Op, body []byte) (*llm.Embed, *llm.Error) {
	var in embedBody
	if err := json.Unmarshal(body, &in, lenient); err != nil {
		return nil, badBody(err)
	}
	e := &llm.Embed{Dimensions: max(in.Dimensions, in.OutputDimension), User: in.User, Cut: in.Truncation}
	if in.Dimensions < 0 || in.OutputDimension < 0 {
		return nil, &llm.Error{Kind: llm.KindInvalidRequest, Param: "dimensions", Message: "\"dimensions\" must be a positive number"}
	}
	leave := func(name string, must bool) { e.Left = append(e.Left, llm.Left{Name: name, Must: must}) }
	var bad *llm.Error
	if e.Inputs, bad = inputs(in.Input); bad != nil {
		return nil, bad
	}
	for _, w := range [...]struct {
		name string
		v    jsontext.Value
	}{{"input_type", in.InputType}, {"task", in.Task}, {"task_type", in.TaskType}} {
		word, _ := scan.String(w.v)
		t, known := wire.ParseTask(word)
		switch {
		case null(w.v):
		case !known || w.v.Kind() != '"':
			leave(w.name, false)
		case t != llm.TaskNone:
			e.Task = t
		}
	}
	switch v := in.Truncate; v.Kind() {
	case 't', 'f':
		cut := v.Kind() == 't'
		e.Cut = &cut
	case '"':
		cut := string(v) == `"END"`
		if e.Cut = &cut; !cut && string(v) != `"NONE"` {
			e.Cut = nil
			leave("truncate", string(v) == `"START"`)
		}
	}
	if v := string(in.Encoding); !null(in.Encoding) && v != `"float"` && v != `"base64"` {
		leave("encoding_format", true)
	}
	if v := string(in.OutputType); !null(in.OutputType) && v != `"float"` {
		leave("output_dtype", true)
	}
	members(in.Rest, func(name string, v jsontext.Value) {
		if !null(v) {
			leave(name, false)
		}
	})
	return e, nil
}

var badInput = &llm.Error{Kind: llm.KindInvalidRequest, Param: "input", Message: "\"input\" must be a string, an array of strings, an array of tokens or an array of such arrays, and not empty"}

// inputs reads one input or several: texts or arrays of tokens.
func inputs(v jsontext.Value) ([]llm.Input, *llm.Error) {
	if v.Kind() == '"' {
		s, _ := scan.String(v)
		return []llm.Input{{Text: s}}, nil
	}
	if v.Kind() != '[' {
		return nil, badInput
	}
	var out []llm.Input
	var bare []int64 // v is one array of tokens
	bad := false
	err := scan.Elements(v, func(e []byte) bool {
		switch e[0] {
		case '"':
			s, ok := scan.String(e)
			bad = !ok
			out = append(out, llm.Input{Text: s})
		case '[':
			tokens := []int64{}
			bad = json.Unmarshal(e, &tokens) != nil || len(tokens) == 0
			out = append(out, llm.Input{Tokens: tokens})
		case '{': // as Jina has it
			s, ok := scan.String(scan.Get(e, "text"))
			bad = !ok
			out = append(out, llm.Input{Text: s})
		default:
			n, ok := scan.Int(e)
			bad = !ok
			bare = append(bare, n)
		}
		return !bad
	})
	switch {
	case err != nil || bad || len(out) == 0 && len(bare) == 0 || len(out) > 0 && len(bare) > 0:
		return nil, badInput
	case bare != nil:
		return []llm.Input{{Tokens: bare}}, nil
	}
	return out, nil
}

// The words of vendors for tasks. Voyage AI: docs.voyageai.com/docs/embeddings;
// Jina AI: jina.ai/embeddings; NVIDIA: docs.nvidia.com/nim/nemo-retriever; by
// general knowledge.
var (
	voyageTasks = wire.Tasks{llm.TaskQuery: "query", llm.TaskDocument: "document"}
	jinaTasks   = wire.Tasks{llm.TaskQuery: "retrieval.query", llm.TaskDocument: "retrieval.passage", llm.TaskSimilarity: "text-matching",
		llm.TaskClassification: "classification", llm.TaskClustering: "separation"}
	nvidiaTasks = wire.Tasks{llm.TaskQuery: "query", llm.TaskDocument: "passage"}
	noTasks     wire.Tasks
)

// embedCall is the body that goes to vendors: OpenAI's members, and those of
// dialects.
type embedCall struct {
	Model           string         `json:"model"`
	Input           jsontext.Value `json:"input"`
	Dimensions      int64          `json:"dimensions,omitzero"`
	OutputDimension int64          `json:"output_dimension,omitzero"` // Voyage's and Mistral's
	Encoding        string         `json:"encoding_format,omitzero"`
	InputType       string         `json:"input_type,omitzero"` // Voyage's and NVIDIA's
	Task            string         `json:"task,omitzero"`       // Jina's
	Truncation      *bool          `json:"truncation,omitzero"` // Voyage's
	Truncate        *bool          `json:"truncate,omitzero"`   // Jina's
	User            string         `json:"user,omitzero"`
}

// EmbedCall writes the body that asks a vendor for embeddings.
func EmbedCall(e *llm.Embed, t wire.Target) (*wire.Call, *llm.Error) {
	call := &wire.Call{}
	if bad := call.Leave(e.Left); bad != nil {
		return nil, bad
	}
	out := embedCall{Model: t.Model, Dimensions: e.Dimensions}
	cut, user := e.Cut, e.User
	switch t.Dialect {
	case "voyage":
		out.Dimensions, out.OutputDimension, out.Encoding = 0, e.Dimensions, "base64"
		out.InputType, out.Truncation, cut = call.Word(&voyageTasks, e.Task), cut, nil
	case "jina":
		out.Task, out.Truncate, cut = call.Word(&jinaTasks, e.Task), cut, nil
	case "nvidia":
		out.InputType = call.Word(&nvidiaTasks, e.Task)
	case "mistral":
		out.Dimensions, out.OutputDimension = 0, e.Dimensions
		call.Word(&noTasks, e.Task)
	default:
		call.Word(&noTasks, e.Task)
		out.User, user = user, ""
	}
	if cut != nil {
		call.Lose("truncate")
	}
	if user != "" {
		call.Lose("user")
	}
	texts, bad := call.Texts(e)
	if bad != nil {
		return nil, bad
	}
	var err error
	if out.Input, err = json.Marshal(texts, lenient); err == nil {
		call.Body, err = json.Marshal(&out, lenient)
	}
	if err != nil {
		return nil, &llm.Error{Kind: llm.KindInternal, Message: "the request could not be written for the vendor", Err: err}
	}
	return call, nil
}

// form is what the vectors of a vendor are in base64.
func form(dialect string) wire.VectorForm {
	if dialect == "perplexity" {
		return wire.VectorInt8
	}
	return wire.VectorFloat32
}

// ParseEmbed reads a vendor's answer with embeddings.
func ParseEmbed(t wire.Target, _ http.Header, body []byte) (*llm.EmbedReply, *llm.Error) {
	usage, bad := Inspect(llm.OpEmbedding, body)
	if bad != nil {
		return nil, bad
	}
	r := &llm.EmbedReply{Usage: usage}
	r.ID, _ = scan.String(scan.Get(body, "id"))
	r.Model, _ = scan.String(scan.Get(body, "model"))
	var failed error
	var at []int64
	err := scan.Elements(scan.Get(body, "data"), func(e []byte) bool {
		var v []float32
		if v, failed = wire.Vector(scan.Get(e, "embedding"), form(t.Dialect)); failed != nil {
			return false
		}
		n, ok := scan.Int(scan.Get(e, "index"))
		if !ok {
			n = int64(len(at))
		}
		at = append(at, n)
		r.Vectors = append(r.Vectors, v)
		return true
	})
	if err == nil {
		err = failed
	}
	if err == nil {
		r.Vectors, err = ordered(r.Vectors, at)
	}
	if err != nil {
		return nil, wire.BadAnswer("reading an embedding: " + err.Error())
	}
	return r, nil
}

// ordered puts each vector where its index says.
func ordered(vs [][]float32, at []int64) ([][]float32, error) {
	out := make([][]float32, len(vs))
	for i, n := range at {
		if n >= int64(len(out)) || out[n] != nil {
			return nil, errors.New("indices that are not 0 to n-1")
		}
		out[n] = vs[i]
	}
	return out, nil
}

// AppendEmbed appends the answer to a client's request for embeddings.
func AppendEmbed(dst []byte, req *llm.Request, r *llm.EmbedReply) []byte {
	dst = append(dst, `{"object":"list","data":[`...)
	for i, v := range r.Vectors {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"object":"embedding","index":`...)
		dst = strconv.AppendInt(dst, int64(i), 10)
		dst = append(dst, `,"embedding":`...)
		if req.Vectors == llm.VectorsBase64 {
			dst = wire.AppendBase64(dst, v)
		} else {
			dst = wire.AppendNumbers(dst, v)
		}
		dst = append(dst, '}')
	}
	dst = append(dst, `],"model":`...)
	dst = wire.AppendString(dst, r.Model)
	var n int64
	if r.Usage != nil {
		n = r.Usage.Input
	}
	dst = append(dst, `,"usage":{"prompt_tokens":`...)
	dst = strconv.AppendInt(dst, n, 10)
	dst = append(dst, `,"total_tokens":`...)
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, `}}`...)
}
