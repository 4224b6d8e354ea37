package gemini

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// response is a GenerateContentResponse, whole or a chunk of a stream.
type response struct {
	Candidates     list[candidate] `json:"candidates"`
	PromptFeedback *struct {
		BlockReason word `json:"blockReason"`
	} `json:"promptFeedback"`
	UsageMetadata jsontext.Value `json:"usageMetadata"`
	ModelVersion  string         `json:"modelVersion"`
	ResponseID    string         `json:"responseId"`
	CreateTime    string         `json:"createTime"`
	Error         jsontext.Value `json:"error"`
}

type candidate struct {
	Index             number     `json:"index"`
	Content           *content   `json:"content"`
	FinishReason      word       `json:"finishReason"`
	GroundingMetadata *grounding `json:"groundingMetadata"`
	CitationMetadata  *struct {
		Citations       list[citation] `json:"citations"`
		CitationSources list[citation] `json:"citationSources"`
	} `json:"citationMetadata"`
	Likelihood *likelihood `json:"logprobsResult"`
}

type citation struct {
	StartIndex number `json:"startIndex"`
	EndIndex   number `json:"endIndex"`
	URI        string `json:"uri"`
	Title      string `json:"title"`
}

type grounding struct {
	WebSearchQueries list[string] `json:"webSearchQueries"`
	GroundingChunks  list[struct {
		Web              ground `json:"web"`
		RetrievedContext ground `json:"retrievedContext"`
		Maps             ground `json:"maps"`
	}] `json:"groundingChunks"`
	GroundingSupports list[struct {
		Segment struct {
			PartIndex  number `json:"partIndex"`
			StartIndex number `json:"startIndex"`
			EndIndex   number `json:"endIndex"`
		} `json:"segment"`
		GroundingChunkIndices list[number] `json:"groundingChunkIndices"`
	}] `json:"groundingSupports"`
}

type ground struct {
	URI   string `json:"uri"`
	Title string `json:"title"`
	Text  string `json:"text"`
}

// Bounds of one answer.
const (
	maxAnswers = 128
	maxCites   = 1024
	maxHeld    = 16 << 20 // bytes of a text that cites count in, and of arguments in pieces
)

// decoder reads an answer. It is used for whole answers, too.
type decoder struct {
	call     *wire.Call
	started  bool
	blocked  bool // the prompt was refused
	answers  []*answer
	usage    llm.Usage
	searches int64
}

// answer is one candidate.
type answer struct {
	blocks  int // that have begun
	open    llm.BlockKind
	isOpen  bool // a text or a thinking, the last block
	text    []byte
	seen    int  // bytes of all texts and calls
	calls   bool // a tool was called
	stopped bool
	cites   int
	pieces  *pieces       // a call whose arguments come in pieces
	probs   []llm.LogProb // of tokens whose text has not come
}

// Decoder begins to read a streamed answer. See wire.Vendor.
func (Codec) Decoder(call *wire.Call) wire.Decoder {
	if call == nil {
		call = &wire.Call{}
	}
	return &decoder{call: call}
}

// Event reads one chunk. See wire.Decoder.
func (d *decoder) Event(dst []llm.Event, f wire.Frame) ([]llm.Event, *llm.Error) {
	if len(f.Data) == 0 || string(f.Data) == "[DONE]" { // what stands between some proxies and Google adds it
		return dst, nil
	}
	var r response
	if err := json.Unmarshal(f.Data, &r, lenient); err != nil {
		if end, bad := scan.End(f.Data); bad == nil && end < len(f.Data) {
			return d.several(dst, f.Data)
		}
		return dst, misread(err)
	}
	return d.chunk(dst, &r)
}

