package sim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type rig struct {
	*testing.T
	sim *Server
	url string
	hc  *http.Client
}

func start(t *testing.T, c Config) *rig {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	tr := &http.Transport{MaxIdleConnsPerHost: 1000}
	t.Cleanup(func() { s.Close(); tr.CloseIdleConnections(); srv.CloseClientConnections(); srv.Close() })
	return &rig{t, s, srv.URL, &http.Client{Transport: tr}}
}

// post sends and reads all; err is that of reading the body.
func (r *rig) post(path, body string, head ...string) (*http.Response, string, error) {
	r.Helper()
	req, err := http.NewRequest("POST", r.url+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	for i := 0; i < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	resp, err := r.hc.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

func (r *rig) get(path string) (int, string) {
	r.Helper()
	resp, err := r.hc.Get(r.url + path)
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// settled waits for the last call to end and returns it.
func (r *rig) settled() Call {
	r.Helper()
	var last Call
	r.until("the last call has ended", func() bool {
		j := r.sim.Journal()
		last = j[len(j)-1]
		return !last.End.IsZero()
	})
	return last
}

// until waits for what another goroutine does over real sockets.
func (r *rig) until(what string, ok func() bool) {
	r.Helper()
	for range 20000 {
		if ok() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	r.Fatalf("it never came that %s: %+v", what, r.sim.Journal())
}

type chunk struct {
	ID      string
	Object  string
	Model   string
	Choices []struct {
		Index int
		Text  string
		Delta struct {
			Role      string
			Content   *string
			Refusal   *string
			Reasoning string `json:"reasoning_content"`
			ToolCalls []struct {
				Index    int
				ID       string
				Function struct{ Name, Arguments string }
				Custom   struct{ Name, Input string }
			} `json:"tool_calls"`
		}
		Message struct {
			Content   *string
			Refusal   *string
			Reasoning string `json:"reasoning_content"`
			ToolCalls []struct {
				ID       string
				Function struct{ Name, Arguments string }
				Custom   struct{ Name, Input string }
			} `json:"tool_calls"`
		}
		Finish string `json:"finish_reason"`
	}
	Usage *usage
	Error *struct{ Message, Code string }
}

// events decodes a stream; done tells whether it ended with [DONE].
func (r *rig) events(body string) (all []chunk, done bool) {
	r.Helper()
	for part := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		data, ok := strings.CutPrefix(part, "data: ")
		if !ok {
			r.Fatalf("event %q does not begin with data:", part)
		}
		if data == "[DONE]" {
			done = true
			continue
		}
		var c chunk
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			r.Fatalf("event %q: %v", data, err)
		}
		all = append(all, c)
	}
	return all, done
}

func (r *rig) unary(body string) chunk {
	r.Helper()
	var c chunk
	if err := json.Unmarshal([]byte(body), &c); err != nil {
		r.Fatalf("body %q: %v", body, err)
	}
	return c
}

const hello = `{"model":"m","messages":[{"role":"user","content":"hello there"}]}`

func streamed(body string) string {
	return strings.Replace(body, `{"model"`, `{"stream":true,"model"`, 1)
}

func TestChat(t *testing.T) {
	r := start(t, Config{Seed: 7, Models: []Model{{Name: "m", Tokens: 12, Spread: 3}}})
	resp, body, err := r.post("/v1/chat/completions", hello)
	if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("got %v, %v", resp, err)
	}
	got := r.unary(body)
	ch := got.Choices[0]
	if !strings.HasPrefix(*ch.Message.Content, "This is m (simulated).") || ch.Finish != "stop" || got.Object != "chat.completion" {
		t.Errorf("got %s", body)
	}
	u := got.Usage
	if u.Prompt != countTokens(len("\nuser\nhello there")) || u.Completion < 1 || u.Total != u.Prompt+u.Completion {
		t.Errorf("got usage %+v", u)
	}

	// A stream says the same as a unary answer of the same number.
	r.sim.Reset()
	resp, body, err = r.post("/chat/completions", `{"stream":true,"stream_options":{"include_usage":true},`+hello[1:])
	if err != nil || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		t.Fatalf("got %v, %v", resp, err)
	}
	all, done := r.events(body)
	if !done || all[0].Choices[0].Delta.Role != "assistant" || *all[0].Choices[0].Delta.Content != "" {
		t.Fatalf("got %s", body)
	}
	var text strings.Builder
	for _, e := range all[1 : len(all)-2] {
		text.WriteString(*e.Choices[0].Delta.Content)
	}
	if text.String() != *ch.Message.Content || all[0].ID != got.ID {
		t.Errorf("got stream %s %q, want %s %q", all[0].ID, text.String(), got.ID, *ch.Message.Content)
	}
	if f := all[len(all)-2].Choices[0].Finish; f != "stop" {
		t.Errorf("got finish %q, want stop", f)
	}
	last := all[len(all)-1]
	if len(last.Choices) != 0 || *last.Usage != *u || len(all)-3 != u.Completion {
		t.Errorf("got %d content events and usage %+v, want %+v", len(all)-3, last.Usage, u)
	}
	if !strings.Contains(body, `"choices":[],"usage":{`) || !strings.Contains(body, `"usage":null`) {
		t.Errorf("got %s", body)
	}

	_, body, _ = r.post("/v1/chat/completions", streamed(hello))
	if all, done := r.events(body); !done || strings.Contains(body, "usage") || all[len(all)-1].Choices[0].Finish != "stop" {
		t.Errorf("without include_usage got %s", body)
	}
}

