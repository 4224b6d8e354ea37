package sim

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const openTools = `"tools":[{"type":"function","name":"clock","parameters":{"type":"object","properties":{}}},{"type":"function","name":"weather","strict":true,"parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}}]`

func (r *rig) response(body string) (w response) {
	r.Helper()
	if err := json.Unmarshal([]byte(body), &w); err != nil {
		r.Fatalf("body %q: %v", body, err)
	}
	return w
}

// heard checks a stream's numbers and texts and returns its last response.
func (r *rig) heard(body string) (last response) {
	r.Helper()
	text := map[int]string{}
	for i, f := range r.frames(body) {
		var e struct {
			Type                          string
			Seq                           int `json:"sequence_number"`
			Index                         int `json:"output_index"`
			Delta, Text, Arguments, Input string
			Refusal                       string
			Response                      *response
		}
		if err := json.Unmarshal([]byte(f.data), &e); err != nil || e.Type != f.name || e.Seq != i {
			r.Fatalf("event %d is %+v: %v", i, f, err)
		}
		text[e.Index] += e.Delta
		kind := e.Type[strings.LastIndexByte(e.Type, '.')+1:]
		if done := e.Text + e.Arguments + e.Input + e.Refusal; kind == "done" && done != "" && done != text[e.Index] {
			r.Errorf("%s says %q after deltas %q", e.Type, done, text[e.Index])
		}
		if e.Response != nil {
			last = *e.Response
		}
	}
	return last
}

// TestResponses: each answer says in a stream what it says whole.
func TestResponses(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		kinds      []string
		status     string
	}{
		{"text", `"input":"hi"`, []string{"message"}, "completed"},
		{"items", `"input":[{"role":"user","content":[{"type":"input_text","text":"hi"}]}]`, []string{"message"}, "completed"},
		{"tool", `"input":"call the tool",` + openTools, []string{"function_call"}, "completed"},
		{"tools", `"input":"call every tool",` + openTools, []string{"function_call", "function_call"}, "completed"},
		{"one at a time", `"input":"call every tool","parallel_tool_calls":false,` + openTools, []string{"function_call"}, "completed"},
		{"forced", `"input":"hi","tool_choice":{"type":"function","name":"weather"},` + openTools, []string{"function_call"}, "completed"},
		{"custom", `"input":"call the tool","tools":[{"type":"custom","name":"shell"}]`, []string{"custom_tool_call"}, "completed"},
		{"none", `"input":"call the tool","tool_choice":"none",` + openTools, []string{"message"}, "completed"},
		{"reasoning", `"input":"hi","reasoning":{"effort":"low"}`, []string{"reasoning", "message"}, "completed"},
		{"summary", `"input":"hi","reasoning":{"effort":"low","summary":"auto"},"include":["reasoning.encrypted_content"]`, []string{"reasoning", "message"}, "completed"},
		{"length", `"input":"hi","max_output_tokens":16`, []string{"message"}, "incomplete"},
		{"refusal", `"input":"refuse to answer"`, []string{"message"}, "completed"},
		{"structured", `"input":"hi","text":{"format":{"type":"json_schema","name":"a","strict":true,"schema":{"type":"object","properties":{},"additionalProperties":false}}}`, []string{"message"}, "completed"},
	} {
		r := start(t, Config{Seed: 3, Models: []Model{{Name: "m"}}})
		resp, body, err := r.post("/v1/responses", `{"model":"m",`+tc.body+`}`)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: got %v %s, %v", tc.name, resp, body, err)
		}
		w := r.response(body)
		var kinds []string
		for _, raw := range w.Output {
			var it outItem
			if err := json.Unmarshal(raw, &it); err != nil {
				t.Fatal(err)
			}
			kinds = append(kinds, it.Type)
		}
		if !slices.Equal(kinds, tc.kinds) || w.Status != tc.status || w.Usage.Total != w.Usage.Input+w.Usage.Output || w.Usage.Output == 0 {
			t.Errorf("%s: got %s", tc.name, body)
		}
		if tc.name == "summary" && !strings.Contains(body, `"summary_text"`) {
			t.Errorf("got no summary in %s", body)
		}
		r.sim.Reset()
		_, body, _ = r.post("/v1/responses", `{"stream":true,"model":"m",`+tc.body+`}`)
		if again := r.heard(body); string(encode(again.Output)) != string(encode(w.Output)) || again.Status != w.Status || *again.Usage != *w.Usage {
			t.Errorf("%s: the stream says\n%s, want\n%s", tc.name, encode(again), encode(w))
		}
	}
}

