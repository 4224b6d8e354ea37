package responses

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/openai"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// maxBlocks bounds the blocks of one answer.
const maxBlocks = 4096

// decoder reads a streamed answer. Whole answers are read by it as well: as
// the event that ends a stream.
type decoder struct {
	call     *wire.Call
	space    []scan.Member
	blocks   map[place]*block
	order    []*block // by index
	started  bool
	over     bool
	refused  bool
	called   bool
	searches int64
	held     int // bytes of arguments that are held
}

// place is where a block stands in the output. Ids are no key: GitHub Copilot
// gives an item another one in each event.
type place struct{ item, part int64 }

// block is a block of the answer that has begun, or that will when its name
// is known.
type block struct {
	at     place
	index  int // -1: not begun
	kind   llm.BlockKind
	seen   int    // bytes of its text so far
	sum    uint32 // their FNV-1a hash
	cites  int    // sources so far
	probs  bool   // log probabilities have come
	raw    bool   // of thinking: the text is the raw one, not the summary
	part   int64  // of thinking: the part that its last text was of
	held   []byte // arguments that came before the call's name
	closed bool
}

func newBlock(at place) *block { return &block{at: at, index: -1, sum: hashBasis} }

// Decoder begins to read a streamed answer. See wire.Vendor.
func (Codec) Decoder(call *wire.Call) wire.Decoder { return newDecoder(call) }

func newDecoder(call *wire.Call) *decoder {
	if call == nil {
		call = &wire.Call{}
	}
	return &decoder{call: call, space: make([]scan.Member, 0, 16), blocks: map[place]*block{}}
}

// members are the members of an event.
type members struct {
	data []byte
	list []scan.Member
}

func (m members) get(name string) []byte {
	for _, x := range m.list {
		if k := m.data[x.Key+1 : x.KeyEnd-1]; string(k) == name {
			return m.data[x.Start:x.End]
		}
	}
	return nil
}

func (m members) text(name string) string {
	s, _ := scan.String(m.get(name))
	return s
}

func (m members) int(name string) int64 {
	n, _ := scan.Int(m.get(name))
	return n
}

// Event appends what one event says. See wire.Decoder.
func (d *decoder) Event(dst []llm.Event, f wire.Frame) ([]llm.Event, *llm.Error) {
	data := bytes.TrimSpace(f.Data)
	if d.over || len(data) == 0 || string(data) == "[DONE]" {
		return dst, nil
	}
	ms, err := scan.Object(d.space[:0], data)
	if err != nil {
		return dst, wire.BadAnswer("event: " + err.Error())
	}
	d.space = ms[:0]
	m := members{data, ms}
	name := f.Name
	if !strings.HasPrefix(name, "response.") { // not every vendor names its events
		name = m.text("type")
	}
	if len(d.order) >= maxBlocks {
		return dst, wire.BadAnswer("more than 4096 blocks in one answer")
	}
	switch name {
	case "response.created", "response.in_progress", "response.queued":
		return d.start(dst, m.get("response")), nil
	case "response.completed", "response.incomplete", "response.failed", "response.cancelled":
		return d.finish(dst, strings.TrimPrefix(name, "response."), m.get("response"))
	case "error":
		if v := m.get("error"); !scan.Null(v) {
			return dst, errorOf(v)
		}
		return dst, errorOf(data)
	case "":
		if v := m.get("error"); !scan.Null(v) {
			return dst, errorOf(v)
		}
		return dst, nil
	}
	return d.piece(dst, name, m)
}

