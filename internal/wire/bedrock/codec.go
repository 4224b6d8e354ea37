// Package bedrock is Amazon Bedrock's Converse and ConverseStream as vendors
// speak them: the request's body, the answer, and the binary event stream.
// The model's name is in the URL, which is not this package's.
//
// What is sent follows the Bedrock runtime API of 2023-09-30 as the AWS SDK
// for Go v2 has it (service/bedrockruntime v1.63.13).
package bedrock

import (
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/anthropic"
)

// Codec is Converse. It has no state.
type Codec struct{}

var _ wire.Vendor = Codec{}

// Source cuts a ConverseStream answer into its messages.
func (Codec) Source(body io.Reader) wire.Source { return newFrames(body) }

// Decoder begins to read a ConverseStream answer.
func (Codec) Decoder(call *wire.Call) wire.Decoder { return &decoder{call: call} }

// lenient lets what vendors send inside values pass: names twice, lone
// surrogates.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// family is whose model stands behind a Bedrock name: what it can be told
// beside Converse's own fields depends on it.
type family uint8

const (
	other   family = iota
	profile        // an application inference profile or an imported model: the name does not tell
	claude
	nova
	gptOSS
	mistral
	cohere
)

// model is what a Bedrock name tells of the model.
type model struct {
	family family
	// version is 100 × major + minor: Claude 4.6 is 406, Nova 2 is 200.
	version int
	can     anthropic.Ability // of Claude
}

// modelOf reads a model id, an inference profile's id or an ARN.
func modelOf(name string) model {
	name = strings.ToLower(name)
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		if !strings.Contains(name, ":foundation-model/") && !strings.Contains(name, ":inference-profile/") {
			return model{family: profile}
		}
		name = name[i+1:]
	}
	switch {
	case strings.Contains(name, "claude-"):
		_, version, _ := anthropic.ParseModel(name)
		return model{claude, version, anthropic.AbilitiesOf(name)}
	case strings.Contains(name, "amazon.nova-2"):
		return model{family: nova, version: 200}
	case strings.Contains(name, "amazon.nova"):
		return model{family: nova, version: 100}
	case strings.Contains(name, "openai.gpt-oss"):
		return model{family: gptOSS}
	case strings.Contains(name, "mistral."):
		return model{family: mistral}
	case strings.Contains(name, "cohere."):
		return model{family: cohere}
	}
	return model{}
}

// seals reports whether thinking with its seal may go back: only Claude knows
// what to do with it, and a profile whose model nobody knows most likely is
// the one that made it.
func (m model) seals() bool { return m.family == claude || m.family == profile }

// sampling: temperature, top_p and top_k may be set.
func (m model) sampling() bool { return m.family != claude || m.can&anthropic.Sampling != 0 }

// structured: answers can be held to a schema, by outputConfig and by strict
// tools. Nova and, on Bedrock, Claude before 4.5 cannot; they are given a
// tool to call.
func (m model) structured() bool { return m.family != nova && (m.family != claude || m.version >= 405) }

// caches: the model takes cache points.
func (m model) caches() bool { return m.family == claude || m.family == nova || m.family == profile }

// status: tool results may say that they are errors.
func (m model) status() bool { return m.family == claude || m.family == nova || m.family == profile }

// sealOf makes the seal of what Converse calls a signature, or of the bytes
// of redactedContent. They are Claude's, which Anthropic, Vertex and Bedrock
// accept from each other; redactedContent is base64 of what Anthropic writes
// as text. Bytes that are no text are of no use outside of Bedrock.
func sealOf(data string, redacted bool) llm.Seal {
	s := llm.Seal{Maker: llm.ProtoAnthropic, Data: data, Redacted: redacted}
	if redacted && !printable(data) {
		s.Maker = llm.ProtoBedrock
	}
	return s
}

func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
