package gemini

import (
	"strconv"

	"github.com/sluicegate/sluice/internal/llm"
)

// likelihood is logprobsResult: the chosen token of each step, and the
// likeliest ones.
type likelihood struct {
	Chosen list[tokenProb] `json:"chosenCandidates"`
	Top    list[struct {
		Candidates list[tokenProb] `json:"candidates"`
	}] `json:"topCandidates"`
}

type tokenProb struct {
	Token   string  `json:"token"`
	LogProb float64 `json:"logProbability"`
}

func (l *likelihood) neutral() []llm.LogProb {
	out := make([]llm.LogProb, len(l.Chosen))
	for i, c := range l.Chosen {
		out[i] = llm.LogProb{Token: c.Token, LogProb: c.LogProb}
		if i < len(l.Top) {
			for _, t := range l.Top[i].Candidates {
				out[i].Top = append(out[i].Top, llm.LogProb{Token: t.Token, LogProb: t.LogProb})
			}
		}
	}
	return out
}

// maxProbs bounds the tokens that wait for their text.
const maxProbs = 1 << 16

// waiting is probs with those of more tokens, as far as it may grow.
func waiting(probs, more []llm.LogProb) []llm.LogProb {
	return append(probs, more[:min(len(more), maxProbs-len(probs))]...)
}

// appendLikelihood appends the member of a candidate that tells log
// probabilities, nothing where there are none.
func appendLikelihood(dst []byte, probs []llm.LogProb) []byte {
	if len(probs) == 0 {
		return dst
	}
	dst = append(dst, `,"logprobsResult":{"topCandidates":[`...)
	for i := range probs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendTokens(append(dst, `{"candidates":[`...), probs[i].Top), ']', '}')
	}
	dst = append(dst, `],"chosenCandidates":[`...)
	return append(appendTokens(dst, probs), ']', '}')
}

func appendTokens(dst []byte, probs []llm.LogProb) []byte {
	for i := range probs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = quote(append(dst, `{"token":`...), probs[i].Token)
		dst = strconv.AppendFloat(append(dst, `,"logProbability":`...), probs[i].LogProb, 'g', -1, 64)
		dst = append(dst, '}')
	}
	return dst
}