// piece appends what an event says about an item of the output.
func (d *decoder) piece(dst []llm.Event, name string, m members) ([]llm.Event, *llm.Error) {
	at := place{m.int("output_index"), m.int("content_index")}
	switch name {
	case "response.output_text.delta":
		if probs := m.get("logprobs"); len(probs) > 2 {
			dst = d.likely(dst, at, probs)
		}
		return d.text(dst, at, llm.BlockText, m.text("delta")), nil
	case "response.output_text.done":
		return d.rest(dst, at, llm.BlockText, m.text("text")), nil
	case "response.refusal.delta":
		return d.text(dst, at, llm.BlockRefusal, m.text("delta")), nil
	case "response.refusal.done":
		return d.rest(dst, at, llm.BlockRefusal, m.text("refusal")), nil
	case "response.output_text.annotation.added":
		var a annotation
		if json.Unmarshal(m.get("annotation"), &a, lax) == nil {
			dst = d.cite(dst, d.blocks[at], &a)
		}
		return dst, nil
	case "response.content_part.done":
		var p part
		if json.Unmarshal(m.get("part"), &p, lax) == nil {
			dst = d.part(dst, at, &p)
		}
		return dst, nil
	case "response.reasoning_summary_text.delta":
		return d.think(dst, at.item, m.int("summary_index"), false, m.text("delta"), m), nil
	case "response.reasoning_text.delta":
		return d.think(dst, at.item, at.part, true, m.text("delta"), m), nil
	case "response.function_call_arguments.delta", "response.custom_tool_call_input.delta":
		return d.arguments(dst, place{item: at.item}, m.text("delta"))
	case "response.output_item.added":
		return d.added(dst, at.item, m.get("item"))
	case "response.output_item.done":
		return d.item(dst, at.item, m.get("item"))
	}
	return dst, nil
}

func (d *decoder) start(dst []llm.Event, response []byte) []llm.Event {
	if d.started {
		return dst
	}
	d.started = true
	e := llm.Event{Kind: llm.EventStart}
	e.ID, _ = scan.String(scan.Get(response, "id"))
	e.Model, _ = scan.String(scan.Get(response, "model"))
	created, _, _ := bytes.Cut(scan.Get(response, "created_at"), []byte{'.'})
	e.Created, _ = scan.Int(created)
	return append(dst, e)
}

// open returns the block at a place, which begins if it has not. b is what it
// begins with.
func (d *decoder) open(dst []llm.Event, at place, b llm.Block) ([]llm.Event, *block) {
	dst = d.start(dst, nil)
	o := d.blocks[at]
	if o == nil {
		o = newBlock(at)
		d.blocks[at] = o
	}
	if o.index < 0 {
		o.index, o.kind = len(d.order), b.Kind
		d.order = append(d.order, o)
		d.refused = d.refused || b.Kind == llm.BlockRefusal
		d.called = d.called || b.Kind == llm.BlockCall
		dst = append(dst, llm.Event{Kind: llm.EventBlock, Index: o.index, Block: &b})
	}
	return dst, o
}

// text appends more text of a part.
func (d *decoder) text(dst []llm.Event, at place, kind llm.BlockKind, s string) []llm.Event {
	if s == "" {
		return dst
	}
	dst, o := d.open(dst, at, llm.Block{Kind: kind})
	return o.more(dst, s)
}

// likely tells the log probabilities of a text's tokens.
func (d *decoder) likely(dst []llm.Event, at place, v []byte) []llm.Event {
	list := openai.ParseLogProbs(v)
	if len(list) == 0 {
		return dst
	}
	dst, o := d.open(dst, at, llm.Block{Kind: llm.BlockText})
	if o.closed || o.kind != llm.BlockText {
		return dst
	}
	o.probs = true
	return append(dst, llm.Event{Kind: llm.EventLogProbs, Index: o.index, LogProbs: list})
}

func (o *block) more(dst []llm.Event, s string) []llm.Event {
	if s == "" || o.closed {
		return dst
	}
	o.seen += len(s)
	o.sum = hash(o.sum, s)
	return append(dst, llm.Event{Kind: llm.EventDelta, Index: o.index, Text: s})
}

// rest appends what is missing of the whole text s: all of it if no delta has
// come, nothing if others have come than s begins with.
func (o *block) rest(dst []llm.Event, s string) []llm.Event {
	if len(s) <= o.seen || hash(hashBasis, s[:o.seen]) != o.sum {
		return dst
	}
	return o.more(dst, s[o.seen:])
}

const hashBasis, hashPrime = 2166136261, 16777619

func hash(sum uint32, s string) uint32 {
	for i := range len(s) {
		sum = (sum ^ uint32(s[i])) * hashPrime
	}
	return sum
}

