package sim

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	geminiTools = `"tools":[{"functionDeclarations":[{"name":"clock"},{"name":"weather","parameters":{"type":"OBJECT","properties":{"city":{"type":"STRING","minLength":"3"}},"required":["city"]}}]}]`
	unaryPath   = "/v1beta/models/m:generateContent"
	streamPath  = "/v1beta/models/m:streamGenerateContent"
)

func contents(text string) string {
	return `"contents":[{"role":"user","parts":[{"text":"` + text + `"}]}]`
}

func (r *rig) gemini(body string) (g geminiReply) {
	r.Helper()
	if err := json.Unmarshal([]byte(body), &g); err != nil {
		r.Fatalf("body %q: %v", body, err)
	}
	return g
}

// joined rebuilds an answer of one candidate from its stream: texts that
// follow each other are one part.
func (r *rig) joined(body string, array bool) geminiReply {
	r.Helper()
	var all []geminiReply
	if array {
		if err := json.Unmarshal([]byte(body), &all); err != nil {
			r.Fatalf("body %q: %v", body, err)
		}
	} else {
		for part := range strings.SplitSeq(strings.TrimSuffix(body, "\r\n\r\n"), "\r\n\r\n") {
			data, ok := strings.CutPrefix(part, "data: ")
			if !ok {
				r.Fatalf("event %q does not begin with data:", part)
			}
			all = append(all, r.gemini(data))
		}
	}
	out := all[len(all)-1]
	var parts []geminiBit
	for _, g := range all {
		if g.ID != out.ID || g.Candidates[0].Content == nil {
			continue
		}
		for _, b := range g.Candidates[0].Content.Parts {
			n := len(parts) - 1
			if b.Text != nil && n >= 0 && parts[n].Text != nil && parts[n].Thought == b.Thought {
				*parts[n].Text += *b.Text
				parts[n].Signature += b.Signature
			} else if b.Text == nil || *b.Text != "" {
				parts = append(parts, b)
			}
		}
	}
	if len(parts) > 0 {
		out.Candidates[0].Content = &geminiSaid{parts, "model"}
	}
	return out
}

// TestGemini: each answer says in a stream what it says whole.
func TestGemini(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		kinds      []string
		finish     string
	}{
		{"text", contents("hi"), []string{"text"}, "STOP"},
		{"tool", contents("call the tool") + "," + geminiTools, []string{"call"}, "STOP"},
		{"tools", contents("call every tool") + "," + geminiTools, []string{"call", "call"}, "STOP"},
		{"forced", contents("hi") + `,"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["weather"]}},` + geminiTools, []string{"call"}, "STOP"},
		{"none", contents("call the tool") + `,"tool_config":{"function_calling_config":{"mode":"NONE"}},` + geminiTools, []string{"text"}, "STOP"},
		{"thoughts", contents("hi") + `,"generationConfig":{"thinkingConfig":{"includeThoughts":true,"thinkingBudget":-1}}`, []string{"thought", "text"}, "STOP"},
		{"hidden thoughts", contents("hi") + `,"generationConfig":{"thinkingConfig":{"thinkingLevel":"LOW"}}`, []string{"text"}, "STOP"},
		{"no thoughts", contents("hi") + `,"generationConfig":{"thinkingConfig":{"includeThoughts":true,"thinkingBudget":0}}`, []string{"text"}, "STOP"},
		{"length", contents("hi") + `,"generation_config":{"max_output_tokens":3}`, []string{"text"}, "MAX_TOKENS"},
		{"stop sequence", contents("hi") + `,"generationConfig":{"stopSequences":["(simul"]}`, []string{"text"}, "STOP"},
		{"refusal", contents("refuse to answer"), nil, "SAFETY"},
		{"structured", contents("hi") + `,"generationConfig":{"responseMimeType":"application/json","responseJsonSchema":{"type":"object","additionalProperties":false}}`, []string{"text"}, "STOP"},
	} {
		r := start(t, Config{Seed: 3, Models: []Model{{Name: "m"}}})
		resp, whole, err := r.post(unaryPath, "{"+tc.body+"}")
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: got %v %s, %v", tc.name, resp, whole, err)
		}
		g := r.gemini(whole)
		c := g.Candidates[0]
		var kinds []string
		if c.Content != nil {
			for _, b := range c.Content.Parts {
				switch {
				case b.Call != nil:
					kinds = append(kinds, "call")
				case b.Thought:
					kinds = append(kinds, "thought")
				default:
					kinds = append(kinds, "text")
				}
			}
		}
		u := g.Usage
		if !slices.Equal(kinds, tc.kinds) || c.Finish != tc.finish || u.Candidates == 0 || u.Total != u.Prompt+u.Candidates+u.Thoughts {
			t.Errorf("%s: got %s", tc.name, whole)
		}
		if thinks := strings.HasSuffix(tc.name, "thoughts") && tc.name != "no thoughts"; thinks != (u.Thoughts > 0) {
			t.Errorf("%s: got %d tokens of thinking", tc.name, u.Thoughts)
		}
		for _, path := range []string{streamPath + "?alt=sse", streamPath} {
			r.sim.Reset()
			_, streamed, _ := r.post(path, "{"+tc.body+"}")
			if again := encode(r.joined(streamed, path == streamPath)); string(again) != whole {
				t.Errorf("%s: %s says\n%s, want\n%s", tc.name, path, again, whole)
			}
		}
	}
}