func TestLengthAndN(t *testing.T) {
	r := start(t, Config{Models: []Model{{Name: "m", Tokens: 50}}})
	for _, field := range []string{"max_tokens", "max_completion_tokens"} {
		_, body, _ := r.post("/v1/chat/completions", `{"`+field+`":5,"n":3,`+hello[1:])
		c := r.unary(body)
		if len(c.Choices) != 3 || c.Choices[2].Index != 2 || c.Choices[1].Finish != "length" || c.Usage.Completion != 15 {
			t.Errorf("%s: got %s", field, body)
		}
		if *c.Choices[0].Message.Content == *c.Choices[1].Message.Content {
			t.Errorf("%s: choices are the same: %s", field, body)
		}
		_, body, _ = r.post("/v1/chat/completions", `{"stream":true,"`+field+`":5,"n":3,`+hello[1:])
		all, done := r.events(body)
		if !done || len(all) != 3+15+3 {
			t.Errorf("%s: got %d events, want 21", field, len(all))
		}
	}
	_, body, _ := r.post("/v1/completions", `{"model":"m","prompt":["a","b"],"n":2,"max_tokens":2}`)
	if c := r.unary(body); len(c.Choices) != 4 || c.Object != "text_completion" || c.Choices[3].Text != "This is" {
		t.Errorf("got %s", body)
	}
	_, body, _ = r.post("/completions", `{"model":"m","prompt":[1,2,3],"max_tokens":2,"stream":true,"stream_options":{"include_usage":true}}`)
	all, done := r.events(body)
	if !done || len(all) != 4 || all[0].Choices[0].Text != "This" || all[2].Choices[0].Finish != "length" || all[3].Usage.Prompt != 3 {
		t.Errorf("got %s", body)
	}
}

const weather = `"tools":[{"type":"function","function":{"name":"clock"}},{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer","minimum":1,"maximum":3}},"required":["city","days"]}}}]`