func TestResponsesRefusals(t *testing.T) {
	r := start(t, Config{Models: []Model{{Name: "m", Context: 100}}})
	const call = `{"type":"function_call","call_id":"a","name":"clock","arguments":"{}"}`
	for _, tc := range []struct{ name, body, param, code, want string }{
		{"no input", ``, "input", "missing_required_parameter", "Missing required parameter: 'input'."},
		{"stop", `"input":"a","stop":["b"]`, "stop", "unknown_parameter", "Unknown parameter: 'stop'."},
		{"messages", `"messages":[]`, "messages", "unknown_parameter", "Unknown parameter: 'messages'."},
		{"unknown member", `"input":[{"role":"user","content":"a","name":"b"}]`, "input[0].name", "unknown_parameter", "Unknown parameter: 'input[0].name'."},
		{"role", `"input":[{"role":"tool","content":"a"}]`, "input[0].role", "invalid_value", "Supported values are: 'assistant', 'system'"},
		{"part", `"input":[{"role":"assistant","content":[{"type":"input_text","text":"a"}]}]`, "input[0].content[0]", "invalid_value", "Supported values are: 'output_text', 'refusal'."},
		{"result alone", `"input":[{"type":"function_call_output","call_id":"a","output":"1"}]`, "input", "", "No tool call found for function call output with call_id a."},
		{"call alone", `"input":[` + call + `]`, "input", "", "No tool output found for function call a."},
		{"no call_id", `"input":[{"type":"function_call","name":"a","arguments":"{}"}]`, "input[0].call_id", "missing_required_parameter", "call_id"},
		{"arguments", `"input":[{"type":"function_call","call_id":"a","name":"a","arguments":{}}]`, "input[0].arguments", "invalid_type", "Invalid type"},
		{"long id", `"input":[{"type":"function_call","call_id":"` + strings.Repeat("a", 65) + `","name":"a","arguments":"{}"}]`, "input[0].call_id", "string_above_max_length", "maximum length 64"},
		{"id", `"input":[{"type":"function_call","id":"call_1","call_id":"a","name":"a","arguments":"{}"}]`, "input[0].id", "invalid_value", "begins with 'fc'"},
		{"chat tool", `"input":"a","tools":[{"type":"function","function":{"name":"b"}}]`, "tools[0].function", "unknown_parameter", "Unknown parameter: 'tools[0].function'."},
		{"tool name", `"input":"a","tools":[{"type":"function"}]`, "tools[0].name", "missing_required_parameter", "'tools[0].name'"},
		{"strict tool", `"input":"a","tools":[{"type":"function","name":"b","strict":true,"parameters":{"type":"object","properties":{"c":{}},"additionalProperties":false}}]`, "tools[0].parameters", "invalid_function_parameters", "Missing 'c'"},
		{"strict form", `"input":"a","text":{"format":{"type":"json_schema","name":"b","strict":true,"schema":{"type":"object"}}}`, "text.format.schema", "invalid_json_schema", "'additionalProperties' is required"},
		{"form name", `"input":"a","text":{"format":{"type":"json_schema","schema":{}}}`, "text.format.name", "missing_required_parameter", "text.format.name"},
		{"small limit", `"input":"a","max_output_tokens":5`, "max_output_tokens", "integer_below_min_value", ">= 16, but got 5"},
		{"temperature", `"input":"a","temperature":3`, "temperature", "decimal_above_max_value", "<= 2, but got 3"},
		{"previous", `"input":"a","previous_response_id":"resp_x"`, "previous_response_id", "previous_response_not_found", "Previous response with id 'resp_x' not found."},
		{"reasoning", `"input":[{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gw1.x"},{"role":"assistant","content":"a"}]`, "input", "invalid_encrypted_content", "could not be verified"},
		{"picture", `"input":[{"role":"user","content":[{"type":"input_image","image_url":"aGk="}]}]`, "input[0].content[0].image_url", "invalid_value", "Expected a valid URL"},
		{"too long", `"input":"` + strings.Repeat("word ", 100) + `"`, "input", "context_length_exceeded", "exceeds the context window"},
		{"background", `"input":"a","background":true,"store":false`, "store", "", "requires 'store'"},
	} {
		resp, body, err := r.post("/v1/responses", `{"model":"m"`+strings.TrimSuffix(","+tc.body, ",")+`}`)
		var p problemBody
		if err != nil || json.Unmarshal([]byte(body), &p) != nil || resp.StatusCode != 400 || deref(p.Error.Param) != tc.param || deref(p.Error.Code) != tc.code || !strings.Contains(p.Error.Message, tc.want) {
			t.Errorf("%s: got %v %s, %v, want %q", tc.name, resp, body, err, tc.want)
		}
	}
	if resp, body, _ := r.post("/v1/responses", `{"model":"x","input":"a"}`); resp.StatusCode != 400 || !strings.Contains(body, "model_not_found") {
		t.Errorf("unknown model: got %d %s", resp.StatusCode, body)
	}
}

