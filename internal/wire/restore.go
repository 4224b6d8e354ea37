package wire

import (
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

const (
	// maxHeld bounds what a restorer holds, in bytes: the input of custom tools
	// that is not whole yet. An answer that wants more is an error.
	maxHeld = 8 << 20
	// heldBlock is what one of them takes beside its text.
	heldBlock = 256
)

// restorer gives an answer's calls back the client's words: names that were
// replaced, custom tools that were sent as functions, the tool that stood for
// a format.
type restorer struct {
	call  *Call
	open  map[[2]int]*standIn // by answer and block
	held  int                 // bytes in open
	calls map[int]int         // real calls of each answer
}

// standIn is a block that is not what it seems.
type standIn struct {
	custom bool // else the format
	text   []byte
}

// plain reports whether there is nothing to restore.
func (c *Call) plain() bool {
	return c.FormatTool == "" && len(c.Names) == 0 && len(c.Custom) == 0
}

// events appends in as the client should see them. An error ends the answer
// after what is returned.
func (r *restorer) events(dst, in []llm.Event) ([]llm.Event, *llm.Error) {
	for i := range in {
		if dst = r.event(dst, in[i]); r.held > maxHeld {
			return dst, BadAnswer("more than 8 MiB of a custom tool's input")
		}
	}
	return dst, nil
}

func (r *restorer) event(dst []llm.Event, e llm.Event) []llm.Event {
	at := [2]int{e.Answer, e.Index}
	switch e.Kind {
	case llm.EventBlock:
		if e.Block != nil && e.Block.Kind == llm.BlockCall {
			e.Block = r.begin(at, *e.Block)
		}
	case llm.EventDelta:
		if s := r.open[at]; s != nil && s.custom {
			s.text = append(s.text, e.Text...)
			r.held += len(e.Text)
			return dst
		}
	case llm.EventBlockEnd:
		s := r.open[at]
		if s == nil {
			break
		}
		if s.custom {
			dst = append(dst, llm.Event{Kind: llm.EventDelta, Answer: e.Answer, Index: e.Index, Text: input(s.text)})
		}
		r.held -= heldBlock + len(s.text)
		delete(r.open, at)
	case llm.EventStop:
		if e.Stop == llm.StopTools && r.call.FormatTool != "" && r.calls[e.Answer] == 0 {
			e.Stop = llm.StopEnd
		}
	}
	return append(dst, e)
}

// begin returns the block of a call as the client knows it.
func (r *restorer) begin(at [2]int, b llm.Block) *llm.Block {
	if r.open == nil {
		r.open, r.calls = map[[2]int]*standIn{}, map[int]int{}
	}
	switch {
	case r.call.FormatTool != "" && b.Name == r.call.FormatTool:
		r.stand(at, false)
		return &llm.Block{Kind: llm.BlockText}
	case r.call.Custom[b.Name] && !b.Custom:
		r.stand(at, true)
		b.Custom = true
	}
	r.calls[at[0]]++
	if name, ok := r.call.Names[b.Name]; ok {
		b.Name = name
	}
	return &b
}

// stand notes that the block at at is not what it seems.
func (r *restorer) stand(at [2]int, custom bool) {
	if old := r.open[at]; old != nil {
		r.held -= heldBlock + len(old.text)
	}
	r.open[at] = &standIn{custom: custom}
	r.held += heldBlock
}

// input is what {"input": "…"} holds; arguments of another form are taken as
// they are.
func input(args []byte) string {
	if s, ok := scan.String(scan.Get(args, "input")); ok {
		return s
	}
	return string(args)
}
