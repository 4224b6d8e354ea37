package recordings

import (
	"encoding/json"
	"slices"
	"strings"
)

// geminiWord is a finish reason; Google's own clients ask for its number.
type geminiWord string

func (w *geminiWord) UnmarshalJSON(b []byte) error {
	names := [...]string{"", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MALFORMED_FUNCTION_CALL"}
	var n int
	if json.Unmarshal(b, &n) == nil && n >= 0 && n < len(names) {
		*w = geminiWord(names[n])
		return nil
	}
	return json.Unmarshal(b, (*string)(w))
}

func (a *answer) gemini(list []piece, streamed bool) error {
	for _, p := range list {
		var v struct {
			Candidates []struct {
				Index   int
				Content struct {
					Parts []struct {
						Text    string
						Thought bool
						Call    *struct {
							Name string
							Args json.RawMessage
						} `json:"functionCall"`
					}
				}
				Finish geminiWord `json:"finishReason"`
			}
			Feedback *struct {
				Block geminiWord `json:"blockReason"`
			} `json:"promptFeedback"`
			Meta *struct {
				Prompt     int64 `json:"promptTokenCount"`
				Tool       int64 `json:"toolUsePromptTokenCount"`
				Candidates int64 `json:"candidatesTokenCount"`
				Thoughts   int64 `json:"thoughtsTokenCount"`
				Cached     int64 `json:"cachedContentTokenCount"`
			} `json:"usageMetadata"`
			Error json.RawMessage
		}
		if err := json.Unmarshal(p.data, &v); err != nil {
			return err
		}
		if v.Error != nil {
			a.broken, a.reason = true, "error event"
			return nil
		}
		for _, c := range v.Candidates {
			t := a.turn(c.Index)
			for _, part := range c.Content.Parts {
				if part.Call != nil {
					t.calls = append(t.calls, &call{name: part.Call.Name, args: string(part.Call.Args)})
				} else if !part.Thought {
					t.text += part.Text
				}
			}
			t.end(string(c.Finish))
		}
		if v.Feedback != nil && v.Feedback.Block != "" {
			a.turn(0).stop = stopFilter
		}
		if u := v.Meta; u != nil && u.Prompt+u.Candidates+u.Thoughts > 0 {
			a.usage = &usage{in: u.Prompt + u.Tool, out: u.Candidates + u.Thoughts, cached: u.Cached, reasoning: u.Thoughts}
		}
	}
	if streamed && !slices.ContainsFunc(a.turns, func(t *turn) bool { return t.stop != stopNone }) {
		a.broken, a.reason = true, "no end"
	}
	return nil
}

func (a *answer) bedrock(list []piece, streamed bool) error {
	type block struct {
		Text string
		Use  *struct {
			Name, Type string
			Input      json.RawMessage
		} `json:"toolUse"`
		Cited *struct{ Content []struct{ Text string } } `json:"citationsContent"`
	}
	type counts struct {
		In    int64 `json:"inputTokens"`
		Out   int64 `json:"outputTokens"`
		Read  int64 `json:"cacheReadInputTokens"`
		Write int64 `json:"cacheWriteInputTokens"`
	}
	count := func(u *counts) {
		if u != nil {
			a.usage = &usage{in: u.In + u.Read + u.Write, out: u.Out, cached: u.Read}
		}
	}
	t := a.turn(0)
	at := map[int]*call{}
	for _, p := range list {
		if !streamed {
			var v struct {
				Output struct{ Message struct{ Content []block } }
				Stop   string `json:"stopReason"`
				Usage  *counts
			}
			if err := json.Unmarshal(p.data, &v); err != nil {
				return err
			}
			for _, b := range v.Output.Message.Content {
				t.text += b.Text
				if b.Cited != nil {
					for _, c := range b.Cited.Content {
						t.text += c.Text
					}
				}
				if b.Use != nil && b.Use.Type != "server_tool_use" {
					t.calls = append(t.calls, &call{name: b.Use.Name, args: string(b.Use.Input)})
				}
			}
			t.end(v.Stop)
			count(v.Usage)
			continue
		}
		name, data := p.name, p.data
		if name == "" { // lines, each an object with the event's name
			var line map[string]json.RawMessage
			if err := json.Unmarshal(data, &line); err != nil {
				return err
			}
			for k, v := range line {
				name, data = k, v
			}
		}
		var v struct {
			Index int `json:"contentBlockIndex"`
			Start struct {
				Use *struct{ Name, Type string } `json:"toolUse"`
			}
			Delta struct {
				Text string
				Use  *struct{ Input string } `json:"toolUse"`
			}
			Stop  string `json:"stopReason"`
			Usage *counts
		}
		if err := json.Unmarshal(data, &v); err != nil {
			return err
		}
		if strings.HasSuffix(name, "Exception") {
			a.broken, a.reason = true, "exception"
			return nil
		}
		if v.Start.Use != nil && v.Start.Use.Type != "server_tool_use" {
			at[v.Index] = &call{name: v.Start.Use.Name}
			t.calls = append(t.calls, at[v.Index])
		}
		t.text += v.Delta.Text
		if c := at[v.Index]; c != nil && v.Delta.Use != nil {
			c.args += v.Delta.Use.Input
		}
		t.end(v.Stop)
		count(v.Usage)
	}
	if t.stop == stopNone {
		a.broken, a.reason = true, "no end"
	}
	return nil
}

type cohereCounts struct {
	In        float64 `json:"input_tokens"`
	Out       float64 `json:"output_tokens"`
	Reasoning float64 `json:"reasoning_tokens"`
}

func (a *answer) cohere(list []piece, streamed bool) error {
	type message struct {
		Content words
		Calls   []struct {
			Function struct {
				Name      string
				Arguments loose
			}
		} `json:"tool_calls"`
	}
	type counts struct {
		Tokens *cohereCounts
		Billed *cohereCounts `json:"billed_units"`
	}
	count := func(u *counts) { // what is billed, where it is told
		if u == nil {
			return
		}
		n := u.Billed
		if n == nil {
			n = u.Tokens
		}
		if n == nil {
			return
		}
		a.usage = &usage{in: int64(n.In), out: int64(n.Out)}
		if u.Tokens != nil {
			a.usage.reasoning = int64(u.Tokens.Reasoning)
		}
	}
	t := a.turn(0)
	at := map[int]*call{}
	for _, p := range list {
		if isDone(p) {
			break
		}
		if !streamed {
			var v struct {
				Message message
				Finish  string `json:"finish_reason"`
				Usage   *counts
			}
			if err := json.Unmarshal(p.data, &v); err != nil {
				return err
			}
			t.text = v.Message.Content.text
			for _, c := range v.Message.Calls {
				t.calls = append(t.calls, &call{name: c.Function.Name, args: string(c.Function.Arguments)})
			}
			t.end(v.Finish)
			count(v.Usage)
			continue
		}
		var v struct {
			Type  string
			Index int
			Delta struct {
				Message struct {
					Content struct{ Text string }
					Calls   struct {
						Function struct {
							Name      string
							Arguments loose
						}
					} `json:"tool_calls"`
				}
				Finish string `json:"finish_reason"`
				Usage  *counts
			}
		}
		if err := json.Unmarshal(p.data, &v); err != nil && v.Type != "message-start" {
			return err
		}
		switch v.Type {
		case "content-start", "content-delta":
			t.text += v.Delta.Message.Content.Text
		case "tool-call-start":
			f := v.Delta.Message.Calls.Function
			at[v.Index] = &call{name: f.Name, args: string(f.Arguments)}
			t.calls = append(t.calls, at[v.Index])
		case "tool-call-delta":
			if c := at[v.Index]; c != nil {
				c.args += string(v.Delta.Message.Calls.Function.Arguments)
			}
		case "message-end":
			t.end(v.Delta.Finish)
			count(v.Delta.Usage)
		}
	}
	if t.stop == stopNone {
		a.broken, a.reason = true, "no end"
	}
	return nil
}

func (a *answer) ollama(list []piece, streamed bool) error {
	t := a.turn(0)
	ended := false
	for _, p := range list {
		var v struct {
			Message struct {
				Content string
				Calls   []struct {
					Function struct {
						Name      string
						Arguments loose
					}
				} `json:"tool_calls"`
			}
			Done   bool
			Reason string `json:"done_reason"`
			In     int64  `json:"prompt_eval_count"`
			Out    int64  `json:"eval_count"`
			Error  string
		}
		if err := json.Unmarshal(p.data, &v); err != nil {
			return err
		}
		if v.Error != "" {
			a.broken, a.reason = true, "error"
			return nil
		}
		t.text += v.Message.Content
		for _, c := range v.Message.Calls {
			t.calls = append(t.calls, &call{name: c.Function.Name, args: string(c.Function.Arguments)})
		}
		if v.Done {
			ended = true
			if v.Reason == "" {
				v.Reason = "stop"
			}
			t.end(v.Reason)
			if v.In+v.Out > 0 {
				a.usage = &usage{in: v.In, out: v.Out}
			}
		}
	}
	if !ended {
		a.broken, a.reason = true, "no end"
	}
	return nil
}
