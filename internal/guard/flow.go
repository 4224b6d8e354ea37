package guard

import (
	"bytes"
	"slices"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
)

// flow lets an answer through as far as the finders of its guards have decided
// on it. While nothing is masked, bytes go through as they came; from the first
// mask on the answer is told by its events. What it holds back is bounded: of
// each block of text by reach, or by grown while a finding grows, and a quarter of
// that. It is not safe for concurrent use.
type flow struct {
	guards []*Guard
	extra  []Finder // beside those of the guards, of nobody's account
	masks  *masks

	tallies []tally // of guards
	blocked string  // the guard that does not let the answer through
	blind   bool    // something came that nobody could read

	whole  bool // nothing goes through before all has come
	anew   bool // told by events
	edited bool // something was masked
	blocks map[[2]int]*block
	hits   []finding // of decide, and whose each is
	whose  []int
	queue  []piece // what waits, in its order
	ready  []llm.Chunk
	text   strings.Builder // what went through, as far as maxText
}

// block is a block of an answer.
type block struct {
	kind   llm.BlockKind
	seen   string // the end of what was decided, at most before bytes
	open   string // what follows it, not decided
	base   int    // where open begins
	again  int    // the length of open from which it is worth looking at
	edits  []edit // of what was decided and waits
	masked bool
}

// edit is what takes the place of a part of a block.
type edit struct {
	start, end int
	with       string
	shown      string // to those who judge the whole: what the answer gives back is not
}

// piece is a chunk that waits.
type piece struct {
	chunk llm.Chunk
	ends  []int // where in its block the text of each event ends
	next  int   // the first event that waits
	part  int   // bytes of its text that went through
}

func newFlow(guards []*Guard, m *masks, extra ...Finder) *flow {
	return &flow{guards: guards, extra: extra, masks: m, tallies: make([]tally, len(guards)), blocks: map[[2]int]*block{}}
}

// add takes the next chunk. What is ready then may lie in the chunk's slices, what
// waits does not.
func (f *flow) add(c llm.Chunk) {
	switch {
	case len(c.Raw) > 0 && c.Events == nil:
		f.blind = f.blind || c.Level != llm.LevelNone
	case len(c.Raw) == 0:
		f.anew = true
	}
	p := piece{chunk: c, ends: make([]int, len(c.Events))}
	own := false // the slice of events is
	for i := range c.Events {
		e := &c.Events[i]
		if e.Kind == llm.EventCite && e.Cite != nil {
			if cite := f.cite(e.Cite); cite != e.Cite {
				if !own {
					own, p.chunk.Events = true, slices.Clone(c.Events)
				}
				p.chunk.Events[i].Cite = cite
				f.edited, f.anew = true, true
			}
		}
		p.ends[i] = f.look(e)
	}
	f.queue = append(f.queue, p)
	f.release()
	if n := len(f.queue); n > 0 { // it waits
		last := &f.queue[n-1].chunk
		last.Raw, last.Events = bytes.Clone(last.Raw), slices.Clone(last.Events)
	}
}

// end decides on what waits: nothing follows it.
func (f *flow) end() {
	for _, b := range f.blocks {
		f.decide(b, true)
	}
	f.whole = false
	f.release()
}

// cite looks at what is told of a source, and returns it as it may be told.
func (f *flow) cite(c *llm.Cite) *llm.Cite {
	title, quote := f.told(c.Title), f.told(c.Quote)
	if title == c.Title && quote == c.Quote {
		return c
	}
	out := *c
	out.Title, out.Quote = title, quote
	return &out
}

// told looks at a text that comes whole, and returns it as it may be told.
func (f *flow) told(text string) string {
	if text == "" {
		return ""
	}
	f.search(text, 0, true)
	for i, x := range f.hits {
		if f.whose[i] >= 0 {
			f.found(f.whose[i], x)
		}
	}
	return f.masks.put(text, merged(f.hits))
}

