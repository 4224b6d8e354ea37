// Package responses is OpenAI's Responses API in both directions, as its owner
// and the vendors that copied it speak it.
package responses

import (
	"encoding/base64"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/openai"
)

// Codec speaks the protocol as clients and as vendors do. It has no state.
type Codec struct{}

var (
	_ wire.Client = Codec{}
	_ wire.Vendor = Codec{}
)

// AppendError appends e in OpenAI's envelope.
func (Codec) AppendError(dst []byte, _ string, e *llm.Error) []byte {
	return openai.AppendError(dst, e)
}

// Status is the HTTP status of an answer that is e.
func (Codec) Status(e *llm.Error) int { return e.HTTPStatus() }

// Ping is a comment, which the protocol's clients skip.
func (Codec) Ping() []byte { return openai.Ping }

// Source reads server-sent events.
func (Codec) Source(body io.Reader) wire.Source { return wire.SSE(body) }

// The types of items, parts and tools that are written as well as read.
const (
	typeMessage      = "message"
	typeReasoning    = "reasoning"
	typeCall         = "function_call"
	typeResult       = "function_call_output"
	typeCustomCall   = "custom_tool_call"
	typeCustomResult = "custom_tool_call_output"
	typeImageCall    = "image_generation_call"
	typeSearchCall   = "web_search_call"
	typeFinderCall   = "tool_search_call"
	typeFound        = "tool_search_output"
	typeAgent        = "agent_message"

	typeInputText     = "input_text"
	typeInputImage    = "input_image"
	typeInputFile     = "input_file"
	typeOutputText    = "output_text"
	typeRefusal       = "refusal"
	typeSummaryText   = "summary_text"
	typeReasoningText = "reasoning_text"

	typeFunction = "function"
	typeCustom   = "custom"
	typeSearch   = "web_search"
	typeSpace    = "namespace"
	typeFinder   = "tool_search"
)

// What clients ask to be included in the answer.
const (
	includeEncrypted = "reasoning.encrypted_content"
	includeLogProbs  = "message.output_text.logprobs"
)

// lax reads what others wrote: what merely passes through may hold duplicate
// names and bytes that are not UTF-8.
var lax = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// invalid is the caller's error for a body that err says cannot be read.
// prefix is the path of what was read, "" for the body.
func invalid(err error, prefix string) *llm.Error {
	var sem *json.SemanticError
	if errors.As(err, &sem) {
		param := path(prefix, string(sem.JSONPointer))
		return &llm.Error{Kind: llm.KindInvalidRequest, Param: param, Message: "\"" + param + "\" has a value of the wrong type", Err: err}
	}
	return &llm.Error{Kind: llm.KindInvalidJSON, Param: prefix, Message: "the body is not valid JSON", Err: err}
}

// wrong is the caller's error for a value that cannot be.
func wrong(param, why string) *llm.Error {
	return &llm.Error{Kind: llm.KindInvalidRequest, Param: param, Message: "\"" + param + "\" " + why}
}

// path returns the path of a JSON pointer below prefix as OpenAI writes it:
// input[0].content.
func path(prefix, pointer string) string {
	var b strings.Builder
	b.WriteString(prefix)
	for _, s := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		if s == "" {
			continue
		}
		if _, err := strconv.Atoi(s); err == nil {
			b.WriteString("[" + s + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(strings.NewReplacer("~1", "/", "~0", "~").Replace(s))
	}
	return b.String()
}

// index returns the path of an element.
func index(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

// dataURL cuts a data URL into its type and its base64.
func dataURL(s string) (mime, data string, ok bool) {
	rest, ok := strings.CutPrefix(s, "data:")
	if !ok {
		return "", "", false
	}
	head, data, ok := strings.Cut(rest, ",")
	if !ok {
		return "", "", false
	}
	mime, params, _ := strings.Cut(head, ";")
	if !strings.HasSuffix(";"+params, ";base64") {
		return mime, base64.StdEncoding.EncodeToString([]byte(unescape(data))), true
	}
	return mime, data, true
}

// unescape decodes the percent escapes of a data URL that is no base64.
func unescape(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(n))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}
