package openai

import (
	"bytes"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// lenient are the options by which foreign JSON is read: what only passes
// through is not ours to refuse.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// loose is a string; any other value reads as "".
type loose string

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (s *loose) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*s = ""
	if dec.PeekKind() != '"' {
		return dec.SkipValue()
	}
	tok, err := dec.ReadToken()
	*s = loose(tok.String())
	return err
}

// number is a number without its fraction; any other value reads as absent.
type number struct {
	n  int64
	ok bool
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (c *number) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*c = number{}
	if dec.PeekKind() != '0' {
		return dec.SkipValue()
	}
	tok, err := dec.ReadToken()
	if err != nil {
		return err
	}
	c.n, _ = tok.Int() // the error tells of a fraction
	c.ok = true
	return nil
}

// rawText is a string, or any other value as its JSON text; null reads as "".
type rawText string

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (s *rawText) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if k := dec.PeekKind(); k == '"' || k == 'n' {
		return (*loose)(s).UnmarshalJSONFrom(dec)
	}
	v, err := dec.ReadValue()
	*s = rawText(v)
	return err
}

// content is the content of a message: a string, or an array of parts.
type content struct {
	text  string
	parts jsontext.Value // nil if it is a string or absent
	null  bool
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (c *content) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*c = content{}
	switch dec.PeekKind() {
	case '[':
		v, err := dec.ReadValue()
		c.parts = bytes.Clone(v)
		return err
	case 'n':
		c.null = true
	}
	return (*loose)(&c.text).UnmarshalJSONFrom(dec)
}

// message is what requests, answers and deltas have in common.
type message struct {
	Role             loose          `json:"role"`
	Content          content        `json:"content"`
	Refusal          loose          `json:"refusal"`
	ReasoningContent loose          `json:"reasoning_content"`
	Reasoning        loose          `json:"reasoning"`
	Details          jsontext.Value `json:"reasoning_details"`
	ToolCalls        []toolCall     `json:"tool_calls"`
	FunctionCall     *function      `json:"function_call"`
	Audio            *audio         `json:"audio"`
	Images           jsontext.Value `json:"images"`
	Annotations      jsontext.Value `json:"annotations"`
	Extra            *extraContent  `json:"extra_content"`
}

// thinking is the thinking that is to be seen.
func (m *message) thinking() string {
	if m.ReasoningContent != "" {
		return string(m.ReasoningContent)
	}
	return string(m.Reasoning)
}

type toolCall struct {
	Index    number        `json:"index"`
	ID       loose         `json:"id"`
	Type     loose         `json:"type"`
	Function *function     `json:"function"`
	Custom   *custom       `json:"custom"`
	Extra    *extraContent `json:"extra_content"`
	Cache    *cacheControl `json:"cache_control"`
}

// isCustom: some vendors send every member that there is, empty.
func (t *toolCall) isCustom() bool {
	return t.Custom != nil && (t.Function == nil || t.Type == "custom")
}

type function struct {
	Name      loose   `json:"name"`
	Arguments rawText `json:"arguments"`
}

type custom struct {
	Name  loose `json:"name"`
	Input loose `json:"input"`
}

type audio struct {
	ID         loose `json:"id"`
	Data       loose `json:"data"`
	Transcript loose `json:"transcript"`
}

// extraContent is where Google's compatible API has its thought signatures.
type extraContent struct {
	Google struct {
		Signature loose `json:"thought_signature"`
	} `json:"google"`
}

// seal is Google's signature in x, "" if there is none.
func (x *extraContent) seal() string {
	if x == nil {
		return ""
	}
	return string(x.Google.Signature)
}

// cacheControl is Anthropic's marker as OpenRouter takes it.
type cacheControl struct {
	Type loose `json:"type"`
	TTL  loose `json:"ttl"`
}

func (c *cacheControl) cache() llm.Cache {
	switch {
	case c == nil:
		return llm.CacheNone
	case c.TTL == "1h":
		return llm.CacheHour
	}
	return llm.CacheShort
}

// reasoningDetail is an element of OpenRouter's reasoning_details.
type reasoningDetail struct {
	Type      string         `json:"type"`
	Text      loose          `json:"text"`
	Summary   loose          `json:"summary"`
	Data      loose          `json:"data"`
	Signature loose          `json:"signature"`
	Format    loose          `json:"format"`
	ID        loose          `json:"id"`
	Index     number         `json:"index"`
	Rest      jsontext.Value `json:",embed"`
}

// The types of reasoning_details.
const (
	detailText      = "reasoning.text"
	detailSummary   = "reasoning.summary"
	detailEncrypted = "reasoning.encrypted"
)

