package blackbox

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// kindOfFlow is a flow for each client and vendor that can have it.
type kindOfFlow struct {
	name string
	mode flowMode
	can  func(c *flowClient, v *flowVendor) bool // nil: all
	run  func(f *flow)
}

type flowMode int

const (
	bothModes flowMode = iota
	unaryOnly
	streamOnly
)

var (
	forecast = tool{Name: "forecast", Description: "The weather of the next days", Schema: weatherSchema}
	clock    = tool{Name: "clock", Description: "The time", Schema: map[string]any{
		"type": "object", "properties": map[string]any{"zone": map[string]any{"type": "string"}}, "required": []string{"zone"}, "additionalProperties": false,
	}}
	both = []tool{forecast, clock}
)

// dot is a PNG of one pixel.
const dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

var flowTable = []kindOfFlow{
	{name: "chat", run: func(f *flow) { f.talks(f.well(ask{Model: f.model("chat"), Turns: says("Hello")})) }},
	{name: "system", run: flowSystem},
	{name: "tool", run: func(f *flow) {
		f.calls(ask{Model: f.model("chat"), Turns: says("Please call the tool."), Tools: both}, 1)
	}},
	{name: "parallel", run: func(f *flow) {
		f.calls(ask{Model: f.model("chat"), Turns: says("Please call every tool."), Tools: both}, 2)
	}},
	{name: "required", run: flowRequired},
	{name: "forced", run: flowForced},
	{name: "structured", run: flowStructured},
	{name: "image", run: flowImage},
	{name: "thinking", run: flowThinking},
	{name: "length", run: flowLength},
	{name: "stop", can: func(c *flowClient, _ *flowVendor) bool { return c.stops }, run: flowStop},
	{name: "usage", run: flowUsed},
	{name: "cached", run: flowCached},
	{name: "choices", can: func(c *flowClient, _ *flowVendor) bool { return c.n }, run: flowChoices},
	{name: "quiet", mode: streamOnly, can: func(c *flowClient, _ *flowVendor) bool { return c.proto == protoChat }, run: flowQuiet},
	{name: "models", mode: unaryOnly, can: func(c *flowClient, _ *flowVendor) bool { return c.lists }, run: flowModels},
	{name: "count", can: func(c *flowClient, _ *flowVendor) bool { return c.counts }, run: flowCount},
	{name: "embed", mode: unaryOnly, can: func(c *flowClient, _ *flowVendor) bool { return c.embeds }, run: flowEmbed},
	{name: "context", run: func(f *flow) {
		f.fails(ask{Model: f.model("small"), Turns: says(strings.Repeat("Hello ", 200))}, wrong{400, "context_length_exceeded", "invalid_request_error", "INVALID_ARGUMENT"})
	}},
	{name: "key", run: func(f *flow) {
		f.fails(ask{Model: f.model("chat"), Key: "sk-wrong-0123456789", Turns: says("Hello")}, wrong{401, "invalid_api_key", "authentication_error", "UNAUTHENTICATED"})
	}},
	{name: "missing", run: func(f *flow) {
		f.fails(ask{Model: "nothing-like-it", Turns: says("Hello")}, wrong{404, "model_not_found", "not_found_error", "NOT_FOUND"})
	}},
	{name: "limited", run: flowLimited},
	{name: "broken", run: func(f *flow) {
		f.fails(ask{Model: f.model("busy"), Turns: says("Hello")}, wrong{502, "upstream_error", "api_error", "INTERNAL"})
	}},
	{name: "shut", run: flowShut},
	{name: "failing", mode: streamOnly, run: func(f *flow) { f.breaks("failing") }},
	{name: "cut", mode: streamOnly, run: func(f *flow) { f.breaks("cut") }},
	{name: "cancel", mode: streamOnly, run: flowCancel},
}

func says(words string) []say { return []say{{User: words}} }

// talks wants an answer in text.
func (f *flow) talks(r *answer) {
	f.Helper()
	if !strings.HasPrefix(r.Text, "This is ") || !strings.HasSuffix(r.Text, ".") || len(r.Calls) > 0 || r.Finish != "stop" {
		f.Errorf("got text %q, %d calls, finish %q, want the simulator's prose", r.Text, len(r.Calls), r.Finish)
	}
	if f.stream && r.Pieces < 2 {
		f.Errorf("got %d pieces of a stream", r.Pieces)
	}
}

