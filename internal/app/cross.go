package app

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// The tour's steps in which client and vendor speak different protocols.

// crossed checks that target answered and that its vendor was asked at path.
func (t *tour) crossed(r reply, target, path string) error {
	if r.status != http.StatusOK || r.target() != target {
		return fmt.Errorf("status %d from %q: %s", r.status, r.target(), r.body)
	}
	_, model, _ := strings.Cut(target, "/")
	asked := ""
	for _, c := range t.d.Sim.Journal() {
		if c.Model == model {
			asked = c.Path
		}
	}
	if asked != path {
		return fmt.Errorf("the vendor of %s was asked at %s, not at %s", model, asked, path)
	}
	return nil
}

// said checks that a text is the model's.
func said(text, model string) error {
	if !strings.HasPrefix(text, "This is "+model) {
		return fmt.Errorf("%q is not what %s says", text, model)
	}
	return nil
}

// events returns the data of a stream's events.
func (r reply) events() (all []string) {
	for sc := bufio.NewScanner(strings.NewReader(string(r.body))); sc.Scan(); {
		if data, ok := strings.CutPrefix(sc.Text(), "data: "); ok {
			all = append(all, data)
		}
	}
	return all
}

// message is what the tour reads of Anthropic's answers.
type message struct {
	Content []struct {
		Type, Text, Thinking, Signature string
		ID                              string
		Input                           json.RawMessage
	}
	StopReason string `json:"stop_reason"`
	Usage      struct {
		Input  int `json:"input_tokens"`
		Output int `json:"output_tokens"`
	}
}

// messages asks OpenAI's gpt-4 as a client of Anthropic does.
func (t *tour) messages() (string, error) {
	r, err := t.post("/v1/messages", `{"model":"gpt-4","max_tokens":100,"messages":[{"role":"user","content":"Hello"}]}`)
	if err == nil {
		err = t.crossed(r, "openai/gpt-4", "/v1/chat/completions")
	}
	var m message
	if err == nil {
		err = json.Unmarshal(r.body, &m)
	}
	if err != nil {
		return "", err
	}
	if len(m.Content) != 1 || m.StopReason != "end_turn" || m.Usage.Output == 0 {
		return "", fmt.Errorf("got %s", r.body)
	}
	return fmt.Sprintf("Anthropic's client asked OpenAI's gpt-4: %d tokens, %s", m.Usage.Output, m.StopReason), said(m.Content[0].Text, "gpt-4")
}

const tourTool = `{"name":"weather","description":"The weather","parameters":{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}},"required":["city","days"]}}`

// toolCall streams a tool call of Anthropic's claude-3 to a client of OpenAI.
func (t *tour) toolCall() (string, error) {
	r, err := t.post("/v1/chat/completions", `{"model":"claude-3","stream":true,"messages":[{"role":"user","content":"Please call the tool"}],"tools":[{"type":"function","function":`+tourTool+`}]}`)
	if err == nil {
		err = t.crossed(r, "anthropic/claude-3", "/v1/messages")
	}
	if err != nil {
		return "", err
	}
	name, args, finish, done, pieces := "", "", "", false, 0
	for _, data := range r.events() {
		var e struct {
			Choices []struct {
				Delta struct {
					Calls []struct {
						Function struct{ Name, Arguments string }
					} `json:"tool_calls"`
				}
				Finish string `json:"finish_reason"`
			}
		}
		if done = data == "[DONE]"; done {
			break
		}
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return "", err
		}
		for _, c := range e.Choices {
			finish += c.Finish
			for _, call := range c.Delta.Calls {
				name += call.Function.Name
				args += call.Function.Arguments
				pieces++
			}
		}
	}
	var w struct {
		City *string
		Days *int
	}
	if err := json.Unmarshal([]byte(args), &w); err != nil || name != "weather" || w.City == nil || w.Days == nil || finish != "tool_calls" || !done {
		return "", fmt.Errorf("got %s(%s), finish_reason %q, [DONE] %t", name, args, finish, done)
	}
	return fmt.Sprintf("OpenAI's client streamed from Anthropic's claude-3: %s(%s) in %d pieces, %s", name, args, pieces, finish), nil
}

