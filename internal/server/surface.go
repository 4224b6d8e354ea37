package server

import (
	"net/http"
	"slices"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
)

// asked is what a path says of a request to a model.
type asked struct {
	proto llm.Proto
	op    llm.Op
	model string // "" where the body says it
	// stream and array: the answer is asked for in pieces, as server-sent
	// events or as the elements of one JSON array. In most protocols the body
	// says the first.
	stream, array bool
}

// endpoint is a row of the table. method names one, or all with ", " between
// them; id is what the path ends in.
type endpoint struct {
	method string
	proto  llm.Proto // whose envelope errors come in; 0: protoOf's
	serve  func(s *Server, w http.ResponseWriter, r *http.Request, id string)
}

// takes reports whether the endpoint has a method.
func (e endpoint) takes(method string) bool {
	if method == http.MethodHead && e.method != method {
		method = http.MethodGet
	}
	return e.method == method || strings.Contains(e.method, ", ") && slices.Contains(strings.Split(e.method, ", "), method)
}

func ask(proto llm.Proto, op llm.Op) endpoint {
	return endpoint{http.MethodPost, proto, func(s *Server, w http.ResponseWriter, r *http.Request, model string) {
		s.serve(asked{proto: proto, op: op, model: model}, w, r)
	}}
}

func get(serve func(s *Server, w http.ResponseWriter, r *http.Request, id string)) endpoint {
	return endpoint{method: http.MethodGet, serve: serve}
}

// openAIPrefixes are where OpenAI's paths begin.
var openAIPrefixes = [...]string{"/v1", "/openai/v1", ""}

// anthropicPrefixes are where Anthropic's begin.
var anthropicPrefixes = [...]string{"/v1", "/anthropic/v1", "/anthropic"}

// endpoints by path. OpenAI's are served under /v1, /openai/v1 and bare,
// Anthropic's under /v1, /anthropic and /anthropic/v1.
var endpoints = table()

func table() map[string]endpoint {
	t := map[string]endpoint{
		"/healthz":          get((*Server).health),
		"/readyz":           get((*Server).ready),
		"/metrics":          get((*Server).metrics),
		"/gateway/status":   get((*Server).status),
		"/gateway/route":    {http.MethodPost, llm.ProtoOpenAI, (*Server).route},
		"/gateway/classify": {http.MethodPost, llm.ProtoOpenAI, (*Server).classify},
		"/gateway/requests": get((*Server).request),
		"/gateway/feedback": {http.MethodPost, llm.ProtoOpenAI, (*Server).feedback},
		"/admin/v1/reload":  {http.MethodPost, 0, (*Server).reload},
	}
	for _, prefix := range openAIPrefixes {
		t[prefix+"/chat/completions"] = ask(llm.ProtoOpenAI, llm.OpChat)
		t[prefix+"/completions"] = ask(llm.ProtoOpenAI, llm.OpCompletion)
		t[prefix+"/embeddings"] = ask(llm.ProtoOpenAI, llm.OpEmbedding)
		t[prefix+"/rerank"] = ask(llm.ProtoOpenAI, llm.OpRerank)
		t[prefix+"/moderations"] = ask(llm.ProtoOpenAI, llm.OpModeration)
		t[prefix+"/images/generations"] = ask(llm.ProtoOpenAI, llm.OpImage)
		t[prefix+"/images/edits"] = ask(llm.ProtoOpenAI, llm.OpImageEdit)
		t[prefix+"/images/variations"] = ask(llm.ProtoOpenAI, llm.OpImageVariation)
		t[prefix+"/audio/speech"] = ask(llm.ProtoOpenAI, llm.OpSpeech)
		t[prefix+"/audio/transcriptions"] = ask(llm.ProtoOpenAI, llm.OpTranscription)
		t[prefix+"/audio/translations"] = ask(llm.ProtoOpenAI, llm.OpTranslation)
		t[prefix+"/responses"] = ask(llm.ProtoResponses, llm.OpChat)
		t[prefix+"/responses/input_tokens"] = ask(llm.ProtoResponses, llm.OpCount)
		t[prefix+"/responses/compact"] = ask(llm.ProtoResponses, llm.OpCompact)
		t[prefix+"/realtime"] = get((*Server).realtime)
		t[prefix+"/models"] = get((*Server).models)
	}
	t["/v2/rerank"] = t["/v1/rerank"] // Cohere's clients
	for _, prefix := range anthropicPrefixes {
		t[prefix+"/messages"] = ask(llm.ProtoAnthropic, llm.OpChat)
		t[prefix+"/messages/count_tokens"] = ask(llm.ProtoAnthropic, llm.OpCount)
	}
	for _, prefix := range geminiPrefixes[1:] { // /v1/models is OpenAI's and Anthropic's
		t[prefix+"/models"] = endpoint{http.MethodGet, llm.ProtoGemini, (*Server).models}
	}
	t["/anthropic/v1/models"] = endpoint{http.MethodGet, llm.ProtoAnthropic, (*Server).models}
	return t
}

