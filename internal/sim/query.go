package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// What a user may say to make a model do what it otherwise would by chance.
// The words count in any case of letters, in the last turn of a user.
const (
	sayCall   = "call the tool"    // the first tool that is offered is called
	sayEvery  = "call every tool"  // each is, in parallel where that is allowed
	sayRefuse = "refuse to answer" // the model refuses
	saySecret = "think in secret"  // Anthropic's redacted thinking
)

const (
	defThinking = 16 // tokens of thinking where a request asks for it
	maxCalls    = 16 // of tools in one answer
)

// query is what an answer depends on, whatever the protocol.
type query struct {
	prompt   string // the text that is counted and cached
	media    int    // tokens of images, documents and sounds
	limit    int    // tokens of an answer
	stops    []string
	tools    []offer
	mode     calling
	tool     string // the one to be called; "": none is named
	single   bool   // no calls in parallel
	last     string // the text of the last turn, if it is a user's own
	schema   json.RawMessage
	object   bool // JSON of any shape
	thinking bool // asked for
	seals    int  // of earlier thinking, all genuine
}

// offer is a tool that may be called.
type offer struct {
	name   string
	schema json.RawMessage // of the arguments; nil: none
	plain  bool            // it takes a text, no JSON
}

// calling is whether tools are called.
type calling string

const (
	chooseAuto calling = ""
	chooseNone calling = "none"
	chooseAny  calling = "any" // at least one
)

func (q *query) tokens() int { return countTokens(len(q.prompt)) + q.media }

func (q *query) says(words string) bool { return strings.Contains(strings.ToLower(q.last), words) }

// calls returns the tools that are to be called, none for an answer in text.
func (q *query) calls() []offer {
	if len(q.tools) == 0 || q.mode == chooseNone {
		return nil
	}
	if q.tool != "" {
		i := slices.IndexFunc(q.tools, func(o offer) bool { return o.name == q.tool })
		return q.tools[i : i+1]
	}
	every := q.says(sayEvery)
	switch {
	case every && !q.single:
		return q.tools[:min(len(q.tools), maxCalls)]
	case every, q.says(sayCall), q.mode == chooseAny:
		return q.tools[:1]
	}
	return nil
}

// offers reports whether a tool of that name may be called.
func (q *query) offers(name string) bool {
	return slices.ContainsFunc(q.tools, func(o offer) bool { return o.name == name })
}

// kind is what a part of an answer is.
type kind int

const (
	partThinking kind = iota
	partSecret        // thinking that nobody may read
	partText
	partRefusal
	partCall
)

// part is a part of an answer.
type part struct {
	kind   kind
	pieces []string // a token each: of text, thinking, or a tool's arguments
	tool   offer
	id     string // 16 hexadecimal digits, unlike any other part's
	whole  bool   // not cut by the limit
}

func (p *part) text() string { return strings.Join(p.pieces, "") }

// tokens counts the pieces, and one for a tool's name.
func (p *part) tokens() int {
	if p.kind == partCall {
		return len(p.pieces) + 1
	}
	return len(p.pieces)
}

// stop is why an answer ended.
type stop int

const (
	stopEnd stop = iota
	stopLength
	stopSequence
	stopCalls
	stopRefusal
	stopFiltered
)

// output is an answer before it takes its form on the wire.
type output struct {
	parts    []part // none without a token
	stop     stop
	sequence string // with stopSequence
}

func (o *output) tokens() int {
	n := 0
	for i := range o.parts {
		n += o.parts[i].tokens()
	}
	return n
}

// pieces returns the number of tokens that are sent one by one.
func (o *output) pieces() int {
	n := 0
	for i := range o.parts {
		n += len(o.parts[i].pieces)
	}
	return n
}

// thought returns the tokens of thinking.
func (o *output) thought() int {
	n := 0
	for i := range o.parts {
		if p := &o.parts[i]; p.kind == partThinking || p.kind == partSecret {
			n += p.tokens()
		}
	}
	return n
}