// generate asks Anthropic's claude-3 as a client of Gemini does.
func (t *tour) generate() (string, error) {
	r, err := t.post("/v1beta/models/claude-3:generateContent", `{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}`)
	if err == nil {
		err = t.crossed(r, "anthropic/claude-3", "/v1/messages")
	}
	var g struct {
		Candidates []struct {
			Content struct {
				Parts []struct{ Text string }
			}
			Finish string `json:"finishReason"`
		}
		Usage struct {
			Candidates int `json:"candidatesTokenCount"`
		} `json:"usageMetadata"`
	}
	if err == nil {
		err = json.Unmarshal(r.body, &g)
	}
	if err != nil {
		return "", err
	}
	if len(g.Candidates) != 1 || len(g.Candidates[0].Content.Parts) != 1 || g.Candidates[0].Finish != "STOP" || g.Usage.Candidates == 0 {
		return "", fmt.Errorf("got %s", r.body)
	}
	return fmt.Sprintf("Gemini's client asked Anthropic's claude-3: %d tokens, STOP", g.Usage.Candidates), said(g.Candidates[0].Content.Parts[0].Text, "claude-3")
}

// responses streams Google's gemini-pro to a client of OpenAI's Responses.
func (t *tour) responses() (string, error) {
	r, err := t.post("/v1/responses", `{"model":"gemini-pro","stream":true,"store":false,"input":"Hello"}`)
	if err == nil {
		err = t.crossed(r, "google/gemini-pro", "/v1beta/models/gemini-pro:streamGenerateContent")
	}
	if err != nil {
		return "", err
	}
	text, last, n := "", "", 0
	for _, data := range r.events() {
		var e struct{ Type, Delta string }
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return "", err
		}
		if e.Type == "response.output_text.delta" {
			text += e.Delta
		}
		last = e.Type
		n++
	}
	if last != "response.completed" {
		return "", fmt.Errorf("the last of %d events is %q", n, last)
	}
	return fmt.Sprintf("OpenAI's Responses client streamed from Google's gemini-pro: %d events, ended by %s", n, last), said(text, "gemini-pro")
}

// thinker is a model of Anthropic's that thinks.
const thinker = "claude-sonnet-4-5"

// thinking lets the thinker think and call a tool for a client of OpenAI's
// Responses, and gives the vendor back what it signed: it refuses a thought
// that is not its own.
func (t *tour) thinking() (string, error) {
	head := `{"model":"anthropic/` + thinker + `","store":false,"max_output_tokens":4096,"include":["reasoning.encrypted_content"],"reasoning":{"effort":"low","summary":"auto"},"tools":[` +
		`{"type":"function","strict":false,` + tourTool[1:] + `],"input":[{"role":"user","content":"Please call the tool"}`
	type answer struct {
		Output []json.RawMessage
		Status string
	}
	ask := func(more string) (a answer, err error) {
		r, err := t.post("/v1/responses", head+more+`]}`)
		if err == nil {
			err = t.crossed(r, "anthropic/"+thinker, "/v1/messages")
		}
		if err == nil {
			err = json.Unmarshal(r.body, &a)
		}
		return a, err
	}
	first, err := ask("")
	if err != nil {
		return "", err
	}
	var thought, call struct {
		Type string
		ID   string `json:"call_id"`
	}
	if len(first.Output) != 2 || json.Unmarshal(first.Output[0], &thought) != nil || json.Unmarshal(first.Output[1], &call) != nil || thought.Type != "reasoning" || call.Type != "function_call" {
		return "", fmt.Errorf("%s answered with %s, not with a thought and a call", thinker, first.Output)
	}
	second, err := ask(fmt.Sprintf(`,%s,%s,{"type":"function_call_output","call_id":%q,"output":"sunny"}`, first.Output[0], first.Output[1], call.ID))
	if err != nil {
		return "", fmt.Errorf("with the thought given back: %w", err)
	}
	// Without the thought the vendor would have refused, or thought no more.
	if len(second.Output) != 2 || json.Unmarshal(second.Output[0], &thought) != nil || thought.Type != "reasoning" {
		return "", fmt.Errorf("with the thought given back %s answered with %s, not with a thought and a text", thinker, second.Output)
	}
	return fmt.Sprintf("%s thought and called a tool for a Responses client; its signature came back through the client and it went on (%s)", thinker, second.Status), nil
}
