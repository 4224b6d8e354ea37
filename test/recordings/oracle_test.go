package recordings

import (
	"encoding/json"
	"slices"
	"strings"
)

// answer is what an answer says, read from the recorded bytes here or by a
// client's SDK there. Both sides must agree.
type answer struct {
	turns []*turn
	usage *usage // nil: not counted
	// broken: the recording holds an error, or ends before its end.
	broken bool
	reason string // of the break
}

// turn is one of the answers: a choice, a candidate.
type turn struct {
	text  string // with refusals
	calls []*call
	stop  stop
	raw   string // the vendor's word for stop
	// own: tools of the protocol's own are to be run by the client.
	own bool
	// refused: there is a refusal in the text.
	refused bool
}

// call is a tool call. args is JSON text, or the plain input of a custom tool.
type call struct {
	name, args string
	custom     bool
}

// usage counts the whole prompt, cached tokens included, and the whole answer,
// reasoning included.
type usage struct{ in, out, cached, reasoning int64 }

// stop is why an answer ended.
type stop int

const (
	stopNone stop = iota
	stopEnd
	stopLength
	stopTools
	stopFilter
	stopPause
	stopOther
)

var stopNames = [...]string{"none", "end", "length", "tools", "filter", "pause", "other"}

func (s stop) String() string { return stopNames[s] }

// stops are the vendors' words.
var stops = map[string]stop{
	"stop": stopEnd, "end_turn": stopEnd, "stop_sequence": stopEnd, "eos": stopEnd, "STOP": stopEnd, "COMPLETE": stopEnd, "STOP_SEQUENCE": stopEnd,
	"completed": stopEnd,
	"length":    stopLength, "max_tokens": stopLength, "MAX_TOKENS": stopLength, "model_length": stopLength, "model_context_window_exceeded": stopLength,
	"max_output_tokens": stopLength, "load": stopEnd,
	"tool_calls": stopTools, "function_call": stopTools, "tool_use": stopTools, "TOOL_CALL": stopTools,
	"content_filter": stopFilter, "refusal": stopFilter, "SAFETY": stopFilter, "RECITATION": stopFilter, "BLOCKLIST": stopFilter,
	"PROHIBITED_CONTENT": stopFilter, "SPII": stopFilter, "IMAGE_SAFETY": stopFilter, "MODEL_ARMOR": stopFilter, "guardrail_intervened": stopFilter,
	"content_filtered": stopFilter, "sensitive": stopFilter, "ERROR_TOXIC": stopFilter, "LANGUAGE": stopOther,
	"pause_turn": stopPause,
}

// end sets the stop that word says.
func (t *turn) end(word string) {
	if word == "" {
		return
	}
	t.raw = word
	var ok bool
	if t.stop, ok = stops[word]; !ok {
		t.stop = stopOther
	}
}

// turn returns the n-th, made if it is new.
func (a *answer) turn(n int) *turn {
	for len(a.turns) <= n && n < 128 {
		a.turns = append(a.turns, &turn{})
	}
	return a.turns[n]
}

// read reads a recorded answer. The error is why it cannot be.
func (x *exchange) read(s shape) (*answer, error) {
	list, streamed := x.pieces()
	if !streamed {
		list = []piece{{data: x.response}}
	}
	a := &answer{}
	var err error
	switch s {
	case shapeChat, shapeCompletion:
		err = a.chat(list, streamed)
	case shapeResponses:
		err = a.responses(list, streamed)
	case shapeAnthropic:
		err = a.anthropic(list, streamed)
	case shapeGemini:
		err = a.gemini(list, streamed)
	case shapeBedrock:
		err = a.bedrock(list, streamed)
	case shapeCohere:
		err = a.cohere(list, streamed)
	case shapeOllama:
		err = a.ollama(list, streamed)
	}
	return a, err
}

func isDone(p piece) bool { return strings.TrimSpace(string(p.data)) == done }

// words is a string, or the text of a list of parts.
type words struct {
	text     string
	refusals string
}

