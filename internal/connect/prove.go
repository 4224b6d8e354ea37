package connect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/wire/sse"
)

const (
	// proofTimeout bounds one call.
	proofTimeout = 60 * time.Second
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 4 << 20
	// question is what models are asked; the answer's words do not matter.
	question = "Answer with the one word: ready"
)

// Models returns what the gateway lists for the key.
func Models(ctx context.Context, g Gateway) ([]string, error) {
	resp, err := send(ctx, g, http.MethodGet, "/v1/models", nil, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&list); err != nil {
		return nil, errors.New("GET /v1/models: the answer is not a list of models; is there a Sluice at this URL?")
	}
	var ids []string
	for _, m := range list.Data {
		ids = append(ids, m.ID)
	}
	return ids, nil
}

// Proof is a call that worked.
type Proof struct {
	Path   string
	Target string // that answered, "" if the gateway does not say
	Text   string // of the answer
	Took   time.Duration
}

// Prove makes one streamed call as the tool does, and reads it to its end.
func (t *Tool) Prove(ctx context.Context, g Gateway) (Proof, error) {
	ctx, cancel := context.WithTimeout(ctx, proofTimeout)
	defer cancel()
	start := time.Now()
	p := Proof{Path: t.call.path}
	resp, err := send(ctx, g, http.MethodPost, t.call.path, t.call.body(g.Model), t.call.header)
	if err != nil {
		return p, err
	}
	defer resp.Body.Close()
	p.Target = resp.Header.Get("X-Sluice-Target")
	if p.Text, err = t.call.readAll(resp); err != nil {
		return p, fmt.Errorf("POST %s: %w", t.call.path, err)
	}
	p.Took = time.Since(start)
	return p, nil
}

// send makes a call with the key as a bearer token. Answers other than 200
// are errors.
func send(ctx context.Context, g Gateway, method, path string, body []byte, header map[string]string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, g.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the URL of the gateway cannot be read")
	}
	r.Header.Set("Authorization", "Bearer "+g.key())
	r.Header.Set("User-Agent", "sluice-connect")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	client := http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w; does the gateway run there?", method, path, errors.Unwrap(err))
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return nil, fmt.Errorf("%s %s: the gateway answered %d%s", method, path, resp.StatusCode, said(b))
}

// said is the message of an error answer, in OpenAI's envelope or Anthropic's.
func said(b []byte) string {
	var e struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(b, &e) != nil || e.Error.Message == "" {
		return ""
	}
	return ": " + e.Error.Message
}

// call is how a tool calls.
type call struct {
	path   string
	header map[string]string
	body   func(model string) []byte
	event  func(name string, data []byte) (text string, end bool, err error)
}

// readAll reads a stream to the end that its protocol demands.
func (c call) readAll(resp *http.Response) (string, error) {
	if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
		return "", fmt.Errorf("the answer is %q, not a stream of events", kind)
	}
	r := sse.NewReader(io.LimitReader(resp.Body, maxAnswer))
	defer r.Close()
	var text strings.Builder
	ended := false
	for {
		events, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("the stream broke: %w", err)
		}
		for len(events) > 0 {
			var one []byte
			one, events = sse.Split(events)
			data, ok := sse.Data(one)
			if !ok {
				continue
			}
			s, end, err := c.event(sse.Name(one), data)
			if err != nil {
				return "", err
			}
			text.WriteString(s)
			ended = ended || end
		}
	}
	if !ended {
		return "", errors.New("the stream ended without its last event")
	}
	return text.String(), nil
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // of our own types
	}
	return b
}

type message struct {
	Role    string `json:"role"`
	Content []part `json:"content"`
}

type part struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// messages is how Claude Code calls.
var messages = call{
	path:   "/v1/messages?beta=true",
	header: map[string]string{"Anthropic-Version": "2023-06-01"},
	body: func(model string) []byte {
		return marshal(struct {
			Model     string    `json:"model"`
			MaxTokens int       `json:"max_tokens"`
			Stream    bool      `json:"stream"`
			System    []part    `json:"system"`
			Messages  []message `json:"messages"`
		}{model, 1024, true, []part{{"text", "You are a test."}}, []message{{"user", []part{{"text", question}}}}})
	},
	event: func(name string, data []byte) (string, bool, error) {
		var e struct {
			Type  string                `json:"type"`
			Delta struct{ Text string } `json:"delta"`
		}
		if json.Unmarshal(data, &e) != nil || e.Type != name {
			return "", false, errors.New("an event cannot be read, or its name is not its type")
		}
		if e.Type == "error" {
			return "", false, errors.New("the stream ended in an error" + said(data))
		}
		return e.Delta.Text, e.Type == "message_stop", nil
	},
}

// group is a namespace of tools, of which Codex sends one to every model.
type group struct {
	Type        string    `json:"type"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Tools       []grouped `json:"tools"`
}

type grouped struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
}

var agents = []group{{"namespace", "agents", "Tools for agents.", []grouped{{"function", "wait", "Waits for an agent.", json.RawMessage(`{"type":"object","properties":{}}`)}}}}

// responses is how Codex calls: it keeps the conversation itself.
var responses = call{
	path: "/v1/responses",
	body: func(model string) []byte {
		type item struct {
			Type string `json:"type"`
			message
		}
		return marshal(struct {
			Model        string   `json:"model"`
			Instructions string   `json:"instructions"`
			Input        []item   `json:"input"`
			Tools        []group  `json:"tools"`
			Store        bool     `json:"store"`
			Stream       bool     `json:"stream"`
			Include      []string `json:"include"`
		}{model, "You are a test.", []item{{"message", message{"user", []part{{"input_text", question}}}}}, agents, false, true, []string{"reasoning.encrypted_content"}})
	},
	event: func(_ string, data []byte) (string, bool, error) {
		var e struct {
			Type     string          `json:"type"`
			Delta    json.RawMessage `json:"delta"`
			Response json.RawMessage `json:"response"`
		}
		if json.Unmarshal(data, &e) != nil {
			return "", false, errors.New("an event cannot be read")
		}
		switch e.Type {
		case "response.output_text.delta":
			var s string
			return s, false, json.Unmarshal(e.Delta, &s)
		case "error":
			return "", false, errors.New("the stream ended in an error" + said(data))
		case "response.failed":
			return "", false, errors.New("the stream ended in an error" + said(e.Response))
		}
		return "", e.Type == "response.completed" || e.Type == "response.incomplete", nil
	},
}

// chat is how all others call.
var chat = call{
	path: "/v1/chat/completions",
	body: func(model string) []byte {
		type options struct {
			IncludeUsage bool `json:"include_usage"`
		}
		type plain struct {
			Role    string `json:"role"`
			Content string `json:"content"`
		}
		return marshal(struct {
			Model    string  `json:"model"`
			Stream   bool    `json:"stream"`
			Options  options `json:"stream_options"`
			Messages []plain `json:"messages"`
		}{model, true, options{true}, []plain{{"system", "You are a test."}, {"user", question}}})
	},
	event: func(_ string, data []byte) (string, bool, error) {
		if string(data) == "[DONE]" {
			return "", true, nil
		}
		var e struct {
			Choices []struct {
				Delta struct {
					Content string `json:"content"`
				} `json:"delta"`
			} `json:"choices"`
			Error json.RawMessage `json:"error"`
		}
		if json.Unmarshal(data, &e) != nil {
			return "", false, errors.New("a chunk cannot be read")
		}
		if e.Error != nil {
			return "", false, errors.New("the stream ended in an error" + said(data))
		}
		var s string
		for _, c := range e.Choices {
			s += c.Delta.Content
		}
		return s, false, nil
	},
}
