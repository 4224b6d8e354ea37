package gemini

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// embedRequest is the body of embedContent, and an element of
// batchEmbedContents'.
type embedRequest struct {
	Model      string         `json:"model,omitzero"`
	Content    *content       `json:"content,omitzero"`
	TaskType   word           `json:"taskType,omitzero"`
	Title      string         `json:"title,omitzero"`
	Dimensions number         `json:"outputDimensionality,omitzero"`
	Truncate   *bool          `json:"autoTruncate,omitzero"`
	Config     *embedConfig   `json:"embedContentConfig,omitzero"`
	More       jsontext.Value `json:",embed"`
}

// embedConfig is where newer versions have the same.
type embedConfig struct {
	TaskType   word           `json:"taskType,omitzero"`
	Title      string         `json:"title,omitzero"`
	Dimensions number         `json:"outputDimensionality,omitzero"`
	Truncate   *bool          `json:"autoTruncate,omitzero"`
	More       jsontext.Value `json:",embed"`
}

// batchRequest is the body of batchEmbedContents.
type batchRequest struct {
	Model    string             `json:"model,omitzero"`
	Requests list[embedRequest] `json:"requests"`
	More     jsontext.Value     `json:",embed"`
}

// Embed reads the body of embedContent, or of batchEmbedContents.
func Embed(op llm.Op, body []byte) (*llm.Embed, *llm.Error) {
	r := embedReader{e: &llm.Embed{}}
	if op == llm.OpEmbedding {
		var in embedRequest
		if err := json.Unmarshal(body, &in, lenient); err != nil {
			return nil, unreadable(err)
		}
		if bad := r.add(&in, ""); bad != nil {
			return nil, bad
		}
		return r.e, nil
	}
	var in batchRequest
	if err := json.Unmarshal(body, &in, lenient); err != nil {
		return nil, unreadable(err)
	}
	if len(in.Requests) == 0 {
		return nil, invalid("requests", "at least one request is needed")
	}
	for i := range in.Requests {
		if bad := r.add(&in.Requests[i], "requests["+strconv.Itoa(i)+"]."); bad != nil {
			return nil, bad
		}
	}
	r.rest("", in.More)
	return r.e, nil
}

type embedReader struct{ e *llm.Embed }

func (r *embedReader) leave(name string, must bool) {
	r.e.Left = append(r.e.Left, llm.Left{Name: name, Must: must})
}

func (r *embedReader) rest(path string, v jsontext.Value) {
	ms, _ := scan.Object(nil, v)
	for _, m := range ms {
		if name, _ := scan.String(v[m.Key:m.KeyEnd]); !scan.Null(v[m.Start:m.End]) {
			r.leave(path+name, false)
		}
	}
}

// add reads one request. What they all must have in common elsewhere is the
// first one's.
func (r *embedReader) add(in *embedRequest, path string) *llm.Error {
	if c := in.Config; c != nil {
		if c.TaskType != "" {
			in.TaskType = c.TaskType
		}
		if c.Title != "" {
			in.Title = c.Title
		}
		if c.Dimensions != 0 {
			in.Dimensions = c.Dimensions
		}
		if c.Truncate != nil {
			in.Truncate = c.Truncate
		}
		r.rest(path+"embedContentConfig.", c.More)
	}
	if in.Content == nil || len(in.Content.Parts) == 0 {
		return invalid(path+"content", "at least one part is needed")
	}
	if in.Dimensions < 0 {
		return invalid(path+"outputDimensionality", "a positive number is needed")
	}
	var texts []string
	for i := range in.Content.Parts {
		if p := &in.Content.Parts[i]; p.Text != nil {
			texts = append(texts, *p.Text)
		} else {
			r.leave(path+"content.parts["+strconv.Itoa(i)+"]", true)
		}
	}
	task, known := wire.ParseTask(string(in.TaskType))
	if n, err := strconv.Atoi(string(in.TaskType)); err == nil && n >= 0 && n < len(taskNumbers) {
		task, known = taskNumbers[n], true
	}
	if !known {
		r.leave(path+"taskType", false)
	}
	if first := len(r.e.Inputs) == 0; first {
		r.e.Task, r.e.Dimensions, r.e.Cut = task, int64(in.Dimensions), in.Truncate
	} else {
		if task != r.e.Task {
			r.leave(path+"taskType", true)
		}
		if int64(in.Dimensions) != r.e.Dimensions {
			r.leave(path+"outputDimensionality", true)
		}
	}
	r.e.Inputs = append(r.e.Inputs, llm.Input{Text: strings.Join(texts, "\n"), Title: in.Title})
	r.rest(path, in.More)
	return nil
}

// taskNumbers are the tasks by the numbers of Gemini's enumeration (TaskType of
// generativelanguage v1beta).
var taskNumbers = [...]llm.Task{llm.TaskNone, llm.TaskQuery, llm.TaskDocument, llm.TaskSimilarity, llm.TaskClassification, llm.TaskClustering,
	llm.TaskQuestion, llm.TaskFact, llm.TaskCode}

var tasks = wire.Tasks{llm.TaskQuery: "RETRIEVAL_QUERY", llm.TaskDocument: "RETRIEVAL_DOCUMENT", llm.TaskSimilarity: "SEMANTIC_SIMILARITY",
	llm.TaskClassification: "CLASSIFICATION", llm.TaskClustering: "CLUSTERING", llm.TaskQuestion: "QUESTION_ANSWERING",
	llm.TaskFact: "FACT_VERIFICATION", llm.TaskCode: "CODE_RETRIEVAL_QUERY"}