// do sends a request without a body.
func (r *rig) do(method, path string) (int, string) {
	r.Helper()
	req, err := http.NewRequest(method, r.url+path, nil)
	if err != nil {
		r.Fatal(err)
	}
	resp, err := r.hc.Do(req)
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

func TestResponsesStored(t *testing.T) {
	r := start(t, Config{Models: []Model{{Name: "m"}}})
	_, body, _ := r.post("/v1/responses", `{"model":"m","input":"call the tool","reasoning":{},`+openTools+`}`)
	first := r.response(body)
	var call outItem
	if err := json.Unmarshal(first.Output[1], &call); err != nil {
		t.Fatal(err)
	}
	if status, got := r.do("GET", "/v1/responses/"+first.ID); status != 200 || got != body {
		t.Errorf("got %d %s, want %s", status, got, body)
	}
	result := `[{"type":"function_call_output","call_id":"` + call.CallID + `","output":"noon"}]`
	resp, body, _ := r.post("/v1/responses", `{"model":"m","previous_response_id":"`+first.ID+`","input":`+result+`}`)
	second := r.response(body)
	if resp.StatusCode != 200 || second.Usage.Input <= countTokens(len("call the tool noon")) || *second.Previous != first.ID {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
	// By hand, with the ids of stored items.
	if resp, body, _ := r.post("/v1/responses", `{"model":"m","input":[{"role":"user","content":"a"},`+string(first.Output[0])+`,`+string(first.Output[1])+`,`+result[1:]+`}`); resp.StatusCode != 200 {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
	if _, body := r.do("GET", "/v1/responses/"+second.ID+"/input_items?order=asc"); strings.Count(body, `"status"`) < 3 || !strings.Contains(body, `"text":"call the tool"`) || !strings.Contains(body, `"noon"`) {
		t.Errorf("got %s", body)
	}
	if status, body := r.do("POST", "/v1/responses/"+first.ID+"/cancel"); status != 400 || !strings.Contains(body, "synchronous") {
		t.Errorf("got %d %s", status, body)
	}
	if status, body := r.do("DELETE", "/v1/responses/"+first.ID); status != 200 || !strings.Contains(body, `"deleted":true`) {
		t.Errorf("got %d %s", status, body)
	}
	if status, body := r.do("GET", "/v1/responses/"+first.ID); status != 404 || !strings.Contains(body, "not found") {
		t.Errorf("got %d %s", status, body)
	}
	_, body, _ = r.post("/v1/responses", `{"model":"m","input":"a","store":false}`)
	if status, _ := r.do("GET", "/v1/responses/"+r.response(body).ID); status != 404 {
		t.Errorf("got %d for what was not to be stored", status)
	}
	if _, body, _ := r.post("/v1/responses/input_tokens", `{"model":"m","input":"hello"}`); !strings.Contains(body, `"input_tokens":3`) {
		t.Errorf("got %s", body)
	}
}

// TestResponsesReplay: encrypted reasoning comes back unchanged and is
// accepted, also by another simulator; changed it is not.
func TestResponsesReplay(t *testing.T) {
	r := start(t, Config{Models: []Model{{Name: "m"}}})
	_, body, _ := r.post("/v1/responses", `{"model":"m","store":false,"input":"hi","reasoning":{},"include":["reasoning.encrypted_content"]}`)
	out := r.response(body).Output
	next := start(t, Config{Models: []Model{{Name: "m"}}})
	again := func(reasoning string) (int, string) {
		resp, body, _ := next.post("/v1/responses", `{"model":"m","input":[{"role":"user","content":"hi"},`+reasoning+`,`+string(out[1])+`,{"role":"user","content":"go on"}]}`)
		return resp.StatusCode, body
	}
	if status, body := again(string(out[0])); status != 200 {
		t.Errorf("unchanged: got %d %s", status, body)
	}
	if status, body := again(strings.Replace(string(out[0]), `"encrypted_content":"`, `"encrypted_content":"AAAA`, 1)); status != 400 {
		t.Errorf("changed: got %d %s", status, body)
	}
}

func TestResponsesBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := must(t, Config{Models: []Model{{Name: "m", Latency: time.Minute}}})
		do := func(method, path, body string) response {
			w := askAt(s, method, path, body)
			var r response
			if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
				t.Fatalf("%s: %v", w.Body, err)
			}
			return r
		}
		a := do("POST", "/v1/responses", `{"model":"m","input":"a","background":true}`)
		b := do("POST", "/v1/responses", `{"model":"m","input":"b","background":true}`)
		if a.Status != "queued" || len(a.Output) != 0 {
			t.Errorf("got %+v", a)
		}
		if got := do("GET", "/v1/responses/"+a.ID, ""); got.Status != "in_progress" {
			t.Errorf("got %s, want it in progress", got.Status)
		}
		if got := do("POST", "/v1/responses/"+b.ID+"/cancel", ""); got.Status != "cancelled" {
			t.Errorf("got %s, want it cancelled", got.Status)
		}
		time.Sleep(2 * time.Minute)
		if got := do("GET", "/v1/responses/"+a.ID, ""); got.Status != "completed" || len(got.Output) != 1 {
			t.Errorf("got %+v, want it completed", got)
		}
		if got := do("GET", "/v1/responses/"+b.ID, ""); got.Status != "cancelled" {
			t.Errorf("got %s, want it still cancelled", got.Status)
		}
	})
}

