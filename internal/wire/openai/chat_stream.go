package openai

import (
	"errors"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// maxAnswers bounds the answers to one request: OpenAI's bound of n.
const maxAnswers = 128

// maxHeld bounds the arguments that are held, in bytes, until a call's name
// comes.
const maxHeld = 1 << 20

// maxCalls bounds the calls of one answer.
const maxCalls = 1 << 10

// chunk is an event of a stream, or a whole answer.
type chunk struct {
	ID      loose          `json:"id"`
	Model   loose          `json:"model"`
	Created number         `json:"created"`
	Choices []choice       `json:"choices"`
	Usage   jsontext.Value `json:"usage"`
	Error   jsontext.Value `json:"error"`
	Groq    struct {
		Usage jsontext.Value `json:"usage"`
	} `json:"x_groq"`
	Tier      loose          `json:"service_tier"`
	Citations jsontext.Value `json:"citations"`      // Perplexity's: URLs
	Results   jsontext.Value `json:"search_results"` // the same, with titles
}

type choice struct {
	Index    number         `json:"index"`
	Delta    *message       `json:"delta"`
	Message  *message       `json:"message"`
	Finish   loose          `json:"finish_reason"`
	Usage    jsontext.Value `json:"usage"` // Moonshot's place
	Error    jsontext.Value `json:"error"` // OpenRouter's
	LogProbs jsontext.Value `json:"logprobs"`
}

// Decoder implements wire.Vendor.
func (Codec) Decoder(call *wire.Call) wire.Decoder { return &decoder{call: call} }

// decoder makes events of chunks.
type decoder struct {
	call    *wire.Call
	out     []llm.Event
	started bool
	done    bool // [DONE] has come
	answers []*reading
	tier    llm.Tier
	sources jsontext.Value // Perplexity's, which repeats them in each chunk
}

// reading is one answer so far.
type reading struct {
	n      int // which answer
	next   int // index of the next block
	open   bool
	kind   llm.BlockKind   // of the open block
	at     int             // its index
	seal   llm.Seal        // of the open thinking
	detail reasoningDetail // the last of it
	plain  []byte          // the open thinking, if it came without details
	cites  []llm.Cite
	calls  []*calling
	last   *calling
	refuse bool // a refusal has come
	text   bool // a text has come
	// probs are of tokens whose text has not come, of the text and of the
	// refusal.
	probs [2][]llm.LogProb
	ended bool
}

// calling is a call that is being read. Calls stay open until the answer
// ends, since their pieces may come in any order.
type calling struct {
	key   number // the vendor's index
	id    string
	at    int    // its block's index
	begun bool   // its name is known, its block has begun
	whole bool   // its arguments came in one piece
	held  []byte // arguments that came before the name
}

// Event implements wire.Decoder.
func (d *decoder) Event(dst []llm.Event, f wire.Frame) ([]llm.Event, *llm.Error) {
	if string(f.Data) == "[DONE]" {
		d.done = true
		return dst, nil
	}
	if len(f.Data) == 0 || d.done {
		return dst, nil
	}
	d.out = dst
	if f.Name == "" && d.quick(f.Data) {
		dst, d.out = d.out, nil
		return dst, nil
	}
	var c chunk
	if err := json.Unmarshal(f.Data, &c, lenient); err != nil {
		return dst, wire.BadAnswer("an event that is no chunk")
	}
	err := d.chunk(&c, f.Name == "error")
	if f.Name == "error" && err == nil {
		err = reported(jsontext.Value(f.Data))
	}
	dst, d.out = d.out, nil
	return dst, err
}

// End implements wire.Decoder. An answer is whole if all that began have a
// finish reason, or [DONE] has come.
func (d *decoder) End(dst []llm.Event) ([]llm.Event, bool) {
	d.out = dst
	whole := len(d.answers) > 0
	for _, a := range d.answers {
		if a == nil || a.ended {
			continue
		}
		if whole = whole && d.done; whole {
			d.finish(a, "stop")
		} else {
			d.endBlocks(a)
		}
	}
	dst, d.out = d.out, nil
	return dst, whole
}

func (d *decoder) emit(e llm.Event) { d.out = append(d.out, e) }

func (d *decoder) chunk(c *chunk, failed bool) *llm.Error {
	if !d.started && (len(c.Choices) > 0 || !null(c.Usage)) && !failed {
		d.started = true
		d.emit(llm.Event{Kind: llm.EventStart, ID: string(c.ID), Model: string(c.Model), Created: c.Created.n})
	}
	if c.Results.Kind() == '[' && len(c.Results) > 2 {
		d.sources = c.Results
	} else if d.sources == nil && c.Citations.Kind() == '[' && len(c.Citations) > 2 {
		d.sources = c.Citations
	}
	for i := range c.Choices {
		ch := &c.Choices[i]
		if !null(ch.Error) {
			return reported(ch.Error)
		}
		a := d.answer(&ch.Index)
		if a == nil || a.ended {
			continue
		}
		m := ch.Delta
		if m == nil && a.next == 0 {
			m = ch.Message
		}
		if ch.LogProbs.Kind() == '{' {
			for i, name := range [...]string{"content", "refusal"} {
				a.probs[i] = waiting(a.probs[i], ParseLogProbs(scan.Get(ch.LogProbs, name)))
			}
		}
		if m != nil {
			if err := d.message(a, m); err != nil {
				return err
			}
		}
		d.probs(a) // of tokens without a text
		if ch.Finish != "" && null(c.Error) {
			if broken[ch.Finish] {
				return &llm.Error{Kind: llm.KindUpstream, Message: "the vendor broke the answer off", Err: errors.New("finish reason " + string(ch.Finish))}
			}
			d.finish(a, string(ch.Finish))
		}
		d.usage(ch.Usage)
	}
	if c.Tier != "" {
		d.tier = llm.ParseTier(string(c.Tier))
	}
	d.usage(c.Groq.Usage)
	d.usage(c.Usage)
	if !null(c.Error) {
		return reported(c.Error)
	}
	return nil
}

func (d *decoder) usage(v jsontext.Value) {
	if v.Kind() != '{' {
		return
	}
	if u, ok := ParseUsage(v); ok {
		u.Tier = max(u.Tier, d.tier)
		d.emit(llm.Event{Kind: llm.EventUsage, Usage: &u})
	}
}

// answer returns the state of a choice, nil for one out of range.
func (d *decoder) answer(index *number) *reading {
	n := int(min(max(index.n, -1), maxAnswers))
	if n < 0 || n >= maxAnswers {
		return nil
	}
	for len(d.answers) <= n {
		d.answers = append(d.answers, nil)
	}
	if d.answers[n] == nil {
		d.answers[n] = &reading{n: n}
	}
	return d.answers[n]
}

// message reads a delta, or the message of a whole answer.
func (d *decoder) message(a *reading, m *message) *llm.Error {
	if s := m.Extra.seal(); s != "" {
		d.google(a, s)
	}
	d.thought(a, m)
	d.piece(a, llm.BlockText, m.Content.text)
	d.parts(a, m.Content.parts)
	if m.Audio != nil {
		if m.Content.text == "" {
			d.piece(a, llm.BlockText, string(m.Audio.Transcript))
		}
		if m.Audio.Data != "" {
			d.single(a, llm.Block{Kind: llm.BlockAudio, ID: string(m.Audio.ID), Media: &llm.Media{Data: string(m.Audio.Data)}})
		}
	}
	d.piece(a, llm.BlockRefusal, string(m.Refusal))
	d.parts(a, m.Images)
	a.cites = append(a.cites, citesOf(m.Annotations)...)
	for i := range m.ToolCalls {
		if err := d.tool(a, &m.ToolCalls[i]); err != nil {
			return err
		}
	}
	if m.FunctionCall != nil && len(m.ToolCalls) == 0 {
		return d.tool(a, &toolCall{Index: number{0, true}, Function: m.FunctionCall})
	}
	return nil
}

// begin opens a block and returns its index.
func (d *decoder) begin(a *reading, b *llm.Block) int {
	at := a.next
	a.next++
	d.emit(llm.Event{Kind: llm.EventBlock, Answer: a.n, Index: at, Block: b})
	return at
}

// piece appends text to a block of a kind, a new one where another is open.
func (d *decoder) piece(a *reading, kind llm.BlockKind, text string) {
	if text == "" {
		return
	}
	if !a.open || a.kind != kind {
		d.close(a)
		a.open, a.kind = true, kind
		a.at = d.begin(a, &llm.Block{Kind: kind})
	}
	if kind == llm.BlockThinking && a.detail.Type == "" && len(a.plain) <= maxThought {
		a.plain = append(a.plain, text...)
	}
	a.refuse = a.refuse || kind == llm.BlockRefusal
	a.text = a.text || kind == llm.BlockText
	d.probs(a)
	d.emit(llm.Event{Kind: llm.EventDelta, Answer: a.n, Index: a.at, Text: text})
}

// probs tells the log probabilities of the open text or refusal.
func (d *decoder) probs(a *reading) {
	if !a.open || a.kind > llm.BlockRefusal || len(a.probs[a.kind]) == 0 {
		return
	}
	d.emit(llm.Event{Kind: llm.EventLogProbs, Answer: a.n, Index: a.at, LogProbs: a.probs[a.kind]})
	a.probs[a.kind] = nil
}

// single adds a block that comes whole.
func (d *decoder) single(a *reading, b llm.Block) {
	d.close(a)
	at := d.begin(a, &b)
	d.emit(llm.Event{Kind: llm.EventBlockEnd, Answer: a.n, Index: at})
}

// google adds the empty thinking that carries Google's signature of what
// follows.
func (d *decoder) google(a *reading, signature string) {
	d.close(a)
	b := &llm.Block{Kind: llm.BlockThinking}
	at := d.begin(a, b)
	d.emit(llm.Event{Kind: llm.EventSeal, Answer: a.n, Index: at,
		Block: &llm.Block{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoGemini, Data: signature}}})
	d.emit(llm.Event{Kind: llm.EventBlockEnd, Answer: a.n, Index: at})
}

