package llm

import "strings"

import "slices"

// Chat is a conversation and what is asked of it, in no vendor's words: what
// at least two protocols can say. It is immutable once decoded.
type Chat struct {
	Messages []Message
	// Open: the last message is the beginning of the answer, to be gone on with.
	Open   bool
	Tools  []Tool
	Choice Choice
	// Serial: at most one tool call in an answer.
	Serial bool

	MaxOutput        int64 // tokens, 0 for none given
	Temperature      *float64
	TopP             *float64
	TopK             *int64
	FrequencyPenalty *float64
	PresencePenalty  *float64
	Seed             *int64
	Stop             []string
	N                int  // answers, at least 1
	LogProbs         bool // log probabilities are asked for
	TopLogProbs      int64
	User             string // the end user
	Metadata         []Pair
	Tier             string // auto, default, flex, priority, as OpenAI writes them
	CacheKey         string // groups requests that share a prompt's beginning
	Verbosity        string // low, medium, high
	Store            *bool
	Reasoning        Reasoning
	Format           Format

	// Left are fields of the client's protocol that have no place here.
	Left []Left
}

// Left is a field that only the client's own protocol has.
type Left struct {
	Name string // as the client wrote it, with its path: "logit_bias"
	// Must: without it the answer would be another one, so that a vendor that
	// cannot be told of it must not be asked. false: it was a hint.
	Must bool
}

// Pair is a name and a value.
type Pair struct{ Name, Value string }

// Role is who speaks.
type Role uint8

// The roles. Tool results are blocks of user messages.
const (
	RoleUser Role = iota
	RoleAssistant
	RoleSystem // system and developer
)

// Message is one turn.
type Message struct {
	Role   Role
	Blocks []Block
}

// BlockKind is what a block holds.
type BlockKind uint8

// The kinds.
const (
	BlockText BlockKind = iota
	BlockRefusal
	BlockThinking
	BlockImage
	BlockAudio
	BlockFile
	BlockCall   // a tool is called
	BlockResult // what a called tool gave
	BlockHosted // a step of a tool that the vendor runs; only its own protocol can say it
)

// Block is a piece of a message.
type Block struct {
	Kind BlockKind
	// Text is the text, the refusal, the visible thinking ("" if none is
	// shown); of a call the arguments: a JSON object as text, which may be
	// broken, or the plain input of a custom tool.
	Text string
	// ID is the call's id in calls and results; of thinking the maker's id.
	ID string
	// Name is the called tool's; of a file its name.
	Name   string
	Custom bool    // a call of a custom tool
	Failed bool    // a result that is an error
	Result []Block // of a result: text, images, files
	Media  *Media  // of an image, audio or file
	Seal   Seal    // of thinking
	Cites  []Cite  // what a text rests on
	Cache  Cache   // the prompt up to and with this block is worth keeping
	// LogProbs are the tokens of an answer's text or refusal, where they were
	// asked for and the vendor tells them.
	LogProbs []LogProb
}

// LogProb is how likely a token was.
type LogProb struct {
	Token   string
	Bytes   []byte // of the token, which may be no whole characters; nil: those of Token
	LogProb float64
	Top     []LogProb // the likeliest in its place, without a Top of their own
}

// Cite is a source that a text rests on.
type Cite struct {
	URL   string
	Title string
	Quote string // of the source, "" if unknown
	// Start and End are where in the text, in characters; both 0 if unknown.
	Start, End int
}

// Media is the content of an image, audio or file. One of Data, URL, FileID
// and Text is set.
type Media struct {
	MIME   string // "" if unknown
	Data   string // standard base64 with padding
	URL    string
	FileID string // id at the vendor that the client uploaded it to
	Text   string // a document as plain text
	Detail string // of an image: low, high, auto; "" for none given
}

// Video reports whether it is a video, which only few models see.
func (m *Media) Video() bool { return m != nil && strings.HasPrefix(m.MIME, "video/") }

// Seal is a proof of thinking that only its maker can read: Anthropic's
// signature and redacted data, OpenAI's encrypted content, Gemini's thought
// signature. It goes back byte for byte, and only to its maker. A seal of
// Gemini's belongs to the block that follows.
type Seal struct {
	Maker    Proto  // 0: no seal
	Data     string // as the maker wrote it
	Redacted bool   // Anthropic's redacted_thinking: Data is all there is
}

// Cache is how long a marked prompt prefix should be kept.
type Cache uint8

// The times. CacheShort is the vendor's default, 5 minutes at Anthropic.
const (
	CacheNone Cache = iota
	CacheShort
	CacheHour
)

// ToolKind tells tools apart.
type ToolKind uint8

