package ollama

import (
	"errors"
	"io"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// line is a line of a stream, or a whole answer.
type line struct {
	Model   string `json:"model"`
	Created string `json:"created_at"`
	Message struct {
		Content  string `json:"content"`
		Thinking string `json:"thinking"`
		Calls    []call `json:"tool_calls"`
	} `json:"message"`
	Done   bool           `json:"done"`
	Reason string         `json:"done_reason"`
	Error  jsontext.Value `json:"error"`
}

// Reply implements wire.Vendor.
func (Codec) Reply(call *wire.Call, body []byte) (*llm.Reply, *llm.Error) {
	d := decoder{call: call}
	events, err := d.Event(nil, wire.Frame{Data: body})
	if err != nil {
		return nil, err
	}
	if !d.done {
		return nil, wire.BadAnswer("an answer that is not done")
	}
	var all llm.Collector
	all.Add(events...)
	return all.Reply(), nil
}

// Source implements wire.Vendor.
func (Codec) Source(body io.Reader) wire.Source { return newLines(body) }

// Decoder implements wire.Vendor.
func (Codec) Decoder(call *wire.Call) wire.Decoder { return &decoder{call: call} }

// decoder makes events of lines.
type decoder struct {
	call    *wire.Call
	started bool
	next    int // index of the next block
	open    bool
	kind    llm.BlockKind // of the open block, whose index is next-1
	calls   int
	done    bool
}

// Event implements wire.Decoder.
func (d *decoder) Event(dst []llm.Event, f wire.Frame) ([]llm.Event, *llm.Error) {
	if d.done {
		return dst, nil
	}
	var l line
	if err := json.Unmarshal(f.Data, &l, lenient); err != nil {
		return dst, wire.BadAnswer("a line that is no chat answer")
	}
	if len(l.Error) > 0 && l.Error.Kind() != 'n' {
		msg, _ := scan.String(l.Error)
		return dst, &llm.Error{Kind: llm.KindUpstream, Message: "the vendor reported an error",
			Err: errors.New("error in a 200 answer: " + msg[:min(200, len(msg))])}
	}
	if !d.started {
		d.started = true
		e := llm.Event{Kind: llm.EventStart, Model: l.Model}
		if at, err := time.Parse(time.RFC3339, l.Created); err == nil {
			e.Created = max(0, at.Unix())
		}
		dst = append(dst, e)
	}
	dst = d.piece(dst, llm.BlockThinking, l.Message.Thinking)
	dst = d.piece(dst, llm.BlockText, l.Message.Content)
	for i := range l.Message.Calls {
		dst = d.tool(dst, &l.Message.Calls[i])
	}
	if l.Done {
		dst = d.finish(dst, l.Reason)
		if u, ok := ParseUsage(f.Data); ok {
			dst = append(dst, llm.Event{Kind: llm.EventUsage, Usage: &u})
		}
	}
	return dst, nil
}

func (d *decoder) piece(dst []llm.Event, kind llm.BlockKind, text string) []llm.Event {
	if text == "" {
		return dst
	}
	if !d.open || d.kind != kind {
		dst = d.close(dst)
		dst = append(dst, llm.Event{Kind: llm.EventBlock, Index: d.next, Block: &llm.Block{Kind: kind}})
		d.open, d.kind = true, kind
		d.next++
	}
	return append(dst, llm.Event{Kind: llm.EventDelta, Index: d.next - 1, Text: text})
}

func (d *decoder) close(dst []llm.Event) []llm.Event {
	if !d.open {
		return dst
	}
	d.open = false
	return append(dst, llm.Event{Kind: llm.EventBlockEnd, Index: d.next - 1})
}

// tool adds a call, which comes whole.
func (d *decoder) tool(dst []llm.Event, c *call) []llm.Event {
	dst = d.close(dst)
	b := &llm.Block{Kind: llm.BlockCall, ID: c.ID, Name: c.Function.Name}
	if b.ID == "" {
		b.ID = wire.NewCallID()
	}
	dst = append(dst, llm.Event{Kind: llm.EventBlock, Index: d.next, Block: b})
	if args := string(c.Function.Arguments); args != "" && args != "null" {
		dst = append(dst, llm.Event{Kind: llm.EventDelta, Index: d.next, Text: args})
	}
	dst = append(dst, llm.Event{Kind: llm.EventBlockEnd, Index: d.next})
	d.next++
	d.calls++
	return dst
}

func (d *decoder) finish(dst []llm.Event, reason string) []llm.Event {
	dst = d.close(dst)
	stop := llm.StopEnd
	switch reason {
	case "length":
		stop = llm.StopLength
	case "stop", "load", "unload", "":
	default:
		d.call.Lose("stop_reason")
	}
	if stop == llm.StopEnd && d.calls > 0 {
		stop = llm.StopTools
	}
	d.done = true
	return append(dst, llm.Event{Kind: llm.EventStop, Stop: stop})
}

// End implements wire.Decoder.
func (d *decoder) End(dst []llm.Event) ([]llm.Event, bool) { return d.close(dst), d.done }

// ParseUsage reads the counts of an answer, which stand beside its message. ok
// is false if it has none.
func ParseUsage(b []byte) (u llm.Usage, ok bool) {
	in, hasIn := scan.Int(scan.Get(b, "prompt_eval_count"))
	out, hasOut := scan.Int(scan.Get(b, "eval_count"))
	u = llm.Usage{Input: in, Output: out}
	return u, (hasIn || hasOut) && u.Valid()
}