// visible is the thinking that the detail shows.
func (d *reasoningDetail) visible() string {
	if d.Type == detailSummary {
		return string(d.Summary)
	}
	return string(d.Text)
}

// proof is what only the maker can read, "" if there is none.
func (d *reasoningDetail) proof() string {
	if d.Data != "" {
		return string(d.Data)
	}
	return string(d.Signature)
}

// own is the detail as the seal of a vendor of this protocol: all but the
// visible thinking, in a fixed order.
func (d *reasoningDetail) own() llm.Seal {
	b := appendText([]byte(`{"type":`), d.Type)
	for _, m := range [...]struct {
		name  string
		value loose
	}{{"format", d.Format}, {"id", d.ID}, {"signature", d.Signature}, {"data", d.Data}} {
		if m.value != "" {
			b = appendText(member(b, m.name), string(m.value))
		}
	}
	if d.Index.ok {
		b = strconv.AppendInt(member(b, "index"), d.Index.n, 10)
	}
	return llm.Seal{Maker: llm.ProtoOpenAI, Data: string(append(b, '}')), Redacted: d.Type == detailEncrypted}
}

// details reads reasoning_details; what is none is left out.
func details(v jsontext.Value) []reasoningDetail {
	if v.Kind() != '[' {
		return nil
	}
	var ds []reasoningDetail
	if json.Unmarshal(v, &ds, lenient) != nil {
		return nil
	}
	return ds
}

// formats are the names that reasoning_details have for the makers.
var formats = map[llm.Proto]string{
	llm.ProtoAnthropic: "anthropic-claude-v1", llm.ProtoBedrock: "anthropic-claude-v1",
	llm.ProtoGemini: "google-gemini-v1", llm.ProtoResponses: "openai-responses-v1",
}

// appendDetail appends b as an element of reasoning_details: as it came, if a
// vendor of this protocol made its seal, else with the seal wrapped.
func appendDetail(dst []byte, b *llm.Block, index int) []byte {
	if b.Seal.Maker == llm.ProtoOpenAI && strings.HasPrefix(b.Seal.Data, `{"type":`) {
		dst = append(dst, b.Seal.Data[:len(b.Seal.Data)-1]...)
		switch {
		case strings.HasPrefix(b.Seal.Data, `{"type":"`+detailSummary+`"`):
			dst = appendText(member(dst, "summary"), b.Text)
		case b.Text != "":
			dst = appendText(member(dst, "text"), b.Text)
		}
		return append(dst, '}')
	}
	typ, carrier := detailText, "signature"
	if b.Text == "" {
		typ, carrier = detailEncrypted, "data"
	}
	dst = appendText(append(dst, `{"type":`...), typ)
	if b.Text != "" {
		dst = appendText(member(dst, "text"), b.Text)
	}
	dst = appendText(member(dst, carrier), wire.WrapSeal(b))
	if f := formats[b.Seal.Maker]; f != "" {
		dst = appendText(member(dst, "format"), f)
	} else {
		dst = append(dst, `,"format":"unknown"`...)
	}
	dst = strconv.AppendInt(member(dst, "index"), int64(index), 10)
	return append(dst, '}')
}

// appendText appends a JSON string; what is not UTF-8 becomes U+FFFD.
func appendText[T ~string](b []byte, s T) []byte {
	b, _ = jsontext.AppendQuote(b, string(s))
	return b
}

// member appends a name and its colon, after a comma unless it is an object's
// first.
func member(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(append(b, '"'), name...)
	return append(b, '"', ':')
}

// element begins an array's next element.
func element(b []byte) []byte {
	if b[len(b)-1] != '[' {
		b = append(b, ',')
	}
	return b
}

// members calls f with the members of the object v.
func members(v jsontext.Value, f func(name string, value jsontext.Value)) {
	if v.Kind() != '{' {
		return
	}
	dec := jsontext.NewDecoder(bytes.NewReader(v), lenient)
	if _, err := dec.ReadToken(); err != nil {
		return
	}
	for dec.PeekKind() == '"' {
		tok, err := dec.ReadToken()
		if err != nil {
			return
		}
		name := tok.String()
		value, err := dec.ReadValue()
		if err != nil {
			return
		}
		f(name, bytes.Clone(value))
	}
}

// null reports whether v is absent or null.
func null(v jsontext.Value) bool { return len(v) == 0 || v.Kind() == 'n' }

// shortID is an id of n letters and digits that stands for id.
func shortID(id string, n int) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	s := strconv.FormatUint(h.Sum64(), 36)
	for len(s) < n {
		s = "0" + s
	}
	return s[len(s)-n:]
}