// rest appends what is missing of the whole text of a part.
func (d *decoder) rest(dst []llm.Event, at place, kind llm.BlockKind, s string) []llm.Event {
	if o := d.blocks[at]; o != nil && o.index >= 0 {
		return o.rest(dst, s)
	}
	return d.text(dst, at, kind, s)
}

func (d *decoder) close(dst []llm.Event, o *block) []llm.Event {
	if o == nil || o.index < 0 || o.closed {
		return dst
	}
	o.closed = true
	return append(dst, llm.Event{Kind: llm.EventBlockEnd, Index: o.index})
}

func (d *decoder) cite(dst []llm.Event, o *block, a *annotation) []llm.Event {
	c, ok := a.cite()
	if !ok {
		d.call.Lose("annotations." + a.Type)
		return dst
	}
	if o == nil || o.index < 0 || o.closed {
		return dst
	}
	o.cites++
	return append(dst, llm.Event{Kind: llm.EventCite, Index: o.index, Cite: &c})
}

// part ends a part of a message, with what was not told of it before.
func (d *decoder) part(dst []llm.Event, at place, p *part) []llm.Event {
	kind, s := llm.BlockText, p.Text
	switch p.Type {
	case typeRefusal:
		kind, s = llm.BlockRefusal, p.Refusal
	case typeOutputText, "text":
	default:
		return dst // of reasoning
	}
	if o := d.blocks[at]; kind == llm.BlockText && len(p.LogProbs) > 2 && s != "" && (o == nil || !o.probs && !o.closed) {
		dst = d.likely(dst, at, p.LogProbs)
	}
	dst = d.rest(dst, at, kind, s)
	o := d.blocks[at]
	if o != nil {
		for i := min(o.cites, len(p.Annotations)); i < len(p.Annotations); i++ {
			dst = d.cite(dst, o, &p.Annotations[i])
		}
	}
	return d.close(dst, o)
}

// think appends thinking: the summary or the raw text, whichever comes first.
func (d *decoder) think(dst []llm.Event, item, part int64, raw bool, s string, m members) []llm.Event {
	if s == "" {
		return dst
	}
	dst, o := d.open(dst, place{item: item}, llm.Block{Kind: llm.BlockThinking, ID: m.text("item_id")})
	if o.seen == 0 {
		o.raw, o.part = raw, part
	}
	if o.raw != raw {
		return dst
	}
	if o.part != part {
		o.part = part
		dst = o.more(dst, between)
	}
	return o.more(dst, s)
}

// arguments appends more of a call's arguments, and holds what comes before
// the call's name.
func (d *decoder) arguments(dst []llm.Event, at place, s string) ([]llm.Event, *llm.Error) {
	o := d.blocks[at]
	if o == nil {
		if len(d.blocks) >= maxBlocks {
			return dst, wire.BadAnswer("more than 4096 items in one answer")
		}
		o = newBlock(at)
		d.blocks[at] = o
	}
	if o.index >= 0 {
		return o.more(dst, s), nil
	}
	if d.held += len(s); d.held > maxHeld {
		return dst, wire.BadAnswer("arguments larger than 8 MiB")
	}
	o.held = append(o.held, s...)
	return dst, nil
}

// maxHeld bounds the arguments that are held in one answer, in bytes.
const maxHeld = 8 << 20

// added begins a call; every other item begins with its first text.
func (d *decoder) added(dst []llm.Event, at int64, raw []byte) ([]llm.Event, *llm.Error) {
	kind, _ := scan.String(scan.Get(raw, "type"))
	if kind != typeCall && kind != typeCustomCall {
		return dst, nil
	}
	var it item
	if err := json.Unmarshal(raw, &it, lax); err != nil {
		return dst, wire.BadAnswer("item: " + err.Error())
	}
	if scan.Null(it.Name) || it.CallID == "" {
		return dst, nil // the end of the item tells
	}
	dst, o := d.begin(dst, at, &it)
	if o.seen == 0 && len(o.held) > 0 {
		dst, o.held = o.more(dst, string(o.held)), nil
	}
	return dst, nil
}