func flowSystem(f *flow) {
	a := ask{Model: f.model("chat"), System: "Be brief.", Turns: says("Hello")}
	first := f.well(a)
	f.talks(first)
	a.Turns = append(a.Turns, say{Reply: first}, say{User: "And now?"})
	f.talks(f.well(a))
}

// conforms checks a tool's arguments.
func (f *flow) conforms(c toolCall) {
	f.Helper()
	var args struct {
		City, Zone *string
		Days       *int
	}
	err := json.Unmarshal([]byte(c.Args), &args)
	if err != nil || c.Name == "forecast" && (args.City == nil || args.Days == nil) || c.Name == "clock" && args.Zone == nil {
		f.Errorf("got arguments %q of %s (%v)", c.Args, c.Name, err)
	}
}

// calls asks, wants n different calls, gives their results and wants text. It
// returns the last answer.
func (f *flow) calls(a ask, n int) *answer {
	f.Helper()
	first := f.well(a)
	f.called(first, n)
	var results []result
	for _, c := range first.Calls {
		results = append(results, result{ID: c.ID, Name: c.Name, Text: `{"sun": true}`})
	}
	a.Turns = append(a.Turns, say{Reply: first}, say{Results: results})
	a.Choice = ""
	last := f.well(a)
	f.talks(last)
	return last
}

func (f *flow) called(r *answer, n int) {
	f.Helper()
	if len(r.Calls) != n || r.Finish != "tools" || r.Text != "" {
		f.Fatalf("got calls %+v, finish %q, text %q, want %d calls", r.Calls, r.Finish, r.Text, n)
	}
	seen := make(map[string]bool)
	for i, c := range r.Calls {
		f.conforms(c)
		if c.ID == "" && f.client.proto != protoGemini || c.ID != "" && seen[c.ID] || c.Name != both[i].Name {
			f.Errorf("got call %+v, want one of %s with an id of its own", c, both[i].Name)
		}
		seen[c.ID] = true
	}
}

func flowRequired(f *flow) {
	f.called(f.well(ask{Model: f.model("chat"), Turns: says("Hello"), Tools: both, Choice: "required"}), 1)
}

func flowForced(f *flow) {
	r := f.well(ask{Model: f.model("chat"), Turns: says("Hello"), Tools: both, Choice: "clock"})
	if len(r.Calls) != 1 || r.Calls[0].Name != "clock" {
		f.Fatalf("got calls %+v, want the clock's", r.Calls)
	}
	f.conforms(r.Calls[0])
}

func flowStructured(f *flow) {
	r := f.well(ask{Model: f.model("chat"), Turns: says("Weather?"), Schema: weatherSchema})
	checkWeather(f.T, "the answer", r.Text)
	if r.Finish != "stop" {
		f.Errorf("finish: got %q, want stop", r.Finish)
	}
}

func flowImage(f *flow) {
	model := f.own("image")
	f.talks(f.well(ask{Model: model, Turns: []say{{User: "What is it?", Image: dot}}}))
	f.seen(model, func(calls []simCall) string {
		if len(calls) != 1 || calls[0].Input < 85 { // OpenAI counts the least for an image
			return fmt.Sprintf("got %+v, want one call whose image was counted", calls)
		}
		return ""
	})
}

func flowThinking(f *flow) {
	model := f.own("think")
	a := ask{Model: model, Turns: says("Please call the tool."), Tools: both, Think: true}
	first := f.well(a)
	f.called(first, 1)
	// A client of chat completions cannot ask Responses to show its thinking.
	if shows := f.client.sees && (f.vendor.name != "responses" || f.client.proto != protoChat); shows && !strings.HasPrefix(first.Thinking, "This is a thought of") {
		f.Errorf("got thinking %q, want the simulator's", first.Thinking)
	}
	if first.Usage.Reasoning >= 0 && first.Usage.Reasoning != 16 {
		f.Errorf("got %d tokens of thinking, want 16", first.Usage.Reasoning)
	}
	c := first.Calls[0]
	a.Turns = append(a.Turns, say{Reply: first}, say{Results: []result{{ID: c.ID, Name: c.Name, Text: `{"sun": true}`}}})
	f.talks(f.well(a))
	f.seen(model, func(calls []simCall) string {
		if len(calls) != 2 || calls[0].Reasoning != 16 {
			return fmt.Sprintf("got %+v, want two calls with thinking", calls)
		}
		if want := f.client.seals && f.vendor.seals && !(f.stream && f.client.forgets); want && (calls[1].Seals != 1 || calls[1].Reasoning != 16) {
			return fmt.Sprintf("got %+v, want the seal of the first in the second, and thinking", calls)
		}
		return ""
	})
}

