package llm

// Flags are what is wrong with an answer, as gates and monitors found it.
type Flags uint32

// The flags. Their order is that of Names.
const (
	FlagEmpty      Flags = 1 << iota // nothing that a user would see
	FlagTruncated                    // ends at the bound of output tokens, or of the context
	FlagFiltered                     // a filter of the vendor's cut it
	FlagJSON                         // no JSON where JSON was asked for
	FlagSchema                       // JSON that the asked schema refuses
	FlagTool                         // a call of an unknown tool, or with arguments that its schema refuses
	FlagRefused                      // the model refused
	FlagLanguage                     // another language than the one asked in
	FlagLoop                         // says the same over and over
	FlagEcho                         // gives the prompt back
	FlagArithmetic                   // a calculation in it is wrong
	FlagPattern                      // lacks what it must have, or has what it must not
	FlagPrinciple                    // against a principle, as a judge model sees it
	FlagScore                        // its score is below the bound
)

var flagNames = [...]string{"empty", "truncated", "filtered", "invalid_json", "invalid_schema", "invalid_tool_call", "refused",
	"wrong_language", "loop", "echo", "arithmetic", "pattern", "principle", "low_score"}

// hardFlags say that an answer is of no use, whoever reads it.
const hardFlags = FlagEmpty | FlagTruncated | FlagFiltered | FlagJSON | FlagSchema | FlagTool

// CutFlags may come of nothing but an answer's end at the bound of output tokens.
const CutFlags = FlagEmpty | FlagTruncated | FlagJSON | FlagSchema | FlagTool | FlagPattern

// Names returns the names of the flags that are set, nil for none.
func (f Flags) Names() []string {
	var names []string
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// Hard reports whether one of the flags says that the answer is of no use.
func (f Flags) Hard() bool { return f&hardFlags != 0 }

// Context is what a client says of its request for the choice of a model. The
// zero value says nothing.
type Context struct {
	Budget          string // low, normal or high; "": normal
	LatencyCritical bool
	SafetyCritical  bool
	Task            string // what is asked for, instead of what the classifier finds; "": that
	// Risk is what guards found: low, medium or high; "": nobody looked.
	Risk string
}

// Decision is how a model was chosen, as it was when it was. It holds no text of
// the request. It is not changed once it is in a Trail or a Plan.
type Decision struct {
	Router     string  `json:"router"` // learned, rules
	Task       string  `json:"task"`
	Confidence float64 `json:"task_confidence"` // 0 to 1
	Language   string  `json:"language,omitempty"`
	// Coverage is how familiar the prompt is to the learned router, 0 to 1.
	Coverage float64 `json:"coverage"`
	// Reason tells it in a sentence.
	Reason string `json:"reason"`
	// Considered are the candidates: those that were ranked first, best first,
	// then those left out. Bounded by MaxConsidered.
	Considered []Considered `json:"considered"`
}

// MaxConsidered bounds the candidates that a decision tells of.
const MaxConsidered = 64

// Considered is one candidate of a decision.
type Considered struct {
	Model   string  `json:"model"`
	Target  string  `json:"target,omitempty"` // "" where all of the model's speak as one
	Utility float64 `json:"utility"`
	Quality float64 `json:"quality"` // expected, 0 to 1
	// By is whose word the quality at the task is: capabilities, learned, or a
	// source of the catalog with its date; "": nobody's, it is the neutral one.
	By        string  `json:"quality_by,omitempty"`
	Cost      Money   `json:"cost_nano_usd"`
	LatencyMS float64 `json:"latency_ms"` // expected, to the first token; 0: unknown
	// Reason is why it was left out; "": it was ranked.
	Reason string `json:"reason,omitempty"`
}