func TestTools(t *testing.T) {
	r := start(t, Config{Models: []Model{{Name: "m"}}})
	user := func(text string) string { return `"messages":[{"role":"user","content":"` + text + `"}]` }
	for _, tc := range []struct{ name, body, want string }{
		{"none asked", user("hi") + "," + weather, ""},
		{"by text", user("please CALL the tool") + "," + weather, "clock"},
		{"by text, forbidden", user("call the tool") + `,"tool_choice":"none",` + weather, ""},
		{"by parts", `"messages":[{"role":"user","content":[{"type":"text","text":"call the tool"}]}],` + weather, "clock"},
		{"required", user("hi") + `,"tool_choice":"required",` + weather, "clock"},
		{"named", user("hi") + `,"tool_choice":{"type":"function","function":{"name":"weather"}},` + weather, "weather"},
		{"after the result", `"messages":[{"role":"user","content":"call the tool"},{"role":"assistant","tool_calls":[{"id":"x"}]},{"role":"tool","tool_call_id":"x","content":"1"}],` + weather, ""},
	} {
		_, body, _ := r.post("/v1/chat/completions", `{"model":"m",`+tc.body+`}`)
		ch := r.unary(body).Choices[0]
		got, args := "", ""
		if len(ch.Message.ToolCalls) > 0 {
			got, args = ch.Message.ToolCalls[0].Function.Name, ch.Message.ToolCalls[0].Function.Arguments
		}
		if got != tc.want || (tc.want != "") != (ch.Finish == "tool_calls") || (tc.want == "") != (ch.Message.Content != nil) {
			t.Errorf("%s: got %q in %s, want %q", tc.name, got, body, tc.want)
		}

		_, body, _ = r.post("/v1/chat/completions", `{"model":"m","stream":true,`+tc.body+`}`)
		all, _ := r.events(body)
		name, streamedArgs := "", ""
		for _, e := range all {
			for _, call := range e.Choices[0].Delta.ToolCalls {
				if name == "" && (call.ID == "" || call.Function.Name == "" || call.Function.Arguments != "") {
					t.Errorf("%s: first piece is %+v", tc.name, call)
				}
				name += call.Function.Name
				streamedArgs += call.Function.Arguments
			}
		}
		if name != tc.want || tc.want != "" && !json.Valid([]byte(streamedArgs)) {
			t.Errorf("%s: got stream %q %q, want %q", tc.name, name, streamedArgs, tc.want)
		}
		if tc.want == "weather" {
			var a struct {
				City string
				Days int
			}
			if err := json.Unmarshal([]byte(args), &a); err != nil || a.City == "" || a.Days < 1 || a.Days > 3 {
				t.Errorf("got arguments %q, %v", args, err)
			}
		}
	}
}

func TestStructured(t *testing.T) {
	r := start(t, Config{Models: []Model{{Name: "m"}}})
	_, body, _ := r.post("/v1/chat/completions", `{"response_format":{"type":"json_object"},`+hello[1:])
	if c := *r.unary(body).Choices[0].Message.Content; !json.Valid([]byte(c)) || !strings.Contains(c, "This is m") {
		t.Errorf("got %s", c)
	}
	schema := `{"type":"object","$defs":{"p":{"type":"object","properties":{"next":{"anyOf":[{"$ref":"#/$defs/p"},{"type":"null"}]},"k":{"enum":["é","ü"]}},"required":["k","next"]}},
		"properties":{"p":{"$ref":"#/$defs/p"},"list":{"type":"array","items":{"type":["null","number"]},"minItems":2},"on":{"type":"boolean"},"at":{"type":"string","format":"date-time"},"left":{"type":"string"}},
		"required":["p","list","on","at"]}`
	_, body, _ = r.post("/v1/chat/completions", `{"response_format":{"type":"json_schema","json_schema":{"name":"x","strict":true,"schema":`+schema+`}},`+hello[1:])
	var doc struct {
		P    struct{ K string }
		List []float64
		On   *bool
		At   time.Time
		Left *string
	}
	c := *r.unary(body).Choices[0].Message.Content
	if err := json.Unmarshal([]byte(c), &doc); err != nil || doc.P.K == "" || len(doc.List) != 2 || doc.On == nil || doc.At.IsZero() || doc.Left != nil {
		t.Errorf("got %s, %v", c, err)
	}
}