// begin begins the block of a call.
func (d *decoder) begin(dst []llm.Event, at int64, it *item) ([]llm.Event, *block) {
	b := llm.Block{Kind: llm.BlockCall, ID: it.CallID, Name: plain(it.Name), Custom: it.Type == typeCustomCall}
	if b.ID == "" {
		if b.ID = it.ID; b.ID == "" {
			b.ID = wire.NewCallID()
		}
	}
	return d.open(dst, place{item: at}, b)
}

// item ends an item, with what was not told of it before.
func (d *decoder) item(dst []llm.Event, at int64, raw []byte) ([]llm.Event, *llm.Error) {
	kind, _ := scan.String(scan.Get(raw, "type"))
	switch kind {
	case typeMessage, typeReasoning, typeCall, typeCustomCall, typeImageCall:
	case typeSearchCall:
		if isSearch(raw) {
			d.searches++
		}
		return dst, nil
	default:
		if kind != "" {
			d.call.Lose(kind)
		}
		return dst, nil
	}
	var it item
	if err := json.Unmarshal(raw, &it, lax); err != nil {
		return dst, wire.BadAnswer("item: " + err.Error())
	}
	switch kind {
	case typeMessage:
		return d.message(dst, at, &it)
	case typeReasoning:
		return d.reasoning(dst, at, &it)
	case typeImageCall:
		if data := plain(it.Result); data != "" {
			format, _ := scan.String(scan.Get(raw, "output_format"))
			media := &llm.Media{MIME: "image/" + or(format, "png"), Data: data}
			var o *block
			dst, o = d.open(dst, place{item: at}, llm.Block{Kind: llm.BlockImage, Media: media})
			dst = d.close(dst, o)
		}
		return dst, nil
	}
	dst, o := d.begin(dst, at, &it)
	s := plain(it.Arguments)
	if kind == typeCustomCall {
		s = plain(it.Input)
	}
	if s == "" && o.seen == 0 {
		s = string(o.held)
	}
	o.held = nil
	return d.close(o.rest(dst, s), o), nil
}

// message ends a message.
func (d *decoder) message(dst []llm.Event, at int64, it *item) ([]llm.Event, *llm.Error) {
	var begun []*block // Bedrock's Mantle numbers the parts of a stream otherwise than they stand in the item
	for _, o := range d.order {
		if o.at.item == at {
			begun = append(begun, o)
		}
	}
	if s, ok := scan.String(it.Content); ok {
		return d.part(dst, where(begun, at, 0), &part{Type: typeOutputText, Text: s}), nil
	}
	var parts []jsontext.Value
	if !scan.Null(it.Content) {
		if err := json.Unmarshal(it.Content, &parts, lax); err != nil {
			return dst, wire.BadAnswer("content: " + err.Error())
		}
	}
	if len(parts)+len(d.order) > maxBlocks {
		return dst, wire.BadAnswer("more than 4096 blocks in one answer")
	}
	i := 0
	for _, raw := range parts {
		var p part
		if err := json.Unmarshal(raw, &p, lax); err != nil {
			return dst, wire.BadAnswer("part: " + err.Error())
		}
		if p.Text != "" || p.Refusal != "" { // no block is begun for nothing
			dst = d.part(dst, where(begun, at, i), &p)
			i++
		}
	}
	return dst, nil
}

// where is the place of the i-th part of an item, of which some have begun.
func where(begun []*block, item int64, i int) place {
	if i < len(begun) {
		return begun[i].at
	}
	return place{item, int64(maxBlocks + i)}
}

