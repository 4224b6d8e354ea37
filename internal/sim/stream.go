package sim

import (
	"net/http"
	"strconv"
	"time"
)

// frames writes the events of one stream.
type frames struct {
	form  form
	head  []byte // up to the choice's index
	usage string // what every event but the last says of usage
	buf   []byte // reused
}

// frames makes the events of c. Where the client asked for the usage event,
// the others say that they have none.
func (c *call) frames(f form, u *usage) *frames {
	b := []byte(`data: {"id":`)
	b = appendString(b, c.id(f))
	b = append(b, `,"object":"`+f.chunk+`","created":`...)
	b = strconv.AppendInt(b, time.Now().Unix(), 10)
	b = append(b, `,"model":`...)
	b = appendString(b, c.set.Name)
	b = append(b, `,"system_fingerprint":"fp_sim","choices":[`...)
	fr := &frames{form: f, head: b}
	if u != nil {
		fr.usage = `,"usage":null`
	}
	return fr
}

// appendString appends s as JSON.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if ch := s[i]; ch < ' ' || ch > '~' || ch == '"' || ch == '\\' {
			return append(b, encode(s)...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// event makes one event of choice i. It is valid until the next. body is the
// delta of a chat, or the text; both in JSON.
func (f *frames) event(i int, body []byte, finish string) []byte {
	b := append(f.buf[:0], f.head...)
	b = append(b, `{"index":`...)
	b = strconv.AppendInt(b, int64(i), 10)
	if f.form.chat {
		b = append(b, `,"delta":`...)
	} else {
		b = append(b, `,"text":`...)
	}
	b = append(b, body...)
	b = append(b, `,"logprobs":null,"finish_reason":`...)
	if finish == "" {
		b = append(b, "null"...)
	} else {
		b = appendString(b, finish)
	}
	b = append(b, "}]"...)
	b = append(b, f.usage...)
	b = append(b, "}\n\n"...)
	f.buf = b
	return b
}

func (f *frames) role(i int, a *output) []byte {
	if a.stop == stopCalls {
		return f.event(i, []byte(`{"role":"assistant","content":null}`), "")
	}
	return f.event(i, []byte(`{"role":"assistant","content":"","refusal":null}`), "")
}

// callHead is the event that names the tool of the n-th call.
func (f *frames) callHead(i int, p *part, n int) []byte {
	b := []byte(`{"tool_calls":[{"index":`)
	b = strconv.AppendInt(b, int64(n), 10)
	b = append(b, `,"id":`...)
	b = appendString(b, "call_"+p.id)
	if p.tool.plain {
		b = append(b, `,"type":"custom","custom":{"name":`...)
		b = appendString(b, p.tool.name)
		b = append(b, `,"input":""}}]}`...)
	} else {
		b = append(b, `,"type":"function","function":{"name":`...)
		b = appendString(b, p.tool.name)
		b = append(b, `,"arguments":""}}]}`...)
	}
	return f.event(i, b, "")
}

// piece is the event of the j-th token of a part; n counts the calls before.
func (f *frames) piece(i int, p *part, j, n int) []byte {
	text := p.pieces[j]
	var room [128]byte
	b := room[:0]
	switch {
	case !f.form.chat:
		return f.event(i, appendString(b, text), "")
	case p.kind == partCall:
		b = append(b, `{"tool_calls":[{"index":`...)
		b = strconv.AppendInt(b, int64(n), 10)
		if p.tool.plain {
			b = append(b, `,"custom":{"input":`...)
		} else {
			b = append(b, `,"function":{"arguments":`...)
		}
		b = appendString(b, text)
		return f.event(i, append(b, `}}]}`...), "")
	case p.kind == partText:
		b = append(b, `{"content":`...)
	case p.kind == partRefusal:
		b = append(b, `{"refusal":`...)
	default:
		b = append(b, `{"reasoning_content":`...)
	}
	b = appendString(b, text)
	return f.event(i, append(b, '}'), "")
}

func (f *frames) finish(i int, a *output) []byte {
	if !f.form.chat {
		return f.event(i, []byte(`""`), a.stop.openAI())
	}
	return f.event(i, []byte("{}"), a.stop.openAI())
}

// last is the event that carries the usage and no choice.
func (f *frames) last(u usage) []byte {
	b := append(f.buf[:0], f.head...)
	b = append(b, `],"usage":`...)
	b = append(b, encode(u)...)
	return append(b, "}\n\n"...)
}

// play streams the answers, token by token.
func (c *call) play(f *frames, answers []output) bool {
	c.w.Header().Set("Cache-Control", "no-cache")
	c.begin(http.StatusOK, "text/event-stream; charset=utf-8", -1)
	if c.is(FaultError200) {
		c.outcome = OutcomeFault
		c.write(c.errorEvent())
		return false
	}
	if f.form.chat {
		for i := range answers {
			if !c.write(f.role(i, &answers[i])) {
				return false
			}
		}
	}
	at := make([]cursor, len(answers))
	for j := range longest(answers) {
		if !c.until(c.due(j)) {
			return false
		}
		for i := range answers {
			if !c.token(f, i, &answers[i], &at[i]) {
				return false
			}
		}
	}
	for i := range answers {
		if !c.amid(f.finish(i, &answers[i])) || !c.write(f.finish(i, &answers[i])) {
			return false
		}
	}
	return true
}

// cursor is how far an answer was sent.
type cursor struct{ part, piece, calls int }

// token sends the next token of the i-th answer, if there is one; false: the
// call is over.
func (c *call) token(f *frames, i int, a *output, at *cursor) bool {
	if at.part == len(a.parts) {
		return true
	}
	p := &a.parts[at.part]
	if at.piece == 0 && p.kind == partCall && !c.content(f.callHead(i, p, at.calls)) {
		return false
	}
	if !c.content(f.piece(i, p, at.piece, at.calls)) {
		return false
	}
	if at.piece++; at.piece == len(p.pieces) {
		at.part++
		at.piece = 0
		if p.kind == partCall {
			at.calls++
		}
	}
	return true
}

// content sends a content event, unless the fault's time has come.
func (c *call) content(event []byte) bool {
	if c.fault != nil && c.events >= c.fault.After && !c.amid(event) {
		return false
	}
	if !c.write(event) {
		return false
	}
	c.events++
	return true
}

// amid carries out, once, a fault that comes amid the content, before event;
// false: the call is over. An answer with fewer events than the fault waits
// for is struck before its end.
func (c *call) amid(event []byte) bool {
	if c.fault == nil || c.struck {
		return true
	}
	c.struck = true
	switch c.fault.Kind {
	case FaultHangMid:
		c.hang()
		return false
	case FaultCut:
		c.outcome = OutcomeFault
		c.write(event[:len(event)/2])
		panic(http.ErrAbortHandler)
	case FaultErrorMid:
		c.outcome = OutcomeFault
		c.write(c.errorEvent())
		return false
	case FaultMalformed:
		c.outcome = OutcomeFault
		return c.write([]byte(c.dialect.garbage))
	}
	return true
}

// errorBody is the error object that a fault puts where an answer belongs.
func (c *call) errorBody() []byte {
	p := c.dialect.says(http.StatusInternalServerError, c.set.Name)
	return c.dialect.body(&p, c.rec.ID)
}

// errorEvent is an error amid a stream.
func (c *call) errorEvent() []byte {
	if c.broken != nil {
		return c.broken()
	}
	b := append([]byte("data: "), c.errorBody()...)
	return append(b, "\n\n"...)
}

// finish ends a stream that was whole.
func (c *call) finish(f *frames, u *usage) {
	if u != nil && !c.write(f.last(*u)) {
		return
	}
	if c.write([]byte("data: [DONE]\n\n")) && c.outcome == "" {
		c.outcome = OutcomeOK
	}
}