// TestShelf: what is stored is bounded in number and in bytes.
func TestShelf(t *testing.T) {
	var s shelf
	for i := range 3 * maxStored {
		s.put(&stored{owner: 1, answer: response{ID: fmt.Sprint(i)}})
	}
	if len(s.byID) != maxStored || len(s.order) != maxStored {
		t.Errorf("got %d responses", len(s.byID))
	}
	big := json.RawMessage(strings.Repeat(" ", maxStoredBytes/3))
	for i := range 5 {
		s.put(&stored{owner: 1, answer: response{ID: fmt.Sprint("big", i)}, items: []json.RawMessage{big}})
	}
	if s.bytes > maxStoredBytes || len(s.byID) > 3 {
		t.Errorf("got %d bytes in %d responses", s.bytes, len(s.byID))
	}
	if _, ok := s.get(2, "big4"); ok {
		t.Error("got the response of somebody else")
	}
	if _, ok := s.get(1, "big4"); !ok {
		t.Error("the last response is gone")
	}
}

func TestResponsesFaults(t *testing.T) {
	for _, tc := range []struct {
		fault  Fault
		status int
		broken bool
		want   string
	}{
		{Fault{Kind: FaultCut, After: 3}, 200, true, "event: response.output_text.delta"},
		{Fault{Kind: FaultErrorMid, After: 2}, 200, false, "event: response.failed\n"},
		{Fault{Kind: FaultError200}, 200, false, "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\""},
		{Fault{Kind: FaultMalformed, After: 1}, 200, false, "no JSON\nevent: "},
		{Fault{Kind: FaultStatus, Status: 429}, 429, false, "rate_limit_exceeded"},
	} {
		r := start(t, Config{Models: []Model{{Name: "m", Fault: &tc.fault}}})
		resp, body, err := r.post("/v1/responses", `{"stream":true,"model":"m","input":"hi"}`)
		if (err != nil) != tc.broken || resp.StatusCode != tc.status || !strings.Contains(body, tc.want) || strings.Contains(body, "response.completed") != (tc.fault.Kind == FaultMalformed) {
			t.Errorf("%s: got %v %s, %v", tc.fault.Kind, resp, body, err)
		}
		if last := r.settled(); last.Outcome != OutcomeFault || last.Path != "/v1/responses" {
			t.Errorf("%s: got journal %+v", tc.fault.Kind, last)
		}
	}
}