// predictRequest is the body of Vertex AI's predict for models of vectors.
type predictRequest struct {
	Instances  []instance  `json:"instances"`
	Parameters *parameters `json:"parameters,omitzero"`
}

type instance struct {
	Content string `json:"content"`
	Task    string `json:"task_type,omitzero"`
	Title   string `json:"title,omitzero"`
}

type parameters struct {
	Dimensions int64 `json:"outputDimensionality,omitzero"`
	Truncate   *bool `json:"autoTruncate,omitzero"`
}

// Predicts reports whether Vertex AI is asked for a model's vectors by
// predict, as those before gemini-embedding-2 are; others have embedContent.
func Predicts(model string) bool {
	return !strings.HasPrefix(model, "gemini-embedding-") || model == "gemini-embedding-001"
}

// EmbedMost is how many inputs one call may have (ai.google.dev/api/embeddings;
// Vertex AI's page of the text embeddings API, by general knowledge).
func EmbedMost(t wire.Target) int {
	switch {
	case t.Dialect != Vertex:
		return 100
	case Predicts(t.Model) && t.Model != "gemini-embedding-001":
		return 250
	}
	return 1
}

// EmbedCall writes the body of batchEmbedContents; for Vertex AI that of
// predict or, of one input, embedContent.
func EmbedCall(e *llm.Embed, t wire.Target) (*wire.Call, *llm.Error) {
	call := &wire.Call{}
	if bad := call.Leave(e.Left); bad != nil {
		return nil, bad
	}
	if e.User != "" {
		call.Lose("user")
	}
	var body any
	switch task := call.Word(&tasks, e.Task); {
	case t.Dialect != Vertex:
		batch := batchRequest{}
		for _, in := range e.Inputs {
			batch.Requests = append(batch.Requests, embedRequest{Model: "models/" + trimModel(t.Model), Content: ofText(in.Text),
				TaskType: word(task), Title: in.Title, Dimensions: number(e.Dimensions)})
		}
		if e.Cut != nil {
			call.Lose("truncate")
		}
		body = &batch
	case Predicts(t.Model):
		p := predictRequest{}
		for _, in := range e.Inputs {
			p.Instances = append(p.Instances, instance{Content: in.Text, Task: task, Title: in.Title})
		}
		if e.Dimensions > 0 || e.Cut != nil {
			p.Parameters = &parameters{e.Dimensions, e.Cut}
		}
		body = &p
	default:
		one := embedRequest{Content: ofText(e.Inputs[0].Text)}
		if c := (embedConfig{TaskType: word(task), Title: e.Inputs[0].Title, Dimensions: number(e.Dimensions), Truncate: e.Cut}); task != "" || c.Title != "" || c.Dimensions > 0 || c.Truncate != nil {
			one.Config = &c
		}
		body = &one
	}
	for _, in := range e.Inputs {
		if in.Tokens != nil {
			return nil, wire.Unsupported("input", "the model's vendor reads text only, no tokens; send strings")
		}
	}
	b, err := json.Marshal(body, plain)
	if err != nil {
		return nil, &llm.Error{Kind: llm.KindInternal, Message: "the request could not be written for the vendor", Err: err}
	}
	call.Body = b
	return call, nil
}

func ofText(s string) *content { return &content{Parts: list[part]{text(s)}} }

// ParseEmbed reads the answer of embedContent, batchEmbedContents or predict.
func ParseEmbed(_ wire.Target, _ http.Header, body []byte) (*llm.EmbedReply, *llm.Error) {
	r := &llm.EmbedReply{}
	var failed error
	add := func(holder []byte) bool {
		var v []float32
		if v, failed = wire.Vector(scan.Get(holder, "values"), wire.VectorFloat32); failed != nil {
			return false
		}
		r.Vectors = append(r.Vectors, v)
		return true
	}
	var err error
	if v := scan.Get(body, "embedding"); v != nil {
		add(v)
	} else if v := scan.Get(body, "embeddings"); v != nil {
		err = scan.Elements(v, add)
	} else if v := scan.Get(body, "predictions"); v != nil {
		r.Usage = &llm.Usage{}
		err = scan.Elements(v, func(e []byte) bool {
			e = scan.Get(e, "embeddings")
			n, ok := count(scan.Get(scan.Get(e, "statistics"), "token_count"))
			r.Usage.Input = min(r.Usage.Input+n, llm.MaxTokens)
			r.Usage.Estimated = r.Usage.Estimated || !ok
			return add(e)
		})
	} else if v := scan.Get(body, "error"); !scan.Null(v) {
		return nil, fault(v)
	} else {
		err = errors.New("an object that is no answer")
	}
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, misread(err)
	}
	if u, ok := ParseUsage(scan.Get(body, "usageMetadata")); ok {
		r.Usage = &u
	}
	return r, nil
}

// AppendEmbed appends the answer of embedContent or batchEmbedContents.
func AppendEmbed(dst []byte, req *llm.Request, r *llm.EmbedReply) []byte {
	batch := req.Op == llm.OpEmbeddingBatch
	name, end := `{"embedding":`, ""
	if batch {
		name, end = `{"embeddings":[`, "]"
	}
	dst = append(dst, name...)
	for i, v := range r.Vectors {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"values":`...)
		dst = append(wire.AppendNumbers(dst, v), '}')
		if !batch {
			break
		}
	}
	dst = append(dst, end...)
	if u := r.Usage; u != nil && !u.Estimated {
		dst = append(dst, `,"usageMetadata":{"promptTokenCount":`...)
		dst = append(strconv.AppendInt(dst, u.Input, 10), '}')
	}
	return append(dst, '}')
}
