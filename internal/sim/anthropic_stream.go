package sim

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// claudeFrame appends an event to b.
func claudeFrame(b []byte, name string, data []byte) []byte {
	b = append(b, "event: "...)
	b = append(b, name...)
	b = append(b, "\ndata: "...)
	b = append(b, data...)
	return append(b, "\n\n"...)
}

// claudeEvent is an event that is no delta of a block.
type claudeEvent struct {
	Type    string         `json:"type"`
	Index   *int           `json:"index,omitempty"`
	Message *claudeMessage `json:"message,omitempty"`
	Block   *claudePart    `json:"content_block,omitempty"`
	Delta   *claudeDelta   `json:"delta,omitempty"`
	Usage   *claudeUsage   `json:"usage,omitempty"`
}

type claudeDelta struct {
	StopReason  *string     `json:"stop_reason"`
	Sequence    *string     `json:"stop_sequence"`
	StopDetails *claudeStop `json:"stop_details"`
}

func (e claudeEvent) step() step { return step{frame: claudeFrame(nil, e.Type, encode(e))} }

// steps yields the events of the answer's stream.
func (m *claudeAnswer) steps(yield func(step) bool) {
	head := m.claudeMessage
	head.Content, head.StopReason, head.Sequence, head.StopDetails = []claudePart{}, nil, nil, nil
	head.Usage.Output, head.Usage.Details = 1, nil
	if !yield(claudeEvent{Type: "message_start", Message: &head}.step()) {
		return
	}
	for i := range m.parts {
		if !m.block(i, yield) {
			return
		}
	}
	usage := m.Usage
	usage.Creation, usage.Tier = nil, ""
	end := claudeEvent{
		Type: "message_delta", Delta: &claudeDelta{m.StopReason, m.Sequence, m.StopDetails}, Usage: &usage,
	}.step()
	end.end = true
	_ = yield(end) && yield(claudeEvent{Type: "message_stop"}.step())
}

// block yields the events of one block.
func (m *claudeAnswer) block(i int, yield func(step) bool) bool {
	p, b := &m.parts[i], m.Content[i]
	switch p.kind {
	case partThinking:
		b.Thinking, b.Signature = new(string), new(string)
	case partCall:
		b.Input = json.RawMessage("{}")
	case partText, partRefusal:
		b.Text = new(string)
	}
	start := claudeEvent{Type: "content_block_start", Index: &i, Block: &b}.step()
	if p.kind == partSecret {
		start.tokens = len(p.pieces)
	}
	if !yield(start) || i == 0 && !yield(claudeEvent{Type: "ping"}.step()) {
		return false
	}
	if !m.deltas(i, yield) {
		return false
	}
	if p.kind == partThinking {
		signature := m.Content[i].Signature
		if !yield(step{frame: claudePiece(nil, i, "signature_delta", "signature", *signature)}) {
			return false
		}
	}
	return yield(claudeEvent{Type: "content_block_stop", Index: &i}.step())
}

func (m *claudeAnswer) deltas(i int, yield func(step) bool) bool {
	p := &m.parts[i]
	kind, field := "text_delta", "text"
	switch p.kind {
	case partThinking:
		kind, field = "thinking_delta", "thinking"
		if m.mute {
			return true
		}
	case partSecret:
		return true
	case partCall:
		kind, field = "input_json_delta", "partial_json"
		if !yield(step{frame: claudePiece(nil, i, kind, field, ""), tokens: 1}) {
			return false
		}
	}
	var room []byte
	for _, text := range p.pieces {
		room = claudePiece(room[:0], i, kind, field, text)
		if !yield(step{frame: room, tokens: 1}) {
			return false
		}
	}
	return true
}

// claudePiece appends a delta of block i to b.
func claudePiece(b []byte, i int, kind, field, text string) []byte {
	b = append(b, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":"...)
	b = strconv.AppendInt(b, int64(i), 10)
	b = append(b, `,"delta":{"type":"`...)
	b = append(b, kind...)
	b = append(b, `","`...)
	b = append(b, field...)
	b = append(b, `":`...)
	b = appendString(b, text)
	return append(b, "}}\n\n"...)
}

// claudeCard is an entry of Anthropic's list of models.
type claudeCard struct {
	Type    string `json:"type"`
	ID      string `json:"id"`
	Name    string `json:"display_name"`
	Created string `json:"created_at"`
}

func (s *Server) claudeCard(name string) claudeCard {
	return claudeCard{"model", name, name, s.start.UTC().Format(time.RFC3339)}
}

// listClaude answers /v1/models as Anthropic does.
func (s *Server) listClaude(w http.ResponseWriter, r *http.Request) {
	if s.refused(&anthropic, w, r) {
		return
	}
	list := struct {
		Data  []claudeCard `json:"data"`
		More  bool         `json:"has_more"`
		First *string      `json:"first_id"`
		Last  *string      `json:"last_id"`
	}{Data: []claudeCard{}}
	for _, name := range s.names() {
		list.Data = append(list.Data, s.claudeCard(name))
	}
	if n := len(list.Data); n > 0 {
		list.First, list.Last = &list.Data[0].ID, &list.Data[n-1].ID
	}
	writeJSON(w, http.StatusOK, encode(list))
}

// showClaude answers /v1/models/{id} as Anthropic does.
func (s *Server) showClaude(w http.ResponseWriter, r *http.Request) {
	if s.refused(&anthropic, w, r) {
		return
	}
	name := strings.TrimPrefix(r.PathValue("id"), "/")
	if !s.known(name) {
		p := claudeProblem(http.StatusNotFound, clip(name, maxName))
		writeJSON(w, p.status, claudeError(&p, ""))
		return
	}
	writeJSON(w, http.StatusOK, encode(s.claudeCard(name)))
}