// produce makes the i-th answer to a query.
func (c *call) produce(q *query, i int) output {
	r := c.draw.source(i)
	ids := c.draw.source(i + 1<<20)
	id := func() string { return fmt.Sprintf("%016x", ids.Uint64()) }
	var o output
	if q.thinking {
		n := c.set.Thinking
		if n == 0 {
			n = defThinking
		}
		k := partThinking
		if q.says(saySecret) {
			k = partSecret
		}
		o.parts = append(o.parts, part{kind: k, id: id(), pieces: prose(ids, "a thought of "+c.set.Name, n)})
	}
	calls := q.calls()
	mood := c.mood(q, len(calls) > 0)
	switch {
	case q.says(sayRefuse):
		mood = ""
		o.stop = stopRefusal
		o.parts = append(o.parts, part{kind: partRefusal, id: id(), pieces: []string{"I", " will", " not", " answer", " that", " (simulated)."}})
	case len(calls) > 0:
		o.stop = stopCalls
		for _, t := range mood.called(calls) {
			p := part{kind: partCall, tool: t, id: id(), pieces: []string{"{}"}}
			if t.plain {
				p.pieces = prose(r, c.set.Name, 8)
			} else if given(t.schema) {
				p.pieces = shred(document(r, t.schema))
			}
			o.parts = append(o.parts, p)
		}
	default:
		p := part{kind: partText, id: id(), pieces: c.text(q, mood, r)}
		if p.pieces, o.sequence = stopAt(p.pieces, q.stops); o.sequence != "" {
			o.stop = stopSequence
		}
		if len(p.pieces) > 0 {
			o.parts = append(o.parts, p)
		}
	}
	o.cut(q.limit)
	mood.end(&o)
	c.moody = mood
	c.output += o.tokens()
	c.reasoning += o.thought()
	c.seals = q.seals
	return o
}

// stopAt cuts a text before the first of the stop sequences in it.
func stopAt(pieces, stops []string) (cut []string, sequence string) {
	if len(stops) == 0 {
		return pieces, ""
	}
	text, at := strings.Join(pieces, ""), -1
	for _, s := range stops {
		if i := strings.Index(text, s); s != "" && i >= 0 && (at < 0 || i < at) {
			at, sequence = i, s
		}
	}
	if at < 0 {
		return pieces, ""
	}
	for i, p := range pieces {
		if len(p) < at {
			at -= len(p)
			continue
		}
		if at == 0 {
			return pieces[:i], sequence
		}
		return append(slices.Clone(pieces[:i]), p[:at]), sequence
	}
	return pieces, sequence
}

// cut ends the answer after limit tokens.
func (o *output) cut(limit int) {
	for i := range o.parts {
		p := &o.parts[i]
		if n := p.tokens(); n <= limit {
			limit -= n
			p.whole = true
			continue
		}
		head := p.tokens() - len(p.pieces)
		keep := max(0, limit-head)
		o.stop, o.sequence = stopLength, ""
		p.pieces = p.pieces[:keep]
		if keep == 0 {
			o.parts = o.parts[:i]
		} else {
			o.parts = o.parts[:i+1]
		}
		return
	}
}

// roomy enters the prompt's tokens in the journal and refuses a prompt that is
// longer than the model's context; says makes the vendor's words for it.
func (c *call) roomy(tokens int, says func(tokens, context int) problem) bool {
	c.input = tokens
	if c.set.Context == 0 || tokens <= c.set.Context {
		return true
	}
	c.fail(OutcomeInvalid, says(tokens, c.set.Context))
	return false
}

// recall finds what the prompt cache remembers of a prompt.
func (c *call) recall(prompt string) (blocks []uint64) {
	if c.set.Cache == 0 {
		return nil
	}
	blocks = c.s.prompt.split(c.credential, c.set.Name, prompt)
	c.cached = c.s.prompt.hit(blocks, time.Now())
	return blocks
}

// memorise keeps a prompt in the cache once the model has read it.
func (c *call) memorise(blocks []uint64) {
	if len(blocks) > 0 {
		c.s.prompt.keep(blocks, c.set.Cache, time.Now())
	}
}
