package openai

import (
	"strconv"

	"github.com/go-json-experiment/json"

	"github.com/sluicegate/sluice/internal/llm"
)

// tokenProb is a token as OpenAI writes it with its log probability.
type tokenProb struct {
	Token   string      `json:"token"`
	Bytes   []uint16    `json:"bytes"` // numbers, which []byte would not be
	LogProb float64     `json:"logprob"`
	Top     []tokenProb `json:"top_logprobs"`
}

func (p *tokenProb) neutral() llm.LogProb {
	out := llm.LogProb{Token: p.Token, LogProb: p.LogProb}
	for _, b := range p.Bytes {
		out.Bytes = append(out.Bytes, byte(b))
	}
	for i := range p.Top {
		out.Top = append(out.Top, p.Top[i].neutral())
	}
	return out
}

// maxProbs bounds the tokens that wait for their text.
const maxProbs = 1 << 16

// waiting is list with the tokens of another, as far as it may grow.
func waiting(list, other []llm.LogProb) []llm.LogProb {
	return append(list, other[:min(len(other), maxProbs-len(list))]...)
}

// ParseLogProbs reads a list of tokens with their log probabilities; nil where
// v is none.
func ParseLogProbs(v []byte) []llm.LogProb {
	var list []tokenProb
	if len(v) == 0 || v[0] != '[' || json.Unmarshal(v, &list, lenient) != nil {
		return nil
	}
	var out []llm.LogProb
	for i := range list {
		out = append(out, list[i].neutral())
	}
	return out
}

// AppendLogProbs appends the elements of such a list, a comma between two.
func AppendLogProbs(dst []byte, list []llm.LogProb) []byte {
	for i := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendTokenProb(dst, &list[i])
		dst = append(dst, `,"top_logprobs":[`...)
		for n := range list[i].Top {
			if n > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendTokenProb(dst, &list[i].Top[n]), '}')
		}
		dst = append(dst, ']', '}')
	}
	return dst
}

func appendTokenProb(dst []byte, p *llm.LogProb) []byte {
	dst = appendText(append(dst, `{"token":`...), p.Token)
	dst = strconv.AppendFloat(append(dst, `,"logprob":`...), p.LogProb, 'g', -1, 64)
	dst = append(dst, `,"bytes":[`...)
	bytes := p.Bytes
	if bytes == nil {
		bytes = []byte(p.Token)
	}
	for i, b := range bytes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(b), 10)
	}
	return append(dst, ']')
}

// appendChoiceProbs appends the member of a choice: what the text's tokens and
// the refusal's are, null where neither has any.
func appendChoiceProbs(dst []byte, text, refusal []llm.LogProb) []byte {
	dst = append(dst, `,"logprobs":`...)
	if len(text)+len(refusal) == 0 {
		return append(dst, "null"...)
	}
	for _, x := range [...]struct {
		name string
		list []llm.LogProb
	}{{`{"content":`, text}, {`,"refusal":`, refusal}} {
		dst = append(dst, x.name...)
		if len(x.list) == 0 {
			dst = append(dst, "null"...)
		} else {
			dst = append(AppendLogProbs(append(dst, '['), x.list), ']')
		}
	}
	return append(dst, '}')
}