// close ends the open text, refusal or thinking.
func (d *decoder) close(a *reading) {
	if !a.open {
		return
	}
	a.open = false
	if a.kind == llm.BlockThinking && a.seal.Maker != 0 {
		d.emit(llm.Event{Kind: llm.EventSeal, Answer: a.n, Index: a.at, Block: &llm.Block{Kind: llm.BlockThinking, Seal: a.seal}})
	}
	a.seal, a.detail, a.plain = llm.Seal{}, reasoningDetail{}, a.plain[:0]
	if a.kind == llm.BlockText {
		for i := range a.cites {
			d.emit(llm.Event{Kind: llm.EventCite, Answer: a.n, Index: a.at, Cite: &a.cites[i]})
		}
		a.cites = nil
	}
	d.emit(llm.Event{Kind: llm.EventBlockEnd, Answer: a.n, Index: a.at})
}

// thought reads what a message has of thinking. reasoning_details say most:
// where they have a text or a proof, they count, else reasoning_content or
// reasoning, which most vendors send.
func (d *decoder) thought(a *reading, m *message) {
	ds := details(m.Details)
	plain := m.thinking()
	for i := range ds {
		if ds[i].visible() != "" {
			plain = ""
		}
	}
	d.piece(a, llm.BlockThinking, plain)
	for i := range ds {
		r := &ds[i]
		same := a.open && a.kind == llm.BlockThinking && r.Type != detailEncrypted &&
			(a.detail.Type == "" || a.detail.Type == r.Type && a.detail.Index == r.Index)
		if !same {
			if r.visible() == "" && r.proof() == "" {
				continue
			}
			d.close(a)
			a.open, a.kind = true, llm.BlockThinking
			a.at = d.begin(a, &llm.Block{Kind: llm.BlockThinking, Seal: llm.Seal{Redacted: r.Type == detailEncrypted}})
		}
		a.detail = *r
		if len(a.plain) == 0 || string(a.plain) != r.visible() { // a gateway repeats with the proof what it has sent
			d.piece(a, llm.BlockThinking, r.visible())
		}
		var b llm.Block
		if sealed(&b, r); b.Seal.Maker != 0 {
			a.seal = b.Seal
		}
		if r.proof() != "" {
			d.close(a)
		}
	}
}

