package quality

import (
	"math"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// Verdict is what was found of one answer: by gates, by a judge, or by a client.
type Verdict struct {
	Request string // id
	Model   string // the operator's name for the model that answered
	Target  string
	Began   time.Time // when the request came
	Task    string    // "": not known
	Arm     *llm.Arm  // that a split had drawn and that answered; nil: none
	Flags   llm.Flags
	Score   float64 // a judge's, 0 to 1; NaN: none
	Opinion float64 // a client's, -1 to 1; NaN: none
	By      string  // the key of the client whose opinion it is
	// Cut: the answer ended at the bound of output tokens that the request set, so
	// that what this explains is what was asked for.
	Cut bool
}

// lowScore is the score below which an answer is bad.
const lowScore = 0.3

// Bad reports whether the answer was of no use: by a hard flag that is not the
// client's own doing, a score below 0.3, or a client who says so.
func (v *Verdict) Bad() bool {
	f := v.Flags
	if v.Cut {
		f &^= llm.CutFlags
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