// several reads the chunks of one event: somebody lost the blank lines.
func (d *decoder) several(dst []llm.Event, data []byte) ([]llm.Event, *llm.Error) {
	for data = bytes.TrimSpace(data); len(data) > 0; {
		end, err := scan.End(data)
		if err != nil {
			return dst, misread(err)
		}
		var r response
		if err := json.Unmarshal(data[:end], &r, lenient); err != nil {
			return dst, misread(err)
		}
		var bad *llm.Error
		if dst, bad = d.chunk(dst, &r); bad != nil {
			return dst, bad
		}
		data = bytes.TrimSpace(data[end:])
	}
	return dst, nil
}

func (d *decoder) chunk(dst []llm.Event, r *response) ([]llm.Event, *llm.Error) {
	if !scan.Null(r.Error) {
		return dst, fault(r.Error)
	}
	if !d.started {
		d.started = true
		dst = append(dst, llm.Event{Kind: llm.EventStart, ID: r.ResponseID, Model: r.ModelVersion, Created: unix(r.CreateTime)})
	}
	for i := range r.Candidates {
		var bad *llm.Error
		if dst, bad = d.candidate(dst, &r.Candidates[i]); bad != nil {
			return dst, bad
		}
	}
	if p := r.PromptFeedback; p != nil && p.BlockReason != "" && p.BlockReason != "0" && p.BlockReason != "BLOCKED_REASON_UNSPECIFIED" && len(d.answers) == 0 && !d.blocked {
		d.blocked = true
		dst = append(dst, llm.Event{Kind: llm.EventStop, Stop: llm.StopFilter})
	}
	if u, ok := ParseUsage(r.UsageMetadata); ok {
		u.Searches = d.searches
		if u.Output == 0 && !d.finished() { // early chunks count the prompt alone
			for _, a := range d.answers {
				if a != nil {
					u.Output, u.Estimated = u.Output+int64(a.seen+3)/4, true
				}
			}
		}
		if u != d.usage || d.finished() { // the last covers all that has come
			d.usage = u
			dst = append(dst, llm.Event{Kind: llm.EventUsage, Usage: &u})
		}
	}
	return dst, nil
}

// finished reports whether every answer that began has ended.
func (d *decoder) finished() bool {
	for _, a := range d.answers {
		if a != nil && !a.stopped {
			return false
		}
	}
	return true
}

func unix(created string) int64 {
	t, err := time.Parse(time.RFC3339Nano, created)
	if err != nil {
		return 0
	}
	return t.Unix()
}

func (d *decoder) candidate(dst []llm.Event, c *candidate) ([]llm.Event, *llm.Error) {
	n := int(c.Index)
	if n < 0 || n >= maxAnswers {
		return dst, misread(errors.New("candidate " + strconv.Itoa(n)))
	}
	for len(d.answers) <= n {
		d.answers = append(d.answers, nil)
	}
	if d.answers[n] == nil {
		d.answers[n] = &answer{}
	}
	a := d.answers[n]
	if a.stopped {
		return dst, nil
	}
	if c.Likelihood != nil {
		a.probs = waiting(a.probs, c.Likelihood.neutral())
	}
	if c.Content != nil {
		for i := range c.Content.Parts {
			p := &c.Content.Parts[i]
			if p.ThoughtSignature != "" && p.Text != nil && *p.Text == "" && c.GroundingMetadata != nil {
				dst = d.grounds(dst, n, a, c.GroundingMetadata) // before this part closes the text
				c.GroundingMetadata = nil
			}
			dst = a.part(dst, n, p)
		}
	}
	if c.GroundingMetadata != nil {
		dst = d.grounds(dst, n, a, c.GroundingMetadata)
	}
	if c.CitationMetadata != nil {
		for _, s := range [...]list[citation]{c.CitationMetadata.Citations, c.CitationMetadata.CitationSources} {
			for _, s := range s {
				if s.URI != "" {
					dst = a.cite(dst, n, llm.Cite{URL: s.URI, Title: s.Title}, s.StartIndex, s.EndIndex)
				}
			}
		}
	}
	if c.FinishReason == "" || c.FinishReason == "0" || c.FinishReason == "FINISH_REASON_UNSPECIFIED" {
		return dst, nil
	}
	return d.finish(dst, n, a, c.FinishReason)
}