func (w *words) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		return json.Unmarshal(b, &w.text)
	case '[':
		var parts []struct{ Type, Text, Refusal string }
		var loose []json.RawMessage
		if json.Unmarshal(b, &loose) != nil {
			return nil
		}
		parts = make([]struct{ Type, Text, Refusal string }, len(loose))
		for i := range loose {
			_ = json.Unmarshal(loose[i], &parts[i]) // parts of other kinds have no text
			if parts[i].Type == "text" || parts[i].Type == "output_text" || parts[i].Type == "" {
				w.text += parts[i].Text
			}
			w.refusals += parts[i].Refusal
		}
	}
	return nil
}

// loose is text that may be any JSON: arguments come as text or as an object.
type loose string

func (l *loose) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*l = loose(s)
	} else {
		*l = loose(b)
	}
	return nil
}

type chatMessage struct {
	Content words
	Refusal *string
	Calls   []struct {
		Index    *int
		ID       *string
		Type     string
		Function struct {
			Name      *string
			Arguments loose
		}
		Custom struct{ Name, Input string }
	} `json:"tool_calls"`
	Function *struct {
		Name      string
		Arguments loose
	} `json:"function_call"`
	Audio *struct{ Transcript string }
}

type chatUsage struct {
	Prompt     int64  `json:"prompt_tokens"`
	Completion int64  `json:"completion_tokens"`
	Total      int64  `json:"total_tokens"`
	Hit        *int64 `json:"prompt_cache_hit_tokens"`
	Cached     *int64 `json:"cached_tokens"`
	Details    *struct {
		Cached *int64 `json:"cached_tokens"`
		Audio  int64  `json:"audio_tokens"`
	} `json:"prompt_tokens_details"`
	Mistral   *int64 `json:"num_cached_tokens"`
	Reasoning *int64 `json:"reasoning_tokens"`
	Output    *struct {
		Reasoning int64 `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

// read: the answer is what the total leaves beside the prompt where the
// vendor counts reasoning apart.
func (u *chatUsage) read() *usage {
	out := &usage{in: u.Prompt, out: u.Completion}
	switch {
	case u.Details != nil && u.Details.Cached != nil:
		out.cached = *u.Details.Cached
	case u.Hit != nil:
		out.cached = *u.Hit
	case u.Cached != nil:
		out.cached = *u.Cached
	case u.Mistral != nil:
		out.cached = *u.Mistral
	}
	switch {
	case u.Output != nil:
		out.reasoning = u.Output.Reasoning
	case u.Reasoning != nil:
		out.reasoning = *u.Reasoning
	}
	if d := u.Details; d != nil && d.Audio > 0 && u.Total == u.Prompt+u.Completion+d.Audio {
		out.in += d.Audio // Mistral counts sound beside the prompt
		return out
	}
	if out.reasoning > 0 && u.Total == u.Prompt+u.Completion+out.reasoning {
		out.out += out.reasoning
	} else if out.reasoning == 0 && u.Total > u.Prompt+u.Completion {
		out.reasoning, out.out = -1, -1 // counted apart, without a name
	}
	return out
}

func (a *answer) chat(list []piece, streamed bool) error {
	open := map[[2]int]string{} // choice and index → id
	at := map[[2]int]*call{}
	ended := false
	for _, p := range list {
		if isDone(p) {
			ended = true
			break
		}
		var v struct {
			Choices []struct {
				Index          int
				Message, Delta *chatMessage
				Text           string
				Finish         string `json:"finish_reason"`
				Usage          *chatUsage
			}
			Usage *chatUsage
			Groq  *struct{ Usage *chatUsage } `json:"x_groq"`
			Error json.RawMessage
		}
		if err := json.Unmarshal(p.data, &v); err != nil {
			return err
		}
		if len(v.Error) > 0 && string(v.Error) != "null" {
			a.broken, a.reason = true, "error event"
			return nil
		}
		for _, c := range v.Choices {
			t := a.turn(c.Index)
			t.text += c.Text
			t.end(c.Finish)
			if c.Usage != nil {
				a.usage = c.Usage.read()
			}
			m := c.Delta
			if m == nil || !streamed && c.Message != nil {
				m = c.Message
			}
			if m == nil {
				continue
			}
			t.text += m.Content.text + m.Content.refusals
			if m.Refusal != nil {
				t.text += *m.Refusal
				t.refused = t.refused || *m.Refusal != ""
			}
			if m.Audio != nil {
				t.text += m.Audio.Transcript
			}
			if f := m.Function; f != nil && f.Name+string(f.Arguments) != "" && len(m.Calls) == 0 {
				k := [2]int{c.Index, -1}
				if at[k] == nil {
					at[k] = &call{name: f.Name}
					t.calls = append(t.calls, at[k])
				}
				at[k].args += string(f.Arguments)
			}
			for i, f := range m.Calls {
				k := [2]int{c.Index, i}
				if f.Index != nil {
					k[1] = *f.Index
				}
				if !streamed {
					k[1] = len(t.calls)
				}
				id := ""
				if f.ID != nil {
					id = *f.ID
				}
				name := ""
				if f.Function.Name != nil {
					name = *f.Function.Name
				}
				if o := at[k]; o == nil || id != "" && open[k] != "" && id != open[k] && name != "" {
					at[k], open[k] = &call{}, id
					t.calls = append(t.calls, at[k])
				}
				if at[k].name == "" {
					at[k].name = name + f.Custom.Name
				}
				at[k].args += string(f.Function.Arguments) + f.Custom.Input
				at[k].custom = at[k].custom || f.Type == "custom"
			}
		}
		if v.Groq != nil && v.Groq.Usage != nil {
			a.usage = v.Groq.Usage.read()
		}
		if v.Usage != nil {
			if u := v.Usage.read(); u.in != 0 || a.usage == nil {
				a.usage = u
			}
		}
	}
	finished := slices.ContainsFunc(a.turns, func(t *turn) bool { return t.stop != stopNone })
	if streamed && !ended && !finished {
		a.broken, a.reason = true, "no end"
	}
	return nil
}

type responsesItem struct {
	Type, Name, Input string
	Arguments         loose
	Content           words
}

type responsesReply struct {
	Status     string
	Incomplete *struct{ Reason string } `json:"incomplete_details"`
	Output     []responsesItem
	Usage      *struct {
		In        int64 `json:"input_tokens"`
		Out       int64 `json:"output_tokens"`
		Total     int64 `json:"total_tokens"`
		InDetails *struct {
			Cached int64 `json:"cached_tokens"`
		} `json:"input_tokens_details"`
		OutDetails *struct {
			Reasoning int64 `json:"reasoning_tokens"`
		} `json:"output_tokens_details"`
	}
	Error json.RawMessage
}

// clientTools are steps that the client runs, in this protocol only.
var clientTools = []string{"computer_call", "local_shell_call", "shell_call", "apply_patch_call"}

func (a *answer) responses(list []piece, streamed bool) error {
	var r *responsesReply
	var items []responsesItem // as they were done
	for _, p := range list {
		if isDone(p) {
			break
		}
		if !streamed {
			if err := json.Unmarshal(p.data, &r); err != nil {
				return err
			}
			break
		}
		var v struct {
			Type     string
			Response *responsesReply
			Item     *responsesItem
		}
		if err := json.Unmarshal(p.data, &v); err != nil {
			return err
		}
		switch v.Type {
		case "response.output_item.done":
			if v.Item != nil {
				items = append(items, *v.Item)
			}
		case "response.completed", "response.incomplete", "response.failed":
			if r = v.Response; r != nil && len(r.Output) == 0 {
				r.Output = items // Codex' own service leaves it out
			}
		case "error":
			a.broken, a.reason = true, "error event"
			return nil
		}
	}
	if r == nil {
		a.broken, a.reason = true, "no end"
		return nil
	}
	if r.Status == "failed" {
		a.broken, a.reason = true, "failed"
		return nil
	}
	t := a.turn(0)
	for _, o := range r.Output {
		switch {
		case o.Type == "message":
			t.text += o.Content.text + o.Content.refusals
			t.refused = t.refused || o.Content.refusals != ""
		case o.Type == "function_call":
			t.calls = append(t.calls, &call{name: o.Name, args: string(o.Arguments)})
		case o.Type == "custom_tool_call":
			t.calls = append(t.calls, &call{name: o.Name, args: o.Input, custom: true})
		case slices.Contains(clientTools, o.Type):
			t.own = true
		}
	}
	t.end(r.Status)
	if r.Status == "incomplete" && r.Incomplete != nil {
		t.end(r.Incomplete.Reason)
	}
	if u := r.Usage; u != nil {
		a.usage = &usage{in: u.In, out: u.Out}
		if u.InDetails != nil {
			a.usage.cached = u.InDetails.Cached
		}
		if u.OutDetails != nil {
			a.usage.reasoning = u.OutDetails.Reasoning
		}
		if a.usage.reasoning > 0 && u.Total == u.In+u.Out+a.usage.reasoning {
			a.usage.out += a.usage.reasoning
		}
	}
	return nil
}

type anthropicBlock struct {
	Type, Text, Name string
	Input            json.RawMessage
}

type anthropicUsage struct {
	In      *int64 `json:"input_tokens"`
	Out     *int64 `json:"output_tokens"`
	Read    *int64 `json:"cache_read_input_tokens"`
	Write   *int64 `json:"cache_creation_input_tokens"`
	Details *struct {
		Thinking int64 `json:"thinking_tokens"`
	} `json:"output_tokens_details"`
}

// add takes what u tells; later counts replace earlier ones.
func (u *anthropicUsage) add(v *anthropicUsage) {
	for _, f := range [][2]**int64{{&u.In, &v.In}, {&u.Out, &v.Out}, {&u.Read, &v.Read}, {&u.Write, &v.Write}} {
		if *f[1] != nil {
			*f[0] = *f[1]
		}
	}
	if v.Details != nil {
		u.Details = v.Details
	}
}

func (u *anthropicUsage) read() *usage {
	n := func(p *int64) int64 {
		if p == nil {
			return 0
		}
		return *p
	}
	out := &usage{in: n(u.In) + n(u.Read) + n(u.Write), out: n(u.Out), cached: n(u.Read)}
	if u.Details != nil {
		out.reasoning = u.Details.Thinking
	}
	return out
}

func (a *answer) anthropic(list []piece, streamed bool) error {
	t := a.turn(0)
	var u anthropicUsage
	at := map[int]*call{}
	counted, ended := false, false
	block := func(b *anthropicBlock) *call {
		t.text += b.Text
		if b.Type != "tool_use" {
			return nil
		}
		c := &call{name: b.Name}
		t.calls = append(t.calls, c)
		return c
	}
	for _, p := range list {
		if ended || isDone(p) {
			break
		}
		var v struct {
			Type    string
			Index   int
			Message *struct{ Usage *anthropicUsage }
			Block   *anthropicBlock `json:"content_block"`
			Content []anthropicBlock
			Stop    string `json:"stop_reason"`
			Delta   *struct {
				Type, Text string
				JSON       string `json:"partial_json"`
				Stop       string `json:"stop_reason"`
			}
			Usage *anthropicUsage
		}
		if err := json.Unmarshal(p.data, &v); err != nil {
			return err
		}
		if v.Type == "error" {
			a.broken, a.reason = true, "error event"
			return nil
		}
		for _, m := range []*anthropicUsage{v.Usage, messageUsage(v.Message)} {
			if m != nil {
				u.add(m)
				counted = true
			}
		}
		for i := range v.Content {
			if c := block(&v.Content[i]); c != nil {
				c.args = string(v.Content[i].Input)
			}
		}
		t.end(v.Stop)
		if v.Block != nil {
			if c := block(v.Block); c != nil {
				at[v.Index] = c
				if s := string(v.Block.Input); s != "{}" && s != "null" {
					c.args = s
				}
			}
		}
		if v.Delta != nil {
			if v.Delta.Type == "text_delta" {
				t.text += v.Delta.Text
			}
			if c := at[v.Index]; c != nil && v.Delta.Type == "input_json_delta" {
				c.args += v.Delta.JSON
			}
			t.end(v.Delta.Stop)
		}
		ended = ended || v.Type == "message_stop"
	}
	if counted {
		a.usage = u.read()
	}
	if streamed && !ended {
		a.broken, a.reason = true, "no end"
	}
	return nil
}

func messageUsage(m *struct{ Usage *anthropicUsage }) *anthropicUsage {
	if m == nil {
		return nil
	}
	return m.Usage
}
