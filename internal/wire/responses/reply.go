package responses

import (
	"strconv"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/openai"
)

// answer is a response as it is told to a client.
type answer struct {
	req      *llm.Request
	echo     []byte               // the members that repeat the request
	tools    map[string]*llm.Tool // those whose calls say more than their name
	id       string
	model    string
	created  int64
	items    []*outItem
	stop     llm.Stop
	usage    *llm.Usage
	stopped  bool
	declined bool // a part is a refusal
}

// outItem is an item of the output. A message has one block or more, every
// other item one.
type outItem struct {
	kind   llm.BlockKind // BlockText for a message
	custom bool
	id     string
	blocks []*outBlock
	closed bool
	status string
}

// outBlock is a block of the answer.
type outBlock struct {
	item  *outItem
	tool  *llm.Tool // that a call is of, if the call says more than its name
	index int       // of the item in the output
	part  int       // of the block in a message
	kind  llm.BlockKind
	block llm.Block // without its text
	text  []byte
	notes [][]byte // annotations
	probs []byte   // the log probabilities of its tokens, as elements of a list
	fresh int      // how many bytes of them a delta has told
	begun bool     // the part was opened in a stream
	ended bool
}

// idPrefix begins the ids of responses. Clients tell by it what they may go
// on from (LangChain), so that an id of another protocol's is replaced.
const idPrefix = "resp_"

// start takes the answer's id, model and time; what the vendor did not send is
// made up.
func (a *answer) start(id, model string, created int64) {
	if a.id = id; !strings.HasPrefix(id, idPrefix) {
		a.id = idPrefix + a.req.ID
	}
	if a.model = model; model == "" {
		a.model = a.req.Model
	}
	if a.created = created; created == 0 {
		a.created = time.Now().Unix()
	}
	a.echo = appendEcho(nil, a.req)
	if a.req.Body == nil {
		return
	}
	if c, err := a.req.Body.Chat(); err == nil {
		for i := range c.Tools {
			if t := &c.Tools[i]; t.Space != "" || t.Kind == llm.ToolFinder {
				if a.tools == nil {
					a.tools = map[string]*llm.Tool{}
				}
				a.tools[t.Name] = t
			}
		}
	}
}

// take makes room for a block in the output: a text joins the message that is
// still open, anything else is an item of its own. It returns nil for a block
// that the protocol's answers cannot hold.
func (a *answer) take(b *llm.Block) *outBlock {
	o := &outBlock{kind: b.Kind, block: *b}
	o.block.Text = ""
	prefix := ""
	kind := b.Kind
	switch b.Kind {
	case llm.BlockText, llm.BlockRefusal:
		a.declined = a.declined || b.Kind == llm.BlockRefusal
		kind, prefix = llm.BlockText, "msg_"
		if n := len(a.items); n > 0 && a.items[n-1].kind == llm.BlockText && !a.items[n-1].closed {
			o.item, o.index = a.items[n-1], n-1
			o.part = len(o.item.blocks)
			o.item.blocks = append(o.item.blocks, o)
			return o
		}
	case llm.BlockThinking:
		prefix = "rs_"
	case llm.BlockCall:
		o.tool = a.tools[b.Name]
		switch {
		case b.Custom:
			prefix = "ctc_"
		case o.found():
			prefix = "tsc_"
		default:
			prefix = "fc_"
		}
	case llm.BlockImage:
		if prefix = "ig_"; b.Media == nil || b.Media.Data == "" {
			return nil
		}
	default:
		return nil
	}
	o.index = len(a.items)
	o.item = &outItem{kind: kind, custom: b.Custom, id: prefix + a.req.ID + "_" + strconv.Itoa(o.index), blocks: []*outBlock{o}, status: "in_progress"}
	if b.Kind == llm.BlockThinking && b.ID != "" && (b.Seal.Maker == llm.ProtoResponses || b.Seal.Maker == 0) {
		o.item.id = b.ID
	}
	if b.Kind == llm.BlockCall && b.ID == "" {
		o.block.ID = wire.NewCallID()
	}
	a.items = append(a.items, o.item)
	return o
}