func TestGeminiRefusals(t *testing.T) {
	r := start(t, Config{Models: []Model{{Name: "m", Context: 100}, {Name: "gemini-3-pro"}}})
	const called = `{"role":"model","parts":[{"functionCall":{"name":"clock","args":{}}},{"functionCall":{"name":"clock","args":{}}}]}`
	const result = `{"functionResponse":{"name":"clock","response":{"output":"1"}}}`
	for _, tc := range []struct{ name, body, want string }{
		{"no contents", `{"contents":[]}`, "contents is not specified"},
		{"unknown member", `{` + contents("a") + `,"messages":[]}`, `Unknown name \"messages\": Cannot find field.`},
		{"unknown member inside", `{` + contents("a") + `,"generationConfig":{"maxTokens":1}}`, `Unknown name \"maxTokens\" at 'generation_config': Cannot find field.`},
		{"role", `{"contents":[{"role":"assistant","parts":[{"text":"a"}]}]}`, "Please use a valid role: user, model."},
		{"empty part", `{"contents":[{"role":"user","parts":[{}]}]}`, "required oneof field 'data'"},
		{"no parts", `{"contents":[{"role":"user","parts":[]}]}`, "contents.parts must not be empty"},
		{"count", `{"contents":[{"role":"user","parts":[{"text":"a"}]},` + called + `,{"role":"user","parts":[` + result + `]}],` + geminiTools + `}`, "number of function response parts is equal"},
		{"apart", `{"contents":[{"role":"user","parts":[{"text":"a"}]},` + called + `,{"role":"user","parts":[` + result + `]},{"role":"user","parts":[` + result + `]}],` + geminiTools + `}`, "number of function response parts is equal"},
		{"response alone", `{"contents":[{"role":"user","parts":[` + result + `]}]}`, "function response turn comes immediately after a function call turn"},
		{"call first", `{"contents":[` + called + `]}`, "function call turn comes immediately after a user turn"},
		{"response", `{"contents":[{"role":"user","parts":[{"functionResponse":{"name":"clock","response":"1"}}]}]}`, "google.protobuf.Struct"},
		{"response name", `{"contents":[{"role":"user","parts":[{"functionResponse":{"response":{}}}]}]}`, "Name cannot be empty"},
		{"schema", `{` + contents("a") + `,"tools":[{"functionDeclarations":[{"name":"a","parameters":{"type":"object","additionalProperties":false}}]}]}`, `Unknown name \"additionalProperties\" at 'tools[0].function_declarations[0].parameters'`},
		{"schema types", `{` + contents("a") + `,"tools":[{"functionDeclarations":[{"name":"a","parameters":{"type":["string","null"]}}]}]}`, "Proto field is not repeating"},
		{"tool name", `{` + contents("a") + `,"tools":[{"functionDeclarations":[{"name":"a b"}]}]}`, "Invalid function name"},
		{"allowed", `{` + contents("a") + `,"toolConfig":{"functionCallingConfig":{"mode":"AUTO","allowedFunctionNames":["clock"]}},` + geminiTools + `}`, "allowed_function_names should only be set"},
		{"form", `{` + contents("a") + `,"generationConfig":{"responseSchema":{"type":"OBJECT"}}}`, "only allowed when response_mime_type is application/json"},
		{"stops", `{` + contents("a") + `,"generationConfig":{"stopSequences":["1","2","3","4","5","6"]}}`, "at most 5 stop sequences"},
		{"budget and level", `{` + contents("a") + `,"generationConfig":{"thinkingConfig":{"thinkingBudget":5,"thinkingLevel":"LOW"}}}`, "only one of thinking budget"},
		{"signature", `{"contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[{"text":"b","thoughtSignature":"AAAA"}]},{"role":"user","parts":[{"text":"c"}]}]}`, "Corrupted thought signature."},
		{"too long", `{` + contents(strings.Repeat("word ", 100)) + `}`, "The input token count (127) exceeds the maximum number of tokens allowed (100)."},
	} {
		resp, body, err := r.post(unaryPath, tc.body, "x-goog-api-key", "k")
		var e geminiErrorBody
		if err != nil || json.Unmarshal([]byte(body), &e) != nil || resp.StatusCode != 400 || e.Error.Code != 400 || e.Error.Status != "INVALID_ARGUMENT" || !strings.Contains(body, tc.want) {
			t.Errorf("%s: got %v %s, %v, want %q", tc.name, resp, body, err, tc.want)
		}
	}
	if resp, body, _ := r.post("/v1beta/models/x:generateContent", "{}"); resp.StatusCode != 404 || !strings.Contains(body, `"NOT_FOUND"`) {
		t.Errorf("unknown model: got %d %s", resp.StatusCode, body)
	}
	if _, body, _ := r.post("/v1beta/models/x:streamGenerateContent", "{}"); !strings.HasPrefix(body, `[{"error"`) {
		t.Errorf("unknown model, as an array: got %s", body)
	}
}