func flowLength(f *flow) {
	r := f.well(ask{Model: f.model("chat"), Turns: says("Hello"), Max: 16})
	f.talks(r)
	r = f.well(ask{Model: f.model("long"), Turns: says("Hello"), Max: 16})
	if !strings.HasPrefix(r.Text, "This is ") || r.Finish != "length" {
		f.Errorf("got %q, finish %q, want some text and length", r.Text, r.Finish)
	}
}

func flowStop(f *flow) {
	a := ask{Model: f.model("chat"), Turns: says("Hello"), Stop: "(simulated)"}
	if f.vendor.name == "responses" {
		f.fails(a, wrong{400, "unsupported_parameter", "invalid_request_error", "INVALID_ARGUMENT"})
		return
	}
	if r := f.well(a); strings.TrimSpace(r.Text) != "This is chat" || r.Finish != "stop" {
		f.Errorf("got %q, finish %q, want what comes before (simulated)", r.Text, r.Finish)
	}
}

// told says where what an SDK told differs from what the simulator counted.
func (f *flow) told(u flowUsage, c simCall) string {
	for _, x := range []struct {
		name      string
		got, want int
	}{{"input", u.Input, c.Input}, {"output", u.Output, c.Output}, {"cached", u.Cached, c.Cached}, {"reasoning", u.Reasoning, c.Reasoning}} {
		if x.got >= 0 && x.got != x.want || x.got < 0 && x.name != "reasoning" && x.name != "cached" {
			return fmt.Sprintf("the client was told %+v, the simulator counted %+v", u, c)
		}
	}
	return ""
}

func flowUsed(f *flow) {
	model := f.own("usage")
	r := f.well(ask{Model: model, System: "Be brief.", Turns: says("Hello, how are you?")})
	f.seen(model, func(calls []simCall) string {
		if len(calls) != 1 {
			return fmt.Sprintf("got %d calls, want one", len(calls))
		}
		return f.told(r.Usage, calls[0])
	})
}

func flowCached(f *flow) {
	model := f.own("cached")
	a := ask{Model: model, System: strings.Repeat("Some words that are said again. ", 200), Turns: says("Hello"), Mark: true}
	first := f.well(a)
	second := f.well(a)
	f.seen(model, func(calls []simCall) string {
		if len(calls) != 2 {
			return fmt.Sprintf("got %d calls, want two", len(calls))
		}
		if hit := calls[1].Cached > 0; hit != (!f.vendor.marked || f.client.marks) {
			return fmt.Sprintf("got %d cached tokens", calls[1].Cached)
		}
		if wrong := f.told(first.Usage, calls[0]); wrong != "" {
			return wrong
		}
		return f.told(second.Usage, calls[1])
	})
}

func flowChoices(f *flow) {
	model := f.own("choices")
	r := f.well(ask{Model: model, Turns: says("Hello"), N: 2})
	if len(r.Choices) != 2 || r.Choices[0] == r.Choices[1] || !strings.HasPrefix(r.Choices[1], "This is ") {
		f.Errorf("got %q, want two different answers", r.Choices)
	}
	f.seen(model, func(calls []simCall) string {
		output := 0
		for _, c := range calls {
			output += c.Output
		}
		if r.Usage.Output != output || output != 24 {
			return fmt.Sprintf("the client was told %+v, the simulator counted %+v", r.Usage, calls)
		}
		return ""
	})
}

// flowQuiet asks for no usage: there must be none, and no event without a
// choice, which applications take the first of.
func flowQuiet(f *flow) {
	r := f.well(ask{Model: f.model("chat"), Turns: says("Hello"), Quiet: true})
	f.talks(r)
	if r.Usage.Input > 0 || r.Usage.Output > 0 {
		f.Errorf("got usage %+v, want none", r.Usage)
	}
}

func flowModels(f *flow) {
	r := f.well(ask{Model: f.vendor.name + "/chat", Models: true})
	if !slices.Contains(r.Models, f.model("shut")) || r.Text != f.vendor.name+"/chat" {
		f.Errorf("got models %q and %q", r.Models, r.Text)
	}
}