// of returns the block of an event, nil where the event has none.
func (f *flow) of(e *llm.Event) *block {
	switch e.Kind {
	case llm.EventStart, llm.EventStop, llm.EventUsage:
		return nil
	}
	at := [2]int{e.Answer, e.Index}
	b := f.blocks[at]
	if b == nil {
		b = &block{}
		f.blocks[at] = b
	}
	return b
}

// look takes an event in, and returns where in its block its text ends.
func (f *flow) look(e *llm.Event) int {
	b := f.of(e)
	switch e.Kind {
	case llm.EventBlock:
		if e.Block != nil {
			b.kind = e.Block.Kind
		}
	case llm.EventDelta:
		b.open += e.Text
		end := b.base + len(b.open)
		f.decide(b, false)
		return end
	case llm.EventBlockEnd:
		f.decide(b, true)
	case llm.EventStop:
		for at, b := range f.blocks {
			if at[0] == e.Answer {
				f.decide(b, true)
			}
		}
	}
	return 0
}

// decide looks at the open text of a block, and closes what of it nothing that
// follows can change: all of it where last is set.
func (f *flow) decide(b *block, last bool) {
	if b.open == "" || !last && (f.whole || len(b.open) < b.again) { // all of it comes, or more of it
		return
	}
	raw, begin := b.seen+b.open, len(b.seen)
	w := written{text: raw}
	if b.kind == llm.BlockCall {
		w = unescape(raw, last)
	}
	cut := f.search(w.text, w.at(begin), last)
	cut = w.raw(fixed(f.hits, w.at(begin), cut))
	if len(raw)-cut > grown {
		cut = w.raw(len(w.text))
	}
	if last {
		cut = len(raw)
	}
	var closed []finding
	for i, x := range f.hits {
		if w.raw(x.start) < begin || w.raw(x.end) > cut {
			continue
		}
		if f.whose[i] >= 0 {
			f.found(f.whose[i], x)
		}
		closed = append(closed, x)
	}
	for _, x := range merged(closed) {
		with := f.masks.instead(w.text, x)
		shown := with
		if x.with != "" {
			shown = x.mask
		}
		b.edits = append(b.edits, edit{b.base + w.raw(x.start) - begin, b.base + w.raw(x.end) - begin, with, shown})
		b.masked, f.edited, f.anew = true, true, true
	}
	b.base += cut - begin
	b.open = raw[cut:]
	if b.again = 0; len(b.open) > short { // so that what is held back long is not looked at for each of its bytes
		b.again = len(b.open) + len(b.open)/4
	}
	b.seen = raw[max(0, cut-before):cut]
}

// search finds what is in text, and returns up to where that is decided.
func (f *flow) search(text string, begin int, last bool) (cut int) {
	f.hits, f.whose, cut = f.hits[:0], f.whose[:0], len(text)
	look := func(who int, with Finder) {
		if !last {
			cut = min(cut, max(begin, with.open(text)))
		}
		n := len(f.hits)
		f.hits = with.find(f.hits, text)
		for range f.hits[n:] {
			f.whose = append(f.whose, who)
		}
	}
	for i, g := range f.guards {
		for _, with := range g.Finders {
			look(i, with)
		}
	}
	for _, with := range f.extra {
		look(-1, with)
	}
	return cut
}

// fixed moves a cut before the findings that it goes through.
func fixed(all []finding, begin, cut int) int {
	for moved := true; moved; {
		moved = false
		for _, x := range all {
			if x.start >= begin && x.start < cut && x.end > cut {
				cut, moved = x.start, true
			}
		}
	}
	return cut
}

func (f *flow) found(who int, x finding) {
	f.tallies[who].add(x)
	if x.action == Block && f.blocked == "" {
		f.blocked = f.guards[who].Name
	}
}