// TestGeminiReplay: the third generation wants the signature of its calls
// back; the words of Google's pages stand in for it.
func TestGeminiReplay(t *testing.T) {
	r := start(t, Config{Models: []Model{{Name: "gemini-3-pro"}}})
	const path = "/v1beta/models/gemini-3-pro:generateContent"
	_, body, _ := r.post(path, `{`+contents("call every tool")+`,`+geminiTools+`}`)
	parts := r.gemini(body).Candidates[0].Content.Parts
	if len(parts) != 2 || parts[0].Signature == "" || parts[1].Signature != "" || parts[0].Call.ID == "" {
		t.Fatalf("got %s", body)
	}
	ask := func(parts []geminiBit) (int, string) {
		resp, body, _ := r.post(path, `{"contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":`+string(encode(parts))+`},
			{"role":"user","parts":[{"functionResponse":{"name":"clock","response":{}}},{"functionResponse":{"name":"weather","response":{}}}]}],`+geminiTools+`}`)
		return resp.StatusCode, body
	}
	if status, body := ask(parts); status != 200 {
		t.Errorf("as it was: got %d %s", status, body)
	}
	real := parts[0].Signature
	for signature, want := range map[string]string{
		"":                "position 2",
		"AAAA" + real[4:]: "Corrupted thought signature.",
		noSignature[1]:    "finishReason",
		"c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I": "finishReason",
	} {
		parts[0].Signature = signature
		if _, body := ask(parts); !strings.Contains(body, want) {
			t.Errorf("signature %q: got %s, want %s", signature, body, want)
		}
	}
}

func TestGeminiCandidatesAndMedia(t *testing.T) {
	r := start(t, Config{Models: []Model{{Name: "m"}}})
	_, body, _ := r.post(unaryPath, `{"contents":[{"parts":[{"text":"what is this"},{"inline_data":{"mime_type":"image/png","data":"aGk="}},{"fileData":{"fileUri":"gs://a/b","mimeType":"application/pdf"}}]}],"generationConfig":{"candidateCount":2}}`)
	g := r.gemini(body)
	if len(g.Candidates) != 2 || g.Candidates[1].Index != 1 || !strings.Contains(body, `{"modality":"IMAGE","tokenCount":258}`) || !strings.Contains(body, `"DOCUMENT"`) {
		t.Errorf("got %s", body)
	}
}

func TestGeminiKeys(t *testing.T) {
	r := start(t, Config{Keys: []string{"AIza-correct"}, Models: []Model{{Name: "m"}}})
	for _, tc := range []struct {
		name, query, head, value string
		status                   int
		want                     string
	}{
		{"header", "", "x-goog-api-key", "AIza-correct", 200, ""},
		{"query", "?key=AIza-correct", "x", "y", 200, ""},
		{"bearer", "", "Authorization", "Bearer AIza-correct", 200, ""},
		{"wrong", "", "x-goog-api-key", "AIza-wrong", 400, `"API_KEY_INVALID"`},
		{"none", "", "x", "y", 403, `"PERMISSION_DENIED"`},
	} {
		resp, body, _ := r.post(unaryPath+tc.query, "{"+contents("hi")+"}", tc.head, tc.value)
		if resp.StatusCode != tc.status || !strings.Contains(body, tc.want) {
			t.Errorf("%s: got %d %s", tc.name, resp.StatusCode, body)
		}
	}
}