// flowCount counts a prompt and then asks it: a vendor that counts says the
// same both times; where none does, the gateway estimates.
func flowCount(f *flow) {
	a := ask{Model: f.model("chat"), Turns: says("Hello, how many tokens may this be?")}
	r := f.well(a)
	a.Count = true
	n := f.well(a).Usage.Input
	if exact := string(f.client.proto) == f.vendor.name; n <= 0 || exact && n != r.Usage.Input {
		f.Errorf("counted %d tokens, and then there were %d", n, r.Usage.Input)
	}
}

func flowEmbed(f *flow) {
	a := ask{Model: f.model("embed"), Embed: []string{"one", "two"}}
	if !f.vendor.embeds {
		f.fails(a, wrong{400, "unsupported_parameter", "invalid_request_error", "INVALID_ARGUMENT"})
		return
	}
	r := f.well(a)
	if len(r.Vectors) != 2 {
		f.Fatalf("got %d vectors, want 2", len(r.Vectors))
	}
	checkVector(f.T, "the first", r.Vectors[0])
	checkVector(f.T, "the second", r.Vectors[1])
}

// wrong is how an error looks to the clients of each protocol.
type wrong struct {
	status                    int
	openAI, anthropic, gemini string
}

// code is what the client's protocol says.
func (w wrong) code(p protocol) string {
	switch p {
	case protoAnthropic:
		return w.anthropic
	case protoGemini:
		return w.gemini
	}
	return w.openAI
}

// fails asks and wants an error before any answer.
func (f *flow) fails(a ask, w wrong) {
	f.Helper()
	r := f.ask(a)
	if r.Err == nil {
		f.Fatalf("got %q, want an error", r.Text)
	}
	if r.Err.Status != w.status || r.Err.Code != w.code(f.client.proto) || r.Err.Message == "" || r.Pieces > 0 {
		f.Errorf("got %s after %d pieces, want status %d and %q", r.Err, r.Pieces, w.status, w.code(f.client.proto))
	}
	if w.openAI == "context_length_exceeded" && f.client.proto == protoAnthropic && !strings.Contains(r.Err.Message, "prompt is too long") {
		f.Errorf("got %q, want the words that agents look for", r.Err.Message)
	}
}

// flowLimited uses a vendor's limit up.
func flowLimited(f *flow) {
	for range 3 { // a minute may begin between
		if r := f.ask(ask{Model: f.model("limited"), Turns: says("Hello")}); r.Err != nil {
			break
		}
	}
	f.fails(ask{Model: f.model("limited"), Turns: says("Hello")}, wrong{429, "rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED"})
}

// flowShut asks for a model whose every target has failed. Now and then one is
// tried again.
func flowShut(f *flow) {
	a := ask{Model: f.model("shut"), Turns: says("Hello")}
	for range 5 {
		if r := f.ask(a); r.Err == nil || r.Err.Status != 502 {
			break
		}
	}
	w := wrong{503, "overloaded", "overloaded_error", "UNAVAILABLE"}
	if f.client.proto == protoAnthropic {
		w.status = 529
	}
	f.fails(a, w)
}

// breaks wants some of an answer, and then an error: no clean end.
func (f *flow) breaks(model string) {
	f.Helper()
	r := f.ask(ask{Model: f.model(model), Turns: says("Hello")})
	if r.Err == nil || r.Pieces == 0 {
		f.Errorf("got %d pieces, %q, finish %q, error %v, want some and an error", r.Pieces, r.Text, r.Finish, r.Err)
	}
}

func flowCancel(f *flow) {
	model := f.own("slow")
	var left time.Time
	r := f.ask(ask{Model: model, Turns: says("Hello"), Cancel: 3})
	left = time.Now()
	if r.Pieces < 3 || r.Finish != "" {
		f.Fatalf("got %d pieces, finish %q, error %v, want to leave after 3", r.Pieces, r.Finish, r.Err)
	}
	f.seen(model, func(calls []simCall) string {
		if len(calls) != 1 || calls[0].Outcome != "canceled" {
			return fmt.Sprintf("got %+v, want one call that was canceled", calls)
		}
		if late := calls[0].End.Sub(left); late > time.Second {
			return fmt.Sprintf("the vendor learnt of it %v later", late)
		}
		return ""
	})
}
