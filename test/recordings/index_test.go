package recordings

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// exchange is a recorded exchange: a row of the recordings' index and its
// files.
type exchange struct {
	Case     string `json:"case"`
	Provider string `json:"provider"`
	API      string `json:"api"`
	Model    string `json:"model"`
	Stream   bool   `json:"stream"`
	Status   int    `json:"status"`
	Response string `json:"response"`
	Request  bool   `json:"request"`

	request  []byte // nil if it is missing or no JSON object
	response []byte
	lost     error // of reading the response
	head     struct {
		Method   string            `json:"method"`
		URL      string            `json:"url"`
		Response map[string]string `json:"response_headers"`
	}
}

// load reads the recorded exchanges below dir.
func load(t *testing.T, dir string) (all []*exchange) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "index.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		x := &exchange{}
		if err := json.Unmarshal(s.Bytes(), x); err != nil {
			t.Fatalf("index.jsonl: %v", err)
		}
		x.response, x.lost = os.ReadFile(filepath.Join(dir, x.Case, x.Response))
		if b, err := os.ReadFile(filepath.Join(dir, x.Case, "request.json")); err == nil && isObject(b) && json.Valid(b) {
			x.request = b
		}
		if b, err := os.ReadFile(filepath.Join(dir, x.Case, "headers.json")); err == nil {
			_ = json.Unmarshal(b, &x.head) // what is not there is made up
		}
		all = append(all, x)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatalf("no recordings in %s", dir)
	}
	return all
}

func isObject(b []byte) bool {
	b = bytes.TrimSpace(b)
	return len(b) > 0 && b[0] == '{'
}

// shape is the form of an answer, which decides the protocol: recordings are
// sometimes filed under another one.
type shape int

const (
	shapeNone shape = iota
	shapeChat
	shapeCompletion
	shapeResponses
	shapeAnthropic
	shapeGemini
	shapeBedrock
	shapeCohere
	shapeOllama
)

// protocol is the value of a provider's key `protocol` for a shape.
var protocol = [...]string{
	shapeChat: "openai", shapeCompletion: "openai", shapeResponses: "responses", shapeAnthropic: "anthropic", shapeGemini: "gemini",
	shapeBedrock: "bedrock", shapeCohere: "cohere", shapeOllama: "ollama",
}

// declared are the shapes of the APIs that the gateway translates; for errors
// nothing else tells.
var declared = map[string]shape{
	"chat": shapeChat, "completions": shapeCompletion, "responses": shapeResponses, "messages": shapeAnthropic, "generateContent": shapeGemini,
	"streamGenerateContent": shapeGemini, "converse": shapeBedrock, "converse-stream": shapeBedrock, "rawPredict": shapeAnthropic,
	"streamRawPredict": shapeAnthropic,
}

// shapeOf looks at a whole answer or the first event of a stream.
func shapeOf(b []byte) shape {
	var v struct {
		Object        string          `json:"object"`
		Type          string          `json:"type"`
		Choices       json.RawMessage `json:"choices"`
		Candidates    json.RawMessage `json:"candidates"`
		Feedback      json.RawMessage `json:"promptFeedback"`
		UsageMetadata json.RawMessage `json:"usageMetadata"`
		Output        json.RawMessage `json:"output"`
		StopReason    json.RawMessage `json:"stopReason"`
		Message       json.RawMessage `json:"message"`
		FinishReason  json.RawMessage `json:"finish_reason"`
		Done          *bool           `json:"done"`
		MessageStart  json.RawMessage `json:"messageStart"`
		BlockStart    json.RawMessage `json:"contentBlockStart"`
		BlockDelta    json.RawMessage `json:"contentBlockDelta"`
		Role          string          `json:"role"`
		Sequence      json.RawMessage `json:"sequence_number"`
		Name          string          `json:"name"` // of caches
		Embeddings    json.RawMessage `json:"embeddings"`
	}
	if !isObject(b) || json.Unmarshal(b, &v) != nil {
		return shapeNone
	}
	switch {
	case v.Choices != nil:
		var c []struct{ Message, Delta, Text json.RawMessage }
		if _ = json.Unmarshal(v.Choices, &c); len(c) > 0 && c[0].Text != nil && c[0].Message == nil && c[0].Delta == nil {
			return shapeCompletion
		}
		return shapeChat
	case v.Object == "response", strings.HasPrefix(v.Type, "response."):
		return shapeResponses
	case v.Type == "message", v.Type == "message_start":
		return shapeAnthropic
	case (v.Candidates != nil || v.Feedback != nil || v.UsageMetadata != nil) && v.Name == "" && v.Embeddings == nil:
		return shapeGemini
	case v.Output != nil && v.StopReason != nil, v.MessageStart != nil, v.BlockStart != nil, v.BlockDelta != nil:
		return shapeBedrock
	case v.Type == "message-start", isObject(v.Message) && v.FinishReason != nil:
		return shapeCohere
	case isObject(v.Message) && v.Done != nil:
		return shapeOllama
	}
	return shapeNone
}