func TestGeminiFaults(t *testing.T) {
	for _, tc := range []struct {
		fault  Fault
		path   string
		status int
		broken bool
		valid  bool // an array is whole JSON
		want   string
	}{
		{Fault{Kind: FaultCut, After: 3}, streamPath + "?alt=sse", 200, true, false, "data: "},
		{Fault{Kind: FaultErrorMid, After: 2}, streamPath + "?alt=sse", 200, false, false, "\r\n\r\ndata: {\"error\":{\"code\":500"},
		{Fault{Kind: FaultErrorMid, After: 2}, streamPath, 200, false, true, `{"error":{"code":500`},
		{Fault{Kind: FaultError200}, streamPath, 200, false, true, `[{"error":{"code":500`},
		{Fault{Kind: FaultMalformed, After: 1}, streamPath + "?alt=sse", 200, false, false, "no JSON\ndata: {"},
		{Fault{Kind: FaultStatus, Status: 503}, unaryPath, 503, false, true, `"UNAVAILABLE"`},
		{Fault{Kind: FaultStatus, Status: 429, Headers: map[string]string{"Retry-After": "7"}}, unaryPath, 429, false, true, `"retryDelay":"7s"`},
	} {
		r := start(t, Config{Models: []Model{{Name: "m", Fault: &tc.fault}}})
		resp, body, err := r.post(tc.path, "{"+contents("hi")+"}")
		if (err != nil) != tc.broken || resp.StatusCode != tc.status || !strings.Contains(body, tc.want) || tc.valid != json.Valid([]byte(body)) {
			t.Errorf("%s: got %v %s, %v", tc.fault.Kind, resp, body, err)
		}
		if last := r.settled(); last.Outcome != OutcomeFault {
			t.Errorf("%s: got journal %+v", tc.fault.Kind, last)
		}
	}
}

func TestGeminiRest(t *testing.T) {
	r := start(t, Config{Models: []Model{{Name: "org/m"}, {Name: "m", RPM: 100, Latency: time.Nanosecond}}})
	for _, tc := range []struct{ path, body, want string }{
		{"/v1beta/models/m:countTokens", "{" + contents("hello") + "}", `"totalTokens":3`},
		{"/v1beta/models/m:countTokens", `{"generateContentRequest":{"model":"models/m",` + contents("hello") + "}}", `"totalTokens":3`},
		{"/v1beta/models/m:embedContent", `{"content":{"parts":[{"text":"a"}]},"outputDimensionality":2}`, `{"embedding":{"values":[`},
		{"/v1beta/models/m:batchEmbedContents", `{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]},"output_dimensionality":2},{"model":"models/m","content":{"parts":[{"text":"b"}]},"outputDimensionality":2}]}`, `{"embeddings":[{"values":[`},
		{"/v1beta/models/org/m:generateContent", "{" + contents("hi") + "}", `"modelVersion":"org/m"`},
		{"/v1/projects/p/locations/l/publishers/google/models/m:generateContent", "{" + contents("hi") + "}", `"modelVersion":"m"`},
		{"/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict", `{"anthropic_version":"vertex-2023-10-16","max_tokens":9,` + user("hi") + "}", `"stop_reason":"max_tokens"`},
		{"/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict", `{"max_tokens":9,` + user("hi") + "}", "anthropic_version: Field required"},
	} {
		if _, body, err := r.post(tc.path, tc.body); err != nil || !strings.Contains(body, tc.want) {
			t.Errorf("%s: got %s, %v, want %s", tc.path, body, err, tc.want)
		}
	}
	if status, body := r.get("/v1beta/tunedModels"); status != 404 || !strings.Contains(body, `"NOT_FOUND"`) {
		t.Errorf("got %d %s", status, body)
	}
	if _, body := r.get("/v1beta/models"); !strings.Contains(body, `"name":"models/org/m"`) {
		t.Errorf("got %s", body)
	}
	if _, body := r.get("/v1beta/models/m"); !strings.Contains(body, `"supportedGenerationMethods"`) {
		t.Errorf("got %s", body)
	}
}