func (d *decoder) finish(dst []llm.Event, n int, a *answer, reason word) ([]llm.Event, *llm.Error) {
	dst = a.ended(dst, n)
	dst = a.close(dst, n)
	stop, ok := stopOf(reason)
	switch {
	case !ok && stop == llm.StopNone && a.calls: // of a tool that nobody declared
		d.call.Lose("stop_reason")
		stop = llm.StopTools
	case !ok && stop == llm.StopNone:
		return dst, &llm.Error{Kind: llm.KindUpstream, Message: "the model called a tool in a way that cannot be read; try again", Err: errors.New("finish reason " + string(reason))}
	case !ok:
		d.call.Lose("stop_reason")
	case stop == llm.StopEnd && a.calls:
		stop = llm.StopTools
	}
	a.stopped = true
	return append(dst, llm.Event{Kind: llm.EventStop, Answer: n, Stop: stop}), nil
}

// stopOf reads a finish reason, by its name or by its number in
// Candidate.FinishReason of the Gemini API. ok is false for one that has no
// neutral form; StopNone then means that the answer is none.
func stopOf(reason word) (stop llm.Stop, ok bool) {
	switch reason {
	case "STOP", "1":
		return llm.StopEnd, true
	case "MAX_TOKENS", "2":
		return llm.StopLength, true
	case "SAFETY", "3", "RECITATION", "4", "LANGUAGE", "6", "BLOCKLIST", "7", "PROHIBITED_CONTENT", "8", "SPII", "9", "IMAGE_SAFETY", "11",
		"MODEL_ARMOR", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION":
		return llm.StopFilter, true
	case "CONTINUATION":
		return llm.StopPause, true
	case "MALFORMED_FUNCTION_CALL", "10", "UNEXPECTED_TOOL_CALL", "12", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE", "MALFORMED_RESPONSE":
		return llm.StopNone, false
	}
	return llm.StopEnd, false
}

// part reads a part of an answer.
func (a *answer) part(dst []llm.Event, n int, p *part) []llm.Event {
	if a.pieces != nil && (p.FunctionCall == nil || p.FunctionCall.Name != "") {
		dst = a.ended(dst, n)
	}
	kind := llm.BlockText
	if p.Thought {
		kind = llm.BlockThinking
	}
	hosted, step := p.hosted()
	switch {
	case p.FunctionCall != nil:
		return a.called(dst, n, p)
	case p.InlineData != nil || p.FileData != nil:
		b := media(p.InlineData, p.FileData)
		dst = a.sealed(dst, n, p.ThoughtSignature)
		return a.whole(dst, n, b, "")
	case hosted != "":
		dst = a.sealed(dst, n, p.ThoughtSignature)
		return a.whole(dst, n, llm.Block{Kind: llm.BlockHosted, Name: hosted}, string(compact(step)))
	case p.Text == nil && p.ThoughtSignature == "":
		return dst
	}
	text := ""
	if p.Text != nil {
		text = *p.Text
	}
	if kind == llm.BlockText {
		dst = a.sealed(dst, n, p.ThoughtSignature)
	}
	if text != "" || kind == llm.BlockThinking && p.ThoughtSignature != "" {
		dst = a.begin(dst, n, kind)
	}
	if text != "" {
		a.seen += len(text)
		if kind == llm.BlockText && len(a.probs) > 0 {
			dst = append(dst, llm.Event{Kind: llm.EventLogProbs, Answer: n, Index: a.blocks - 1, LogProbs: a.probs})
			a.probs = nil
		}
		dst = append(dst, llm.Event{Kind: llm.EventDelta, Answer: n, Index: a.blocks - 1, Text: text})
		if kind == llm.BlockText && len(a.text)+len(text) <= maxHeld {
			a.text = append(a.text, text...)
		}
	}
	if kind == llm.BlockThinking && p.ThoughtSignature != "" {
		dst = append(dst, llm.Event{Kind: llm.EventSeal, Answer: n, Index: a.blocks - 1, Block: own(p.ThoughtSignature)})
		dst = a.close(dst, n)
	}
	return dst
}