func FuzzDocument(f *testing.F) {
	f.Add(`{"type":"object","properties":{"a":{"type":"integer","minimum":3}},"required":["a","b"]}`)
	f.Add(`{"$ref":"#"}`)
	f.Add(`{"allOf":[{"type":["null"]}],"enum":[]}`)
	f.Add(`{"type":"array","items":{"type":"array","items":{"$ref":"#/items"}},"minItems":1000000000}`)
	f.Add(`true`)
	f.Fuzz(func(t *testing.T, schema string) {
		if !json.Valid([]byte(schema)) {
			return
		}
		if doc := document(draw{}.source(0), json.RawMessage(schema)); !json.Valid([]byte(doc)) {
			t.Errorf("schema %s: got %s", schema, doc)
		}
	})
}

func TestEmbeddings(t *testing.T) {
	r := start(t, Config{Models: []Model{{Name: "m"}}})
	type answer struct {
		Data []struct {
			Index     int
			Embedding json.RawMessage
		}
		Usage usage
	}
	read := func(body string) (a answer) {
		_, got, err := r.post("/v1/embeddings", body)
		if err == nil {
			err = json.Unmarshal([]byte(got), &a)
		}
		if err != nil || len(a.Data) == 0 {
			t.Fatalf("%s: got %s, %v", body, got, err)
		}
		return a
	}
	a := read(`{"model":"m","input":["one","two"],"dimensions":8}`)
	b := read(`{"model":"m","input":"two","dimensions":8,"encoding_format":"base64"}`)
	var floats []float32
	var packed []byte
	if err := errors.Join(json.Unmarshal(a.Data[1].Embedding, &floats), json.Unmarshal(b.Data[0].Embedding, &packed)); err != nil {
		t.Fatal(err)
	}
	if want, _ := base64.StdEncoding.DecodeString(pack(floats)); len(floats) != 8 || !bytes.Equal(packed, want) {
		t.Errorf("got base64 %x, want %x", packed, want)
	}
	if c := read(`{"model":"m","input":[[1,2],[3]]}`); len(c.Data) != 2 || c.Usage.Prompt != 3 || c.Usage.Total != 3 {
		t.Errorf("got %+v", c.Usage)
	}
}

func TestRefusals(t *testing.T) {
	r := start(t, Config{Keys: []string{"sk-correct-key"}, Models: []Model{{Name: "m"}, {Name: "org/m"}}})
	const chat = "/v1/chat/completions"
	for _, tc := range []struct {
		name, path, key, body string
		status                int
		code, param           string
	}{
		{"no key", chat, "", hello, 401, "invalid_api_key", ""},
		{"wrong key", chat, "Bearer sk-wrong", hello, 401, "invalid_api_key", ""},
		{"no JSON", chat, "bearer sk-correct-key", `{"model":"m",`, 400, "", ""},
		{"not an object", chat, "Bearer sk-correct-key", `[]`, 400, "", ""},
		{"no model", chat, "Bearer sk-correct-key", `{"messages":[]}`, 400, "", "model"},
		{"unknown model", chat, "Bearer sk-correct-key", `{"model":"x"}`, 404, "model_not_found", "model"},
		{"two models", chat, "Bearer sk-correct-key", `{"model":"m","model":"x","messages":[{"role":"user"}]}`, 400, "", "model"},
		{"no messages", chat, "Bearer sk-correct-key", `{"model":"m"}`, 400, "", "messages"},
		{"wrong type", chat, "Bearer sk-correct-key", `{"model":"m","messages":7}`, 400, "", "messages"},
		{"n", chat, "Bearer sk-correct-key", `{"n":0,` + hello[1:], 400, "integer_out_of_range", "n"},
		{"tool_choice", chat, "Bearer sk-correct-key", `{"tool_choice":"auto",` + hello[1:], 400, "", "tool_choice"},
		{"prompt", "/v1/completions", "Bearer sk-correct-key", `{"model":"m"}`, 400, "", "prompt"},
		{"input", "/v1/embeddings", "Bearer sk-correct-key", `{"model":"m","input":[]}`, 400, "", "input"},
		{"path", "/v1/nothing", "Bearer sk-correct-key", `{}`, 404, "unknown_url", ""},
		{"fine", chat, "Bearer sk-correct-key", strings.Replace(hello, `"m"`, `"org/m"`, 1), 200, "", ""},
	} {
		resp, body, err := r.post(tc.path, tc.body, "Authorization", tc.key)
		if err != nil || resp.StatusCode != tc.status {
			t.Errorf("%s: got %v %s %v, want status %d", tc.name, resp, body, err, tc.status)
			continue
		}
		if tc.status == 200 {
			continue
		}
		var p problemBody
		if err := json.Unmarshal([]byte(body), &p); err != nil || p.Error.Message == "" || p.Error.Type == "" {
			t.Errorf("%s: got %s", tc.name, body)
		}
		code, param := "", ""
		if p.Error.Code != nil {
			code = *p.Error.Code
		}
		if p.Error.Param != nil {
			param = *p.Error.Param
		}
		if code != tc.code || param != tc.param {
			t.Errorf("%s: got code %q param %q, want %q %q", tc.name, code, param, tc.code, tc.param)
		}
	}
	j := r.sim.Journal()
	if got := j[1]; got.Outcome != OutcomeInvalid || got.Status != 401 || got.Credential != "rong" {
		t.Errorf("got journal %+v", got)
	}
	if n, _ := r.sim.Counters("m"); n.InFlight != 0 || n.Errors != n.Calls {
		t.Errorf("got counters %+v", n)
	}
}