// release moves what was decided from the queue to what is ready.
func (f *flow) release() {
	if f.whole {
		return
	}
	for len(f.queue) > 0 && !f.anew {
		p := &f.queue[0]
		for i := range p.chunk.Events {
			if e := &p.chunk.Events[i]; e.Kind == llm.EventDelta && p.ends[i] > f.of(e).base {
				return
			}
		}
		for i := range p.chunk.Events {
			f.through(&p.chunk.Events[i])
		}
		f.ready = append(f.ready, p.chunk)
		f.queue = f.queue[1:]
	}
	out := llm.Chunk{Events: []llm.Event{}}
	for len(f.queue) > 0 {
		p := &f.queue[0]
		out.Level, out.Resumed, p.chunk.Resumed = max(out.Level, p.chunk.Level), out.Resumed || p.chunk.Resumed, false
		whole := true
		if out.Events, whole = f.tell(out.Events, p); !whole {
			break
		}
		f.queue = f.queue[1:]
	}
	if len(out.Events) > 0 {
		f.ready = append(f.ready, out)
	}
}

// tell appends the events of a piece as far as they were decided; whole says
// that these are all.
func (f *flow) tell(dst []llm.Event, p *piece) (events []llm.Event, whole bool) {
	for ; p.next < len(p.chunk.Events); p.next, p.part = p.next+1, 0 {
		e := p.chunk.Events[p.next]
		switch b := f.of(&e); e.Kind {
		case llm.EventDelta:
			end := p.ends[p.next]
			start := end - len(e.Text) + p.part
			to := max(start, min(end, b.base))
			text, shown := b.edit(e.Text[p.part:p.part+to-start], start, to)
			p.part += to - start
			e.Text = shown
			f.through(&e)
			if e.Text = text; text != "" {
				dst = append(dst, e)
			}
			if to < end {
				return dst, false
			}
		case llm.EventLogProbs: // they tell the text that follows
			switch at := p.follows(&e); {
			case f.edited || at < 0:
			case p.ends[at] > b.base:
				return dst, false
			default:
				dst = append(dst, e)
			}
		case llm.EventSeal:
			if !b.masked { // else it proves another text
				dst = append(dst, e)
			}
		default:
			dst = append(dst, e)
		}
	}
	return dst, true
}

// follows is the index of the text that log probabilities are of, below 0 where
// it is not in the piece.
func (p *piece) follows(e *llm.Event) int {
	for i := p.next + 1; i < len(p.chunk.Events); i++ {
		if x := &p.chunk.Events[i]; x.Kind == llm.EventDelta && x.Answer == e.Answer && x.Index == e.Index {
			return i
		}
	}
	return -1
}

// edit returns the text of a block from start to end with what takes the place of
// its parts, and as it is shown to those who judge the whole.
func (b *block) edit(text string, start, end int) (with, shown string) {
	if len(b.edits) == 0 || b.edits[0].start >= end {
		return text, text
	}
	var out, show strings.Builder
	at := start
	for len(b.edits) > 0 && b.edits[0].start < end {
		x := b.edits[0]
		if x.start >= at {
			for _, w := range [...]*strings.Builder{&out, &show} {
				w.WriteString(text[at-start : x.start-start])
			}
			out.WriteString(x.with)
			show.WriteString(x.shown)
		}
		if at = min(end, max(at, x.end)); x.end > end {
			break // it goes on
		}
		b.edits = b.edits[1:]
	}
	out.WriteString(text[at-start:])
	show.WriteString(text[at-start:])
	return out.String(), show.String()
}

// through remembers what went through, for those who judge the whole: with its
// masks.
func (f *flow) through(e *llm.Event) {
	if e.Kind == llm.EventDelta && f.text.Len() <= maxText && f.of(e).kind != llm.BlockThinking {
		f.text.WriteString(e.Text)
	}
	if e.Kind == llm.EventBlockEnd && f.text.Len() > 0 && f.text.Len() <= maxText {
		f.text.WriteString("\n\n")
	}
}
