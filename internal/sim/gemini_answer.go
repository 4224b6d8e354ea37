package sim

import (
	"encoding/json"
	"net/http"
	"strings"
)

// geminiAnswer is what the form of an answer depends on, whole or a stream.
type geminiAnswer struct {
	model     string
	id        string
	outputs   []output
	usage     geminiUsage
	signature string // of what was thought; "": none
	show      bool   // thoughts
	array     bool   // the stream is an array
}

// geminiReply is an answer, and an event of a stream.
type geminiReply struct {
	Candidates []geminiCandidate `json:"candidates"`
	Usage      geminiUsage       `json:"usageMetadata"`
	Model      string            `json:"modelVersion"`
	ID         string            `json:"responseId"`
}

type geminiCandidate struct {
	Content *geminiSaid `json:"content,omitempty"`
	Finish  string      `json:"finishReason,omitempty"`
	Index   int         `json:"index"`
}

type geminiSaid struct {
	Parts []geminiBit `json:"parts"`
	Role  string      `json:"role"`
}

// geminiBit is a part of an answer.
type geminiBit struct {
	Text      *string     `json:"text,omitempty"`
	Thought   bool        `json:"thought,omitempty"`
	Call      *geminiCall `json:"functionCall,omitempty"`
	Signature string      `json:"thoughtSignature,omitempty"`
}

type geminiCall struct {
	Name string          `json:"name"`
	Args json.RawMessage `json:"args"`
	ID   string          `json:"id,omitempty"`
}

func (a *geminiAnswer) reply(c geminiCandidate) geminiReply {
	return geminiReply{Candidates: []geminiCandidate{c}, Usage: a.usage, Model: a.model, ID: a.id}
}

// call returns the call of a part. Only the third generation gives calls an
// id.
func (a *geminiAnswer) call(p *part) *geminiCall {
	f := &geminiCall{Name: p.tool.name, Args: json.RawMessage(p.text())}
	if strings.HasPrefix(a.model, "gemini-3") {
		f.ID = p.id
	}
	if !isObject(f.Args) {
		f.Args = json.RawMessage("{}")
	}
	return f
}

func finishOf(s stop) string {
	switch s {
	case stopLength:
		return "MAX_TOKENS"
	case stopRefusal, stopFiltered:
		return "SAFETY"
	}
	return "STOP"
}

// parts returns the parts of an answer: what is refused is not said, a call
// that was cut is not made, and the signature is at the first call, else at
// the last text.
func (a *geminiAnswer) parts(o *output) []geminiBit {
	var all []geminiBit
	signed := a.signature == ""
	for i := range o.parts {
		p := &o.parts[i]
		text := p.text()
		switch p.kind {
		case partThinking, partSecret:
			if a.show {
				all = append(all, geminiBit{Text: &text, Thought: true})
			}
		case partText:
			all = append(all, geminiBit{Text: &text})
		case partCall:
			if !p.whole {
				continue
			}
			b := geminiBit{Call: a.call(p)}
			if !signed {
				b.Signature, signed = a.signature, true
			}
			all = append(all, b)
		}
	}
	if n := len(all); n > 0 && !signed {
		all[n-1].Signature = a.signature
	}
	return all
}

// whole is a unary answer.
func (a *geminiAnswer) whole() geminiReply {
	out := geminiReply{Candidates: []geminiCandidate{}, Usage: a.usage, Model: a.model, ID: a.id}
	for i := range a.outputs {
		o := &a.outputs[i]
		c := geminiCandidate{Finish: finishOf(o.stop), Index: i}
		if parts := a.parts(o); len(parts) > 0 {
			c.Content = &geminiSaid{parts, "model"}
		}
		out.Candidates = append(out.Candidates, c)
	}
	return out
}

// frame puts an event into the stream's frame; last ends an array.
func (a *geminiAnswer) frame(event []byte, first, last bool) []byte {
	if !a.array {
		return append(append([]byte("data: "), event...), "\r\n\r\n"...)
	}
	b := []byte(",\r\n")
	if first {
		b = []byte("[")
	}
	b = append(b, event...)
	if last {
		b = append(b, ']')
	}
	return b
}

// steps yields the events of the answer's stream, one candidate after the
// other.
func (a *geminiAnswer) steps(yield func(step) bool) {
	first := true
	send := func(c geminiCandidate, st step, last bool) bool {
		st.frame = a.frame(encode(a.reply(c)), first, last)
		first = false
		return yield(st)
	}
	for i := range a.outputs {
		o := &a.outputs[i]
		signed := a.signature == ""
		say := func(b geminiBit, tokens int) bool {
			return send(geminiCandidate{Content: &geminiSaid{[]geminiBit{b}, "model"}, Index: i}, step{tokens: tokens}, false)
		}
		for j := range o.parts {
			if !a.stream(&o.parts[j], &signed, say) {
				return
			}
		}
		c := geminiCandidate{Finish: finishOf(o.stop), Index: i}
		if o.stop != stopRefusal && o.stop != stopFiltered {
			b := geminiBit{Text: new(string)}
			if !signed {
				b.Signature = a.signature
			}
			c.Content = &geminiSaid{[]geminiBit{b}, "model"}
		}
		if !send(c, step{end: true}, i == len(a.outputs)-1) {
			return
		}
	}
}

// stream says a part, piece by piece; a call is said at once.
func (a *geminiAnswer) stream(p *part, signed *bool, say func(b geminiBit, tokens int) bool) bool {
	switch p.kind {
	case partCall:
		if !p.whole {
			return true
		}
		b := geminiBit{Call: a.call(p)}
		if !*signed {
			b.Signature, *signed = a.signature, true
		}
		return say(b, p.tokens())
	case partRefusal:
		return true
	case partThinking, partSecret:
		if !a.show {
			return true
		}
	}
	for i := range p.pieces {
		if !say(geminiBit{Text: &p.pieces[i], Thought: p.kind != partText}, 1) {
			return false
		}
	}
	return true
}

// geminiCard is an entry of Gemini's list of models.
type geminiCard struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Title   string   `json:"displayName"`
	Input   int      `json:"inputTokenLimit"`
	Output  int      `json:"outputTokenLimit"`
	Methods []string `json:"supportedGenerationMethods"`
}

func (s *Server) geminiCard(name string) geminiCard {
	s.mu.Lock()
	input := 1 << 20
	if m, ok := s.models[name]; ok && m.set.Context > 0 {
		input = m.set.Context
	}
	s.mu.Unlock()
	return geminiCard{"models/" + name, "001", name, input, maxTokens, []string{"generateContent", "countTokens", "embedContent"}}
}

// listGemini answers /v1beta/models.
func (s *Server) listGemini(w http.ResponseWriter, r *http.Request) {
	if s.refused(&gemini, w, r) {
		return
	}
	list := struct {
		Models []geminiCard `json:"models"`
	}{[]geminiCard{}}
	for _, name := range s.names() {
		list.Models = append(list.Models, s.geminiCard(name))
	}
	writeJSON(w, http.StatusOK, encode(list))
}

// showGemini answers /v1beta/models/{id}.
func (s *Server) showGemini(w http.ResponseWriter, r *http.Request) {
	if s.refused(&gemini, w, r) {
		return
	}
	name := r.PathValue("id")
	if !s.known(name) {
		p := geminiProblem(http.StatusNotFound, clip(name, maxName))
		writeJSON(w, p.status, geminiError(&p, ""))
		return
	}
	writeJSON(w, http.StatusOK, encode(s.geminiCard(name)))
}