// parts reads content that comes as a list: text, Mistral's thinking,
// pictures.
func (d *decoder) parts(a *reading, v jsontext.Value) {
	if v.Kind() != '[' {
		return
	}
	var parts []part
	if json.Unmarshal(v, &parts, lenient) != nil {
		return
	}
	for i := range parts {
		p := &parts[i]
		b, ok := p.block()
		switch {
		case !ok:
			d.call.Lose("messages.content." + string(p.Type))
		case b.Kind == llm.BlockText || b.Kind == llm.BlockThinking || b.Kind == llm.BlockRefusal:
			d.piece(a, b.Kind, b.Text)
		default:
			d.single(a, b)
		}
	}
}

// tool reads a piece of a call.
func (d *decoder) tool(a *reading, t *toolCall) *llm.Error {
	name, args := "", ""
	switch {
	case t.isCustom():
		name, args = string(t.Custom.Name), string(t.Custom.Input)
	case t.Function != nil:
		name, args = string(t.Function.Name), string(t.Function.Arguments)
	}
	c := a.find(t, name)
	if c == nil {
		if len(a.calls) >= maxCalls {
			return wire.BadAnswer("more than 1,024 calls in one answer")
		}
		c = &calling{key: t.Index, id: string(t.ID)}
		a.calls = append(a.calls, c)
	}
	a.last = c
	if !c.begun {
		if name == "" {
			if c.held = append(c.held, args...); len(c.held) > maxHeld {
				return wire.BadAnswer("a call without a name")
			}
			return nil
		}
		if s := t.Extra.seal(); s != "" {
			d.google(a, s)
		}
		d.close(a)
		if c.id == "" {
			if c.id = string(t.ID); c.id == "" {
				c.id = wire.NewCallID()
			}
		}
		c.begun = true
		c.at = d.begin(a, &llm.Block{Kind: llm.BlockCall, ID: c.id, Name: name, Custom: t.isCustom()})
		if c.whole = len(args) > 0 && scan.Valid([]byte(args)); len(c.held) > 0 {
			args, c.held = string(c.held)+args, nil
		}
	}
	if args != "" {
		d.emit(llm.Event{Kind: llm.EventDelta, Answer: a.n, Index: c.at, Text: args})
	}
	return nil
}