// The kinds.
const (
	ToolFunction ToolKind = iota
	ToolCustom            // takes plain text
	ToolSearch            // the vendor searches the web
	ToolFinder            // a function by which the model finds more tools of the client's
)

// Tool is what a model may call.
type Tool struct {
	Kind ToolKind
	Name string
	// Space is the namespace that the client put the tool in, "" for none, and
	// Short what it is called there; Name is one for all namespaces.
	Space, Short string
	Description  string
	Schema       []byte // JSON Schema of the arguments, nil for none
	Strict       *bool
	Grammar      []byte // of a custom tool: its format, as OpenAI writes it; nil for any text
	Cache        Cache
}

// ChoiceMode says whether tools are called.
type ChoiceMode uint8

// The modes.
const (
	ChoiceUnset ChoiceMode = iota
	ChoiceAuto
	ChoiceNone
	ChoiceAny // at least one
)

// Choice is which tools may or must be called.
type Choice struct {
	Mode  ChoiceMode
	Names []string // only these; with ChoiceAny and one name: that one
}

// Hosted reports whether the request depends on the tools that only its own
// vendor can run: nothing else may be called. An agent lists them beside its
// functions, and works without them.
func (c *Chat) Hosted() bool {
	for i := range c.Tools {
		t := &c.Tools[i]
		if t.Kind != ToolSearch && (len(c.Choice.Names) == 0 || slices.Contains(c.Choice.Names, t.Name)) {
			return false
		}
	}
	return c.Choice.Mode != ChoiceNone
}

// Reasoning is how much a model should think before it answers.
type Reasoning struct {
	// Effort is none, minimal, low, medium, high, xhigh or max; "" if not
	// given.
	Effort string
	// Budget is the bound in tokens; 0 if not given, -1 as many as the model
	// likes.
	Budget int64
	// Summary asks to see the thinking: auto, concise or detailed; "" if it
	// was not asked for.
	Summary string
	// Encrypted: seals are wanted in the answer.
	Encrypted bool
}

// On reports whether thinking was asked for.
func (r Reasoning) On() bool { return r.Budget != 0 || r.Effort != "" && r.Effort != "none" }

// FormatKind is the form that the text of an answer must have.
type FormatKind uint8

// The kinds.
const (
	FormatText FormatKind = iota
	FormatJSON            // any JSON object
	FormatSchema
)

// Format is the form that the text of an answer must have.
type Format struct {
	Kind        FormatKind
	Name        string
	Description string
	Schema      []byte
	Strict      *bool
}

// Stop is why an answer ended.
type Stop uint8

// The reasons.
const (
	StopNone     Stop = iota // not yet
	StopEnd                  // the model was done
	StopSequence             // at a stop sequence
	StopLength               // at the bound of output tokens
	StopContext              // at the end of the model's context
	StopTools                // tools are to be called
	StopFilter               // a filter of the vendor's cut it
	StopRefusal              // the model refused
	StopPause                // the vendor's own tools run on; ask again
)

// Reply is a whole answer.
type Reply struct {
	ID      string // the vendor's, "" if it sent none
	Model   string // as the vendor calls it
	Created int64  // Unix seconds, 0 if unknown
	Answers []Answer
	Usage   *Usage // nil if the vendor did not count
}

// Answer is one of the answers of a reply.
type Answer struct {
	Blocks   []Block
	Stop     Stop
	Sequence string // the stop sequence, "" if unknown
}

// EventKind is what an Event says.
type EventKind uint8

// The kinds. An answer is Start, then for each block Block, LogProbs, Delta and
// Seal in any number, BlockEnd; then Stop. Usage may come at any time and replaces
// what came before. Blocks of one answer may be open at the same time.
const (
	EventStart    EventKind = iota + 1 // ID, Model, Created
	EventBlock                         // a block begins: Block without its text
	EventDelta                         // more Text of the block
	EventSeal                          // the block's seal, and its id: Block
	EventCite                          // a source of the block's text: Cite
	EventBlockEnd                      // the block is whole
	EventStop                          // Stop, Sequence: the answer is whole
	EventUsage                         // Usage
	EventLogProbs                      // of the tokens of the block's next text: LogProbs
)

// Event is a piece of a streamed answer.
type Event struct {
	Kind     EventKind
	Answer   int // which answer, from 0
	Index    int // which block of the answer, from 0 in the order they begin
	Block    *Block
	Text     string
	Cite     *Cite
	Stop     Stop
	Sequence string
	ID       string
	Model    string
	Created  int64
	Usage    *Usage
	LogProbs []LogProb
}

// Events appends the reply as a stream would have brought it.
func (r *Reply) Events(dst []Event) []Event {
	dst = append(dst, Event{Kind: EventStart, ID: r.ID, Model: r.Model, Created: r.Created})
	for n, a := range r.Answers {
		for i := range a.Blocks {
			b := a.Blocks[i]
			text, seal := b.Text, b.Seal
			probs := b.LogProbs
			b.Text, b.Cites, b.LogProbs, b.Seal = "", nil, nil, Seal{Redacted: seal.Redacted}
			dst = append(dst, Event{Kind: EventBlock, Answer: n, Index: i, Block: &b})
			if len(probs) > 0 {
				dst = append(dst, Event{Kind: EventLogProbs, Answer: n, Index: i, LogProbs: probs})
			}
			if text != "" {
				dst = append(dst, Event{Kind: EventDelta, Answer: n, Index: i, Text: text})
			}
			for c := range a.Blocks[i].Cites {
				dst = append(dst, Event{Kind: EventCite, Answer: n, Index: i, Cite: &a.Blocks[i].Cites[c]})
			}
			if seal.Maker != 0 {
				dst = append(dst, Event{Kind: EventSeal, Answer: n, Index: i, Block: &a.Blocks[i]})
			}
			dst = append(dst, Event{Kind: EventBlockEnd, Answer: n, Index: i})
		}
		dst = append(dst, Event{Kind: EventStop, Answer: n, Stop: a.Stop, Sequence: a.Sequence})
	}
	if r.Usage != nil {
		dst = append(dst, Event{Kind: EventUsage, Usage: r.Usage})
	}
	return dst
}

// Collector makes a Reply of events. The zero value is ready.
type Collector struct {
	reply Reply
	text  map[[2]int][]byte
}

// maxAnswers bounds the answers of one reply; OpenAI's bound of n.
const maxAnswers = 128

// Add takes the next events. Those that name a block which did not begin are
// ignored.
func (c *Collector) Add(events ...Event) {
	for i := range events {
		c.add(&events[i])
	}
}

func (c *Collector) add(e *Event) {
	switch e.Kind {
	case EventStart:
		c.reply.ID, c.reply.Model, c.reply.Created = e.ID, e.Model, e.Created
		return
	case EventUsage:
		c.reply.Usage = e.Usage
		return
	}
	if e.Answer < 0 || e.Answer >= maxAnswers {
		return
	}
	for len(c.reply.Answers) <= e.Answer {
		c.reply.Answers = append(c.reply.Answers, Answer{})
	}
	a := &c.reply.Answers[e.Answer]
	if e.Kind == EventStop {
		a.Stop, a.Sequence = e.Stop, e.Sequence
		return
	}
	if e.Kind == EventBlock {
		if e.Index == len(a.Blocks) {
			a.Blocks = append(a.Blocks, *e.Block)
		}
		return
	}
	if e.Index < 0 || e.Index >= len(a.Blocks) {
		return
	}
	b := &a.Blocks[e.Index]
	switch e.Kind {
	case EventDelta:
		if c.text == nil {
			c.text = map[[2]int][]byte{}
		}
		at := [2]int{e.Answer, e.Index}
		c.text[at] = append(c.text[at], e.Text...)
	case EventCite:
		b.Cites = append(b.Cites, *e.Cite)
	case EventLogProbs:
		b.LogProbs = append(b.LogProbs, e.LogProbs...)
	case EventSeal:
		b.Seal = e.Block.Seal
		if e.Block.ID != "" {
			b.ID = e.Block.ID
		}
	}
}

// Size is how many bytes of memory a Collector keeps of the event, roughly.
func (e *Event) Size() int {
	n := len(e.Text) + probsSize(e.LogProbs)
	switch {
	case e.Kind == EventBlock && e.Block != nil:
		n += blockSize + len(e.Block.Text) + len(e.Block.ID) + len(e.Block.Name) + len(e.Block.Seal.Data) + probsSize(e.Block.LogProbs)
		if m := e.Block.Media; m != nil {
			n += len(m.Data) + len(m.URL) + len(m.Text)
		}
	case e.Kind == EventSeal && e.Block != nil:
		n += len(e.Block.Seal.Data)
	case e.Cite != nil:
		n += citeSize + len(e.Cite.URL) + len(e.Cite.Title) + len(e.Cite.Quote)
	}
	return n
}

// What a block takes beside its text, with its place in the map of texts, a cite,
// and a token's probability.
const (
	blockSize = 300
	citeSize  = 64
	probSize  = 72
)

func probsSize(all []LogProb) (n int) {
	for i := range all {
		n += probSize + len(all[i].Token) + len(all[i].Bytes) + probsSize(all[i].Top)
	}
	return n
}

// Reply returns what the events so far make.
func (c *Collector) Reply() *Reply {
	for at, text := range c.text {
		c.reply.Answers[at[0]].Blocks[at[1]].Text += string(text)
	}
	clear(c.text)
	return &c.reply
}