// note takes a source of a text; false for one that has no address.
func (o *outBlock) note(c *llm.Cite) bool {
	if c == nil || c.URL == "" || o.kind != llm.BlockText {
		return false
	}
	b := appendInt([]byte(`{"type":"url_citation","start_index":`), int64(c.Start))
	b = appendInt(append(b, `,"end_index":`...), int64(c.End))
	b = wire.AppendString(append(b, `,"url":`...), c.URL)
	b = append(wire.AppendString(append(b, `,"title":`...), c.Title), '}')
	o.notes = append(o.notes, b)
	return true
}

// maxProbs bounds the log probabilities of one text, in bytes.
const maxProbs = 32 << 20

// likely takes the log probabilities of tokens of a text.
func (o *outBlock) likely(list []llm.LogProb) {
	if len(list) == 0 || o.kind != llm.BlockText || len(o.probs) > maxProbs {
		return
	}
	if len(o.probs) > 0 {
		o.probs = append(o.probs, ',')
	}
	o.probs = openai.AppendLogProbs(o.probs, list)
}

// AppendReply appends a whole answer. See wire.Client.
func (Codec) AppendReply(dst []byte, req *llm.Request, r *llm.Reply) []byte {
	a := answer{req: req}
	a.start(r.ID, r.Model, r.Created)
	a.usage = r.Usage
	if len(r.Answers) > 0 {
		a.stop = r.Answers[0].Stop
		for i := range r.Answers[0].Blocks {
			b := &r.Answers[0].Blocks[i]
			o := a.take(b)
			if o == nil {
				continue
			}
			o.text = append(o.text, b.Text...)
			o.likely(b.LogProbs)
			for c := range b.Cites {
				o.note(&b.Cites[c])
			}
		}
	}
	a.settle()
	return a.appendResponse(dst, a.status(), true, nil)
}

// settle gives the items their last status: the last one of an answer that
// was cut is incomplete.
func (a *answer) settle() {
	for i, it := range a.items {
		if it.status == "in_progress" {
			it.status = "completed"
			if i == len(a.items)-1 && a.status() != "completed" {
				it.status = "incomplete"
			}
		}
	}
}

// status is what a stop means for the response.
func (a *answer) status() string {
	switch a.stop {
	case llm.StopLength, llm.StopContext, llm.StopFilter, llm.StopPause:
		return "incomplete"
	case llm.StopRefusal:
		if !a.declined {
			return "incomplete"
		}
	}
	return "completed"
}

// appendResponse appends the response object. full is false for those at the
// beginning of a stream, which have no output yet; failure is set where the
// status is failed.
func (a *answer) appendResponse(dst []byte, status string, full bool, failure *llm.Error) []byte {
	dst = wire.AppendString(append(dst, `{"id":`...), a.id)
	dst = appendInt(append(dst, `,"object":"response","created_at":`...), a.created)
	dst = append(append(append(dst, `,"status":"`...), status...), `","error":`...)
	if failure == nil {
		dst = append(dst, "null"...)
	} else {
		dst = append(append(append(dst, `{"code":"`...), failedCode(failure)...), `","message":`...)
		dst = append(wire.AppendString(dst, failure.Message), '}')
	}
	dst = append(dst, `,"incomplete_details":`...)
	switch {
	case status != "incomplete" || a.stop == llm.StopPause:
		dst = append(dst, "null"...)
	case a.stop == llm.StopFilter || a.stop == llm.StopRefusal:
		dst = append(dst, `{"reason":"content_filter"}`...)
	default:
		dst = append(dst, `{"reason":"max_output_tokens"}`...)
	}
	dst = wire.AppendString(append(dst, `,"model":`...), a.model)
	dst = append(dst, `,"output":[`...)
	if full {
		for i, it := range a.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = it.append(dst)
		}
	}
	dst = append(append(dst, ']'), a.echo...)
	if full && failure == nil || a.usage != nil {
		dst = appendUsage(append(dst, `,"usage":`...), a.usage)
	}
	if a.usage != nil && a.usage.Tier != llm.TierStandard {
		dst = append(append(append(dst, `,"service_tier":"`...), a.usage.Tier.String()...), '"')
	}
	if a.usage != nil && a.usage.Searches > 0 {
		dst = append(appendInt(append(dst, `,"tool_usage":{"web_search":{"num_requests":`...), a.usage.Searches), "}}"...)
	}
	return append(dst, '}')
}