// find returns the call that a piece belongs to, nil for a new one. Vendors
// leave out indices, give whole calls all the same one, and repeat ids.
func (a *reading) find(t *toolCall, name string) *calling {
	if !t.Index.ok {
		if t.ID == "" && name == "" {
			return a.last
		}
		for _, c := range a.calls {
			if t.ID != "" && c.id == string(t.ID) {
				return c
			}
		}
		return nil
	}
	for i := len(a.calls) - 1; i >= 0; i-- {
		c := a.calls[i]
		if c.key != t.Index {
			continue
		}
		if t.ID != "" && c.id != "" && c.id != string(t.ID) && name != "" || name != "" && c.whole && t.ID == "" {
			return nil
		}
		return c
	}
	return nil
}

// endBlocks ends what is open, the calls in the order in which they began.
func (d *decoder) endBlocks(a *reading) {
	if !a.open && !a.text && len(a.cites) > 0 {
		a.open, a.kind = true, llm.BlockText
		a.at = d.begin(a, &llm.Block{Kind: llm.BlockText})
	}
	if d.sources != nil && a.open && a.kind == llm.BlockText && len(a.cites) == 0 {
		a.cites = sourcesOf(d.sources)
	}
	d.close(a)
	for _, c := range a.calls {
		if !c.begun {
			continue
		}
		d.emit(llm.Event{Kind: llm.EventBlockEnd, Answer: a.n, Index: c.at})
	}
	a.ended = true
}

