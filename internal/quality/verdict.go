package quality

import (
	"math"

	"github.com/sluicegate/sluice/internal/llm"
)

// Verdict is what was found of one answer: by gates, by a judge, or by a client.
type Verdict struct {
	Request string // id
	Model   string // the operator's name for the model that answered
	Target  string
	Task    string   // "": not known
	Arm     *llm.Arm // that a split had drawn and that answered; nil: none
	Flags   llm.Flags
	Score   float64 // a judge's, 0 to 1; NaN: none
	Opinion float64 // a client's, -1 to 1; NaN: none
	By      string  // the key of the client whose opinion it is
	// Bounded: the client bounded the answer's tokens, so that an answer which
	// ends there is what it asked for.
	Bounded bool
}

// lowScore is the score below which an answer is bad.
const lowScore = 0.3

// cutFlags come of an answer's end at a bound.
const cutFlags = llm.FlagTruncated | llm.FlagJSON | llm.FlagSchema | llm.FlagTool

// Bad reports whether the answer was of no use: by a hard flag that is not the
// client's own doing, a score below 0.3, or a client who says so.
func (v *Verdict) Bad() bool {
	f := v.Flags
	if v.Bounded && f&llm.FlagTruncated != 0 {
		f &^= cutFlags
	}
	return f.Hard() || v.Score < lowScore || v.Opinion < 0
}

// quality is how good the answer was, 0 to 1; known is false where nobody said
// more than that nothing is wrong with it.
func (v *Verdict) quality() (q float64, known bool) {
	switch {
	case !math.IsNaN(v.Opinion):
		return (v.Opinion + 1) / 2, true
	case !math.IsNaN(v.Score):
		return v.Score, true
	}
	return 0, false
}