// append appends the item as it is now.
func (it *outItem) append(dst []byte) []byte {
	o := it.blocks[0]
	dst = append(append(append(dst, `{"id":`...), wire.AppendString(nil, it.id)...), `,"type":"`...)
	switch it.kind {
	case llm.BlockThinking:
		dst = append(dst, typeReasoning+`","summary":[`...)
		if len(o.text) > 0 {
			dst = append(o.appendSummary(dst), '}')
		}
		dst = append(dst, ']')
		if o.block.Seal.Maker != 0 {
			dst = wire.AppendString(append(dst, `,"encrypted_content":`...), o.seal())
		}
		return append(dst, '}')
	case llm.BlockImage:
		dst = append(append(append(dst, typeImageCall+`","status":"`...), it.status...), `","output_format":`...)
		dst = append(wire.AppendString(dst, strings.TrimPrefix(o.block.Media.MIME, "image/")), `,"result":`...)
		if it.status == "in_progress" {
			return append(dst, "null}"...)
		}
		return append(wire.AppendString(dst, o.block.Media.Data), '}')
	case llm.BlockCall:
		if o.found() {
			dst = append(append(append(dst, typeFinderCall+`","execution":"client","status":"`...), it.status...), `","arguments":`...)
			dst = appendValue(dst, o.arguments(), `{}`)
			return append(wire.AppendString(append(dst, `,"call_id":`...), o.block.ID), '}')
		}
		kind, input := typeCall, `","arguments":`
		if it.custom {
			kind, input = typeCustomCall, `","input":`
		}
		dst = append(append(append(append(dst, kind...), `","status":"`...), it.status...), input...)
		dst = wire.AppendString(dst, string(o.arguments()))
		dst = wire.AppendString(append(dst, `,"call_id":`...), o.block.ID)
		if o.tool != nil {
			dst = wire.AppendString(append(dst, `,"namespace":`...), o.tool.Space)
		}
		return append(wire.AppendString(append(dst, `,"name":`...), o.name()), '}')
	}
	dst = append(append(append(dst, typeMessage+`","status":"`...), it.status...), `","role":"assistant","content":[`...)
	n := 0
	for _, o := range it.blocks {
		if it.status == "in_progress" && !o.begun {
			continue
		}
		if n++; n > 1 {
			dst = append(dst, ',')
		}
		dst = o.appendPart(dst)
	}
	return append(dst, "]}"...)
}

// name is what the client calls the tool of a call.
func (o *outBlock) name() string {
	if o.tool != nil {
		return o.tool.Short
	}
	return o.block.Name
}

// found reports whether a call is a search of the client's tools, which has an
// item of its own and no events for its arguments.
func (o *outBlock) found() bool { return o.tool != nil && o.tool.Kind == llm.ToolFinder }

// arguments are those of a call; none are an empty object, but for a custom
// tool and a call that has just begun.
func (o *outBlock) arguments() []byte {
	if len(o.text) == 0 && !o.block.Custom && o.item.status != "in_progress" {
		return []byte("{}")
	}
	return o.text
}

// seal is what the client sends back: the vendor's own, or what stands for
// that of another protocol.
func (o *outBlock) seal() string {
	if o.block.Seal.Maker == llm.ProtoResponses {
		return o.block.Seal.Data
	}
	return wire.WrapSeal(&o.block)
}

func (o *outBlock) appendSummary(dst []byte) []byte {
	return wire.AppendString(append(dst, `{"type":"`+typeSummaryText+`","text":`...), string(o.text))
}

// appendPart appends the part of a message that the block is.
func (o *outBlock) appendPart(dst []byte) []byte {
	if o.kind == llm.BlockRefusal {
		return append(wire.AppendString(append(dst, `{"type":"refusal","refusal":`...), string(o.text)), '}')
	}
	dst = append(dst, `{"type":"output_text","annotations":[`...)
	for i, n := range o.notes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, n...)
	}
	dst = append(append(append(dst, `],"logprobs":[`...), o.probs...), ']')
	return append(wire.AppendString(append(dst, `,"text":`...), string(o.text)), '}')
}

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }
