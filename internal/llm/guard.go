package llm

// Risk is how much harm a request or an answer may do, as guards see it. The
// words are those of Context.Risk.
type Risk uint8

// The classes.
const (
	RiskNone Risk = iota
	RiskLow
	RiskMedium
	RiskHigh
)

// Risks are the names of the classes that something is found in, the least
// first.
var Risks = []string{"low", "medium", "high"}

// String returns the name of the class, "" for none.
func (r Risk) String() string {
	if r == RiskNone || int(r) > len(Risks) {
		return ""
	}
	return Risks[r-1]
}

// RiskByName returns the class of a name; "" and what is no name: none.
func RiskByName(name string) Risk {
	for i, n := range Risks {
		if n == name {
			return Risk(i + 1)
		}
	}
	return RiskNone
}

// The stages of a request at which guards look, and what they did there.
const (
	StageInput  = "input"
	StageOutput = "output"

	GuardPass    = "pass"    // nothing was found
	GuardFlag    = "flag"    // something was found; what follows is up to its class
	GuardMask    = "mask"    // it was masked
	GuardBlock   = "block"   // the request or its answer was refused
	GuardError   = "error"   // the guard could not tell
	GuardUnknown = "unknown" // of a plan: somebody would have to be asked
)

// Verdict is what a guard said of a request or its answer. It holds nothing of
// the text.
type Verdict struct {
	Guard  string `json:"guard"`
	Stage  string `json:"stage"`
	Action string `json:"action"`
	Risk   string `json:"risk,omitempty"`
	// Found are the kinds of what was found, by the guard's own names, at most
	// MaxFound.
	Found []string `json:"found,omitempty"`
}

// MaxVerdicts bounds the verdicts of one request, MaxFound the kinds in each.
const (
	MaxVerdicts = 64
	MaxFound    = 8
)

// Texts is a Body whose texts can be read and replaced.
type Texts interface {
	Body
	// Texts calls edit with each text of the body that a model or its vendor
	// would read as words, in their order, and returns the body with what edit
	// gives in place of those that it changes. Where it changes none that is the
	// body itself; a new one is released by the caller, beside this one.
	Texts(edit func(text string) (with string, changed bool)) (Body, *Error)
	// Tokens reports whether a model would read something in the numbers of
	// tokens, which is no text to others.
	Tokens() bool
}

// Refuser is a Stream that is told, before it is closed, where its answer is not
// delivered for what it says.
type Refuser interface {
	Stream
	Refuse()
}
