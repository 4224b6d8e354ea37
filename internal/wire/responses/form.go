package responses

import (
	"slices"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// keys of request bodies, after those that every protocol has.
const (
	fInput = iota + wire.KeyOwn
	fInstructions
	fMaxOutput
	fUser
	fCacheKey
	fPrevious
	fConversation
)

var shape = wire.Shape{
	Proto: llm.ProtoResponses, Codec: Codec{}, Asked: fInput, Conversation: conversation, User: endUser,
	Prompt: []string{"tools", "instructions", "input"},
	Keys: []string{
		"model", "stream", "context", "input", "instructions", "max_output_tokens", "user", "prompt_cache_key",
		"previous_response_id", "conversation",
	},
}

// Bound names the member that bounds the answer.
func Bound(*wire.Form, string) string { return "max_output_tokens" }

// Decode reads body as a request for op and fills req. The body is the
// request's from now on, whatever is returned.
func Decode(op llm.Op, body *wire.Buffer, req *llm.Request) *llm.Error {
	f, err := wire.NewForm(&shape, body)
	if err != nil {
		return err
	}
	if req.Model, err = f.Model(); err == nil {
		req.Stream, err = f.Stream()
	}
	if err != nil {
		f.Release()
		return err
	}
	req.N, req.WantUsage, req.MaxOutput = 1, true, f.Int(fMaxOutput, 1<<30)
	req.Op, req.Proto, req.Body, req.Continues = op, llm.ProtoResponses, f, continues(f)
	return nil
}

// Foreign reports whether a vendor that copied the protocol would refuse what
// the body says and can be told it in other words: the body offers tools of
// the kinds that only OpenAI's models know, or brings what an agent said.
func Foreign(f *wire.Form, vendor string) bool {
	if dialectOf(vendor).custom || !scan.Null(f.Value(fPrevious)) || !scan.Null(f.Value(fConversation)) {
		return false
	}
	found := false
	look := func(list []byte, kinds ...string) {
		_ = scan.Elements(list, func(raw []byte) bool {
			kind, _ := scan.String(scan.Get(raw, "type"))
			found = found || slices.Contains(kinds, kind)
			return !found
		})
	}
	look(scan.Get(f.Bytes(), "tools"), typeSpace, typeFinder, typeCustom)
	look(f.Value(fInput), typeAgent)
	return found
}

// endUser returns the member "user", "" if it is absent or no string.
func endUser(f *wire.Form) string {
	s, _ := scan.String(f.Value(fUser))
	return s
}

// conversation hashes prompt_cache_key or the conversation at the vendor if
// there is one, else the instructions and the items up to the first of the
// user.
func conversation(f *wire.Form) (uint64, bool) {
	for _, key := range [...]int{fCacheKey, fConversation} {
		if hash, ok := wire.Named(f.Value(key)); ok {
			return hash, true
		}
	}
	return wire.Turns(f.Value(fInstructions), f.Value(fInput), "assistant")
}

// ParseCount reads the answer to a CountCall.
func ParseCount(body []byte) (int64, bool) { return scan.Int(scan.Get(body, "input_tokens")) }

// AppendCount appends the answer to a client that asked for a count.
func AppendCount(dst []byte, n int64) []byte {
	return append(appendInt(append(dst, `{"object":"response.input_tokens","input_tokens":`...), n), '}')
}