// finish ends an answer for a vendor's reason.
func (d *decoder) finish(a *reading, reason string) {
	d.endBlocks(a)
	stop, known := stopReasons[strings.ToLower(reason)]
	if !known {
		stop = llm.StopEnd
		d.call.Lose("stop_reason")
	}
	calls := 0
	for _, c := range a.calls {
		if c.begun {
			calls++
		}
	}
	switch {
	case stop == llm.StopEnd && calls > 0:
		stop = llm.StopTools
	case stop == llm.StopTools && calls == 0:
		stop = llm.StopEnd
	case stop == llm.StopEnd && a.refuse:
		stop = llm.StopRefusal
	}
	d.emit(llm.Event{Kind: llm.EventStop, Answer: a.n, Stop: stop})
}

// stopReasons are the vendors' words for why an answer ended.
var stopReasons = map[string]llm.Stop{
	"stop": llm.StopEnd, "eos": llm.StopEnd, "end_turn": llm.StopEnd, "complete": llm.StopEnd, "stop_sequence": llm.StopSequence,
	"length": llm.StopLength, "max_tokens": llm.StopLength, "model_length": llm.StopContext,
	"tool_calls": llm.StopTools, "tool_use": llm.StopTools, "tool_call": llm.StopTools, "function_call": llm.StopTools,
	"content_filter": llm.StopFilter, "content-filter": llm.StopFilter, "sensitive": llm.StopFilter, "safety": llm.StopFilter,
	"refusal": llm.StopRefusal, "pause_turn": llm.StopPause,
}

// broken are reasons that mean failure: DeepSeek's, Z.AI's, OpenRouter's,
// Mistral's, vLLM's.
var broken = map[loose]bool{"insufficient_system_resource": true, "network_error": true, "error": true, "abort": true}

// citesOf reads the annotations of a message.
func citesOf(v jsontext.Value) (cites []llm.Cite) {
	if v.Kind() != '[' || len(v) == 2 {
		return nil
	}
	var in []struct {
		Citation struct {
			URL     loose  `json:"url"`
			Title   loose  `json:"title"`
			Content loose  `json:"content"`
			Start   number `json:"start_index"`
			End     number `json:"end_index"`
		} `json:"url_citation"`
	}
	if json.Unmarshal(v, &in, lenient) != nil {
		return nil
	}
	for _, x := range in {
		if c := x.Citation; c.URL != "" {
			cites = append(cites, llm.Cite{URL: string(c.URL), Title: string(c.Title), Quote: string(c.Content), Start: int(c.Start.n), End: int(c.End.n)})
		}
	}
	return cites
}

// sourcesOf reads Perplexity's search_results or citations.
func sourcesOf(v jsontext.Value) (cites []llm.Cite) {
	_ = scan.Elements(v, func(e []byte) bool {
		if s, ok := scan.String(e); ok {
			cites = append(cites, llm.Cite{URL: s})
			return true
		}
		var r struct {
			URL     loose `json:"url"`
			Title   loose `json:"title"`
			Snippet loose `json:"snippet"`
		}
		if json.Unmarshal(e, &r, lenient) == nil && r.URL != "" {
			cites = append(cites, llm.Cite{URL: string(r.URL), Title: string(r.Title), Quote: string(r.Snippet)})
		}
		return true
	})
	return cites
}

// reported is the error that a vendor put into an answer: an object as OpenAI
// writes it, or a text.
func reported(v jsontext.Value) *llm.Error {
	if inner := scan.Get(v, "error"); !scan.Null(inner) {
		v = inner
	}
	msg, _ := scan.String(v)
	kind := llm.KindUpstream
	if v.Kind() == '{' {
		msg, _ = scan.String(scan.Get(v, "message"))
		kind = kindOf(v)
	}
	e := &llm.Error{Kind: kind, Message: "the vendor reported an error", Err: errors.New("error in a 200 answer: " + msg[:min(200, len(msg))])}
	switch kind {
	case llm.KindCaller, llm.KindContextLength:
		if msg != "" {
			e.Message = msg
		}
	case llm.KindCredential, llm.KindCredit:
		e.Message = "the vendor refused the gateway's credential"
	case llm.KindRateLimited:
		e.Message = "the vendor asks to slow down"
	}
	return e
}