// under are the paths that end in an id.
var under = []string{"/v1/models/", "/models/", "/openai/v1/models/", "/anthropic/v1/models/", "/v1beta/models/", "/v1alpha/models/", "/gemini/v1beta/models/", "/gemini/v1alpha/models/", "/gemini/v1/models/", "/gemini/models/", "/gateway/requests/"}

// deployments is where Azure's clients ask: the model is in the path, what
// follows it is the operation.
const deployments = "/openai/deployments/"

var azureOps = [...]string{
	"/chat/completions", "/completions", "/embeddings", "/images/generations", "/images/edits", "/audio/speech", "/audio/transcriptions", "/audio/translations",
}

// geminiPrefixes are where Gemini's paths begin.
var geminiPrefixes = [...]string{"/v1", "/v1beta", "/v1alpha", "/gemini/v1beta", "/gemini/v1", "/gemini/v1alpha", "/gemini"}

// verbs are what Gemini's paths end in, behind the model and a colon.
var verbs = map[string]asked{
	"generateContent":       {proto: llm.ProtoGemini, op: llm.OpChat},
	"streamGenerateContent": {proto: llm.ProtoGemini, op: llm.OpChat, stream: true},
	"countTokens":           {proto: llm.ProtoGemini, op: llm.OpCount},
	"embedContent":          {proto: llm.ProtoGemini, op: llm.OpEmbedding},
	"batchEmbedContents":    {proto: llm.ProtoGemini, op: llm.OpEmbeddingBatch},
	"rawPredict":            {proto: llm.ProtoAnthropic, op: llm.OpChat},
	"streamRawPredict":      {proto: llm.ProtoAnthropic, op: llm.OpChat, stream: true},
}

// find returns the endpoint of a path and the id in it.
func find(r *http.Request) (e endpoint, id string, ok bool) {
	path := r.URL.Path
	if e, ok = endpoints[path]; ok {
		return e, "", true
	}
	if strings.HasPrefix(path, direct) {
		return endpoint{r.Method, protoOf(r), (*Server).direct}, "", true
	}
	if rest, azure := strings.CutPrefix(path, deployments); azure {
		for _, op := range azureOps {
			if model, has := strings.CutSuffix(rest, op); has {
				return endpoints[op], model, model != ""
			}
		}
		return e, "", false
	}
	if e, id, ok = order(path); ok {
		return e, id, true
	}
	if e, ok = verb(r); ok {
		return e, "", true
	}
	if e, id, ok = shelved(r); ok {
		return e, id, true
	}
	for _, p := range under {
		if id, has := strings.CutPrefix(path, p); has && id != "" && !(r.Method == http.MethodPost && strings.Contains(id, ":")) { // else a verb that is none
			return endpoints[strings.TrimSuffix(p, "/")], id, true
		}
	}
	if trimmed := strings.TrimSuffix(path, "/"); trimmed != path {
		e, ok = endpoints[trimmed]
	}
	return e, "", ok
}

// verb finds Gemini's and Vertex' paths: a model, a colon, what to do. SDKs
// leave "models/" out where the model's name holds a slash.
func verb(r *http.Request) (endpoint, bool) {
	i := strings.LastIndexByte(r.URL.Path, ':')
	if i < 0 {
		return endpoint{}, false
	}
	a, ok := verbs[r.URL.Path[i+1:]]
	if !ok {
		return endpoint{}, false
	}
	model := r.URL.Path[:i]
	if _, rest, vertex := strings.Cut(model, "/publishers/"); vertex { // …/publishers/google/models/m
		_, rest, ok = strings.Cut(rest, "/models/")
		model = rest
	} else {
		ok = false
		for _, p := range geminiPrefixes {
			if rest, has := strings.CutPrefix(model, p+"/"); has && len(rest) > 0 {
				model, ok = rest, true
				break
			}
		}
		model = strings.TrimPrefix(model, "models/")
	}
	if !ok || model == "" {
		return endpoint{}, false
	}
	a.model = model
	a.array = a.proto == llm.ProtoGemini && a.stream && r.URL.Query().Get("alt") != "sse"
	return endpoint{http.MethodPost, a.proto, func(s *Server, w http.ResponseWriter, r *http.Request, _ string) { s.serve(a, w, r) }}, true
}

// protoOf is whose envelope an error comes in where no endpoint says it.
func protoOf(r *http.Request) llm.Proto {
	switch path := r.URL.Path; {
	case r.Header.Get("Anthropic-Version") != "", strings.HasPrefix(path, "/anthropic/"), strings.HasPrefix(path, "/v1/messages"):
		return llm.ProtoAnthropic
	case strings.HasPrefix(path, "/v1beta"), strings.HasPrefix(path, "/v1alpha/"), strings.HasPrefix(path, "/gemini/"):
		return llm.ProtoGemini
	}
	return llm.ProtoOpenAI
}