func TestModels(t *testing.T) {
	r := start(t, Config{Models: []Model{{Name: "b/x"}, {Name: "a"}}, AnyModel: true})
	status, body := r.get("/v1/models")
	if status != 200 || !strings.Contains(body, `"id":"a"`) || !strings.Contains(body, `"id":"b/x"`) {
		t.Errorf("got %d %s", status, body)
	}
	for _, path := range []string{"/v1/models/b/x", "/models/b%2Fx", "/v1/models/any"} {
		if status, body := r.get(path); status != 200 || !strings.Contains(body, `"object":"model"`) {
			t.Errorf("%s: got %d %s", path, status, body)
		}
	}
	if resp, _, _ := r.post("/v1/chat/completions", strings.Replace(hello, `"m"`, `"any"`, 1)); resp.StatusCode != 200 {
		t.Errorf("got %d, want 200", resp.StatusCode)
	}
}

func TestOnRequest(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	r := start(t, Config{Models: []Model{{Name: "m"}}, OnRequest: func(req *http.Request, body []byte) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, req.URL.Path+" "+string(body))
	}})
	r.post("/v1/chat/completions", hello)
	if want := "/v1/chat/completions " + hello; len(seen) != 1 || seen[0] != want {
		t.Errorf("got %q, want %q", seen, want)
	}
}

func TestModerations(t *testing.T) {
	r := start(t, Config{Models: []Model{{Name: "omni-moderation-latest"}}})
	for input, want := range map[string][]bool{
		`"hello"`: {false}, `"I will KILL it"`: {true}, `["a lockpick", "a bomb"]`: {false, true},
		`[{"type": "text", "text": "you loser"}]`: {true},
	} {
		resp, body, err := r.post("/v1/moderations", `{"model": "omni-moderation-latest", "input": `+input+`}`)
		var out struct {
			Results []struct {
				Flagged bool
				Scores  map[string]float64 `json:"category_scores"`
			}
		}
		if err != nil || resp.StatusCode != 200 || json.Unmarshal([]byte(body), &out) != nil || len(out.Results) != len(want) {
			t.Errorf("%s: status %d, %v: %s", input, resp.StatusCode, err, body)
			continue
		}
		for i, x := range out.Results {
			if x.Flagged != want[i] || len(x.Scores) == 0 {
				t.Errorf("%s: got %+v, want flagged %v", input, x, want[i])
			}
		}
	}
	if resp, _, _ := r.post("/v1/moderations", `{"model": "omni-moderation-latest"}`); resp.StatusCode != 400 {
		t.Errorf("no input: status %d, want 400", resp.StatusCode)
	}
}