func own(signature string) *llm.Block {
	return &llm.Block{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoGemini, Data: signature}}
}

// begin opens a block of text or thinking, unless one is open.
func (a *answer) begin(dst []llm.Event, n int, kind llm.BlockKind) []llm.Event {
	if a.isOpen && a.open == kind {
		return dst
	}
	dst = a.close(dst, n)
	a.open, a.isOpen, a.text = kind, true, a.text[:0]
	a.blocks++
	return append(dst, llm.Event{Kind: llm.EventBlock, Answer: n, Index: a.blocks - 1, Block: &llm.Block{Kind: kind}})
}

// close ends the block that is open, if any.
func (a *answer) close(dst []llm.Event, n int) []llm.Event {
	if !a.isOpen {
		return dst
	}
	a.isOpen = false
	return append(dst, llm.Event{Kind: llm.EventBlockEnd, Answer: n, Index: a.blocks - 1})
}

// whole adds a block that came whole.
func (a *answer) whole(dst []llm.Event, n int, b llm.Block, text string) []llm.Event {
	dst = a.close(dst, n)
	a.seen += len(text)
	at := a.blocks
	a.blocks++
	dst = append(dst, llm.Event{Kind: llm.EventBlock, Answer: n, Index: at, Block: &b})
	if text != "" {
		dst = append(dst, llm.Event{Kind: llm.EventDelta, Answer: n, Index: at, Text: text})
	}
	return append(dst, llm.Event{Kind: llm.EventBlockEnd, Answer: n, Index: at})
}

// sealed adds the thinking whose signature came with the part that follows.
func (a *answer) sealed(dst []llm.Event, n int, signature string) []llm.Event {
	if signature == "" {
		return dst
	}
	dst = a.close(dst, n)
	at := a.blocks
	a.blocks++
	return append(dst,
		llm.Event{Kind: llm.EventBlock, Answer: n, Index: at, Block: &llm.Block{Kind: llm.BlockThinking}},
		llm.Event{Kind: llm.EventSeal, Answer: n, Index: at, Block: own(signature)},
		llm.Event{Kind: llm.EventBlockEnd, Answer: n, Index: at})
}

// called reads a call, whole or a piece of one.
func (a *answer) called(dst []llm.Event, n int, p *part) []llm.Event {
	c := p.FunctionCall
	dst = a.sealed(dst, n, p.ThoughtSignature)
	if a.pieces == nil && !c.WillContinue && len(c.PartialArgs) == 0 {
		return a.tool(dst, n, c.ID, c.Name, c.Args)
	}
	if a.pieces == nil {
		a.pieces = &pieces{id: c.ID, name: c.Name}
	}
	a.pieces.add(c)
	if !c.WillContinue {
		dst = a.ended(dst, n)
	}
	return dst
}

// ended adds the call whose pieces have come.
func (a *answer) ended(dst []llm.Event, n int) []llm.Event {
	p := a.pieces
	if p == nil {
		return dst
	}
	a.pieces = nil
	return a.tool(dst, n, p.id, p.name, p.args())
}

// tool adds a call.
func (a *answer) tool(dst []llm.Event, n int, id, name string, args jsontext.Value) []llm.Event {
	text := string(compact(args))
	if scan.Null(args) {
		text = "{}"
	}
	if id == "" {
		id = "call_" + strconv.FormatUint(rand.Uint64(), 36)
	}
	a.calls = true
	return a.whole(dst, n, llm.Block{Kind: llm.BlockCall, ID: id, Name: name}, text)
}