// piece is an event of a recorded stream.
type piece struct {
	name string // of its framing
	data []byte
}

// pieces cuts a recorded stream into its events; ok is false for a whole
// answer.
func (x *exchange) pieces() (all []piece, ok bool) {
	switch filepath.Ext(x.Response) {
	case ".sse":
		return events(x.response), true
	case ".ndjson":
		for line := range bytes.Lines(x.response) {
			if line = bytes.TrimSpace(line); len(line) > 0 {
				all = append(all, piece{data: line})
			}
		}
		return all, true
	case ".json":
		var list []json.RawMessage
		if b := bytes.TrimSpace(x.response); len(b) > 0 && b[0] == '[' && json.Unmarshal(b, &list) == nil {
			for _, e := range list {
				var line bytes.Buffer
				_ = json.Compact(&line, e) // it is valid
				all = append(all, piece{data: line.Bytes()})
			}
			return all, true
		}
		return nil, false
	}
	if all, err := unframe(x.response); err == nil && len(all) > 0 {
		return all, true
	}
	return nil, false
}

// unspaced reports whether a recording has lost the blank lines between its
// events: a line of data follows another that is whole.
func unspaced(b []byte) bool {
	last := false
	for line := range bytes.Lines(b) {
		data, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("data:"))
		ok = ok && json.Valid(data)
		if ok && last {
			return true
		}
		last = ok
	}
	return false
}

// events reads server-sent events, whatever ends their lines.
func events(b []byte) (all []piece) {
	if unspaced(b) {
		b = bytes.ReplaceAll(b, []byte("\n"), []byte("\n\n"))
	}
	b = bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
	for part := range bytes.SplitSeq(b, []byte("\n\n")) {
		var p piece
		var has bool
		for line := range bytes.SplitSeq(part, []byte("\n")) {
			name, value, _ := bytes.Cut(line, []byte(":"))
			value = bytes.TrimPrefix(value, []byte(" "))
			switch string(name) {
			case "event":
				p.name = string(value)
			case "data":
				if has {
					p.data = append(p.data, '\n')
				}
				p.data, has = append(p.data, value...), true
			}
		}
		if has {
			all = append(all, p)
		}
	}
	return all
}

// shape is that of the recorded answer; for errors the declared one.
func (x *exchange) shape() shape {
	if x.Status >= 400 {
		s := declared[x.API]
		if x.Provider == "cohere" && s == shapeChat {
			s = shapeCohere
		}
		return s
	}
	if all, ok := x.pieces(); ok {
		for _, p := range all {
			if s := shapeOf(p.data); s != shapeNone {
				return s
			}
			if s := shapeOfFrame(p.name); s != shapeNone {
				return s
			}
		}
		return shapeNone
	}
	return shapeOf(x.response)
}

func shapeOfFrame(name string) shape {
	switch name {
	case "messageStart", "contentBlockStart", "contentBlockDelta":
		return shapeBedrock
	}
	return shapeNone
}