// reasoning ends thinking, with its seal.
func (d *decoder) reasoning(dst []llm.Event, at int64, it *item) ([]llm.Event, *llm.Error) {
	b, err := thinking(it)
	if err != nil {
		return dst, wire.BadAnswer("reasoning: " + err.Error())
	}
	o := d.blocks[place{item: at}]
	if o == nil {
		if b.Text == "" && b.Seal.Maker == 0 {
			return dst, nil
		}
		dst, o = d.open(dst, place{item: at}, llm.Block{Kind: llm.BlockThinking, ID: b.ID, Seal: llm.Seal{Redacted: b.Seal.Redacted}})
	}
	if o.closed || o.kind != llm.BlockThinking {
		return dst, nil
	}
	dst = o.rest(dst, b.Text)
	if b.Seal.Maker != 0 {
		dst = append(dst, llm.Event{Kind: llm.EventSeal, Index: o.index, Block: &llm.Block{Kind: llm.BlockThinking, ID: b.ID, Seal: b.Seal}})
	}
	return d.close(dst, o), nil
}

// finish reads the response that ends a stream, or that is a whole answer:
// what of its output has not come yet, why it ended, and what it cost.
// status is what it is where it does not say so itself.
func (d *decoder) finish(dst []llm.Event, status string, response []byte) ([]llm.Event, *llm.Error) {
	if s, ok := scan.String(scan.Get(response, "status")); ok {
		status = s
	}
	switch status {
	case "failed", "cancelled", "queued", "in_progress":
		if v := scan.Get(response, "error"); !scan.Null(v) {
			return dst, errorOf(v)
		}
		return dst, wire.BadAnswer("a response that is " + status)
	}
	dst = d.start(dst, response)
	if len(d.order) == 0 {
		var bad *llm.Error
		var at int64
		d.searches = 0
		err := scan.Elements(scan.Get(response, "output"), func(it []byte) bool {
			dst, bad = d.item(dst, at, it)
			at++
			return bad == nil && at < maxBlocks
		})
		if bad != nil {
			return dst, bad
		}
		if err != nil && !scan.Null(scan.Get(response, "output")) {
			return dst, wire.BadAnswer("output: " + err.Error())
		}
	}
	for _, o := range d.order {
		dst = d.close(dst, o)
	}
	d.over = true
	dst = append(dst, llm.Event{Kind: llm.EventStop, Stop: d.stop(status, response)})
	if u := usageOf(response); u != nil {
		u.Searches = max(u.Searches, d.searches)
		dst = append(dst, llm.Event{Kind: llm.EventUsage, Usage: u})
	}
	return dst, nil
}

// stop is why a response ended.
func (d *decoder) stop(status string, response []byte) llm.Stop {
	if status == "incomplete" {
		reason, _ := scan.String(scan.Get(scan.Get(response, "incomplete_details"), "reason"))
		switch {
		case strings.HasPrefix(reason, "max_output") || strings.HasPrefix(reason, "max_tokens") || reason == "length":
			return llm.StopLength
		case reason == "content_filter":
			return llm.StopFilter
		case reason == "":
			return llm.StopPause
		}
		d.call.Lose("stop_reason")
		return llm.StopEnd
	}
	if status != "completed" {
		d.call.Lose("stop_reason")
	}
	switch {
	case d.called:
		return llm.StopTools
	case d.refused:
		return llm.StopRefusal
	}
	return llm.StopEnd
}

// End is called when the bytes have ended. See wire.Decoder.
func (d *decoder) End(dst []llm.Event) ([]llm.Event, bool) { return dst, d.over }

// Reply reads a whole answer. See wire.Vendor.
func (Codec) Reply(call *wire.Call, body []byte) (*llm.Reply, *llm.Error) {
	body = bytes.TrimSpace(body)
	if err := whole(body); err != nil {
		return nil, err
	}
	d := newDecoder(call)
	events, err := d.finish(nil, "completed", body)
	if err != nil {
		return nil, err
	}
	var c llm.Collector
	c.Add(events...)
	return c.Reply(), nil
}

// whole checks that body is a response and no error.
func whole(body []byte) *llm.Error {
	if !scan.Valid(body) || len(body) == 0 || body[0] != '{' {
		return wire.BadAnswer("no JSON object")
	}
	if v := scan.Get(body, "error"); !scan.Null(v) {
		return errorOf(v)
	}
	if v := scan.Get(body, "output"); len(v) == 0 || v[0] != '[' {
		return wire.BadAnswer("an object without output")
	}
	return nil
}