// grounds adds the sources of the text that is open. Offsets are bytes of a
// part; they are known for a text that is one part.
func (d *decoder) grounds(dst []llm.Event, n int, a *answer, g *grounding) []llm.Event {
	d.searches = max(d.searches, int64(len(g.WebSearchQueries)))
	source := func(i int) (c llm.Cite, ok bool) {
		if i < 0 || i >= len(g.GroundingChunks) {
			return c, false
		}
		k := g.GroundingChunks[i]
		for _, s := range [...]ground{k.Web, k.RetrievedContext, k.Maps} {
			if s != (ground{}) {
				return llm.Cite{URL: s.URI, Title: s.Title, Quote: s.Text}, true
			}
		}
		return c, false
	}
	for _, s := range g.GroundingSupports {
		for _, i := range s.GroundingChunkIndices {
			c, ok := source(int(i))
			if !ok {
				continue
			}
			start, end := s.Segment.StartIndex, s.Segment.EndIndex
			if s.Segment.PartIndex != 0 {
				start, end = 0, 0
			}
			dst = a.cite(dst, n, c, start, end)
		}
	}
	if len(g.GroundingSupports) == 0 {
		for i := range g.GroundingChunks {
			if c, ok := source(i); ok {
				dst = a.cite(dst, n, c, 0, 0)
			}
		}
	}
	return dst
}

// cite adds a source of the open text; start and end are bytes in it.
func (a *answer) cite(dst []llm.Event, n int, c llm.Cite, start, end number) []llm.Event {
	if !a.isOpen || a.open != llm.BlockText || a.cites == maxCites {
		return dst
	}
	a.cites++
	if start >= 0 && start < end && int(end) <= len(a.text) {
		c.Start = utf8.RuneCount(a.text[:start])
		c.End = c.Start + utf8.RuneCount(a.text[start:end])
	}
	return append(dst, llm.Event{Kind: llm.EventCite, Answer: n, Index: a.blocks - 1, Cite: &c})
}

// End ends what is open. See wire.Decoder.
func (d *decoder) End(dst []llm.Event) ([]llm.Event, bool) {
	for n, a := range d.answers {
		if a != nil { // else a gap in the vendor's numbers
			dst = a.close(dst, n)
		}
	}
	return dst, d.blocked || len(d.answers) > 0 && d.finished()
}

// unfinished ends the candidates of a whole answer that give no reason for
// their end: the answer's own end is one. Of chunks that it was collected of,
// some may be missing.
func (d *decoder) unfinished(dst []llm.Event, chunks int) []llm.Event {
	for n, a := range d.answers {
		if chunks == 1 && a != nil && !a.stopped {
			dst, _ = d.finish(dst, n, a, "") // no reason is none that fails
		}
	}
	return dst
}

// Reply reads a whole answer. See wire.Vendor.
func (Codec) Reply(call *wire.Call, body []byte) (*llm.Reply, *llm.Error) {
	if call == nil {
		call = &wire.Call{}
	}
	chunks := [][]byte{body}
	if jsontext.Value(body).Kind() == '[' { // a stream's answer, collected
		chunks = nil
		if err := scan.Elements(body, func(e []byte) bool { chunks = append(chunks, e); return true }); err != nil {
			return nil, misread(err)
		}
	}
	d := &decoder{call: call}
	var all llm.Collector
	var events []llm.Event
	for _, c := range chunks {
		var bad *llm.Error
		if events, bad = d.Event(events[:0], wire.Frame{Data: c}); bad != nil {
			return nil, bad
		}
		all.Add(events...)
	}
	events = d.unfinished(events[:0], len(chunks))
	events, whole := d.End(events)
	all.Add(events...)
	if !whole {
		return nil, misread(errors.New("no candidate that is whole"))
	}
	r := all.Reply()
	r.Answers = slices.Clip(r.Answers)
	return r, nil
}
