package anthropic

import (
	"strings"

	"github.com/sluicegate/sluice/internal/wire"
)

// Ability is what a model of Anthropic's can be told.
type Ability uint16

const (
	// Budget: thinking {enabled, budget_tokens}.
	Budget Ability = 1 << iota
	// Adaptive: thinking {adaptive} with output_config.effort.
	Adaptive
	// Thinks unless it is told not to.
	Thinks
	// Always: thinks, and refuses thinking {disabled}.
	Always
	// Between: can be told to think between tool calls only.
	Between
	// Hides: thinking is not shown unless display is summarized.
	Hides
	// XHigh is a level of effort.
	XHigh
	// Sampling: temperature, top_p, top_k.
	Sampling
	// Both temperature and top_p at the same time.
	Both
	// Format: output_config.format, strict tools.
	Format
	// Force: tool_choice any and tool.
	Force
	// Turns: system turns inside the conversation.
	Turns
)

const (
	gen3 = Sampling | Both | Force
	gen4 = Budget | gen3
	gen5 = Adaptive | Thinks | Hides | XHigh | Format | Force | Turns
)

// abilities by family and version; the first row that fits counts. Family ""
// is any; from is 100 × major + minor of the version.
//
// Sources: Anthropic's pages on adaptive thinking, effort, structured outputs,
// mid-conversation system messages and API versions; Bedrock's page on
// adaptive thinking; the capability table of @ai-sdk/anthropic 3.0.139. All
// read 2026-11-25. That opus 4.6 takes a forced tool while it thinks
// adaptively is recorded.
var abilities = [...]struct {
	family string
	from   int
	can    Ability
}{
	{"mythos", 0, gen5 | Always},
	{"fable", 501, (gen5 | Always) &^ Force},
	{"fable", 0, gen5 | Always},
	{"opus", 505, (gen5 | Always) &^ Force},
	{"sonnet", 505, (gen5 | Always | Between) &^ Force},
	{"sonnet", 500, gen5 &^ (Thinks | Turns)},
	{"", 500, gen5},
	{"opus", 408, gen5 &^ Thinks},
	{"opus", 407, gen5 &^ (Thinks | Turns)},
	{"", 406, Budget | Adaptive | Sampling | Format | Force},
	{"", 405, gen4&^Both | Format},
	{"opus", 401, gen4&^Both | Format},
	{"", 307, gen4},
	{"", 0, gen3},
}

// foreign is what models of other makers behind this protocol can be told.
const foreign = gen4 | Thinks

// noPrefix is the first version that refuses a conversation which ends with the
// assistant (Anthropic's migration guide to Claude 4.6, read 2026-11-26).
const noPrefix = 406

// Prefix reports whether a model can go on with an answer. What other makers'
// models behind this protocol do is not known.
func Prefix(t wire.Target) bool {
	_, version, claude := ParseModel(t.Model)
	return claude && version < noPrefix
}

// AbilitiesOf returns what the model of this name can be told. Names that
// tell no version are taken for the newest.
func AbilitiesOf(model string) Ability {
	family, version, claude := ParseModel(model)
	if !claude {
		return foreign
	}
	for _, row := range abilities {
		if (row.family == "" || row.family == family) && version >= row.from {
			return row.can
		}
	}
	return gen3
}

// newest stands for the version of a name without one.
const newest = 9900

// ParseModel reads a name as Anthropic, Vertex and others write it:
// claude-sonnet-4-5-20250929, claude-3-7-sonnet@20250219, claude-haiku-4.5,
// us.anthropic.claude-opus-4-6-v1:0. The version is 100 × major + minor.
func ParseModel(model string) (family string, version int, claude bool) {
	_, rest, claude := strings.Cut(strings.ToLower(model), "claude")
	if !claude {
		return "", 0, false
	}
	version = newest
	major := false // the part before was the major number
	for _, part := range strings.FieldsFunc(rest, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}) {
		n, number := small(strings.TrimPrefix(part, "v"))
		switch {
		case number && version == newest:
			version, major = 100*n, true
			continue
		case number && major && part[0] != 'v':
			version += n
		case part == "opus" || part == "sonnet" || part == "haiku" || part == "fable" || part == "mythos":
			family = part
		case part == "instant":
			version = 100
		}
		major = false
	}
	return family, version, true
}

// small reads a number of one or two digits; longer ones are dates.
func small(s string) (int, bool) {
	if len(s) == 0 || len(s) > 2 {
		return 0, false
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = 10*n + int(s[i]-'0')
	}
	return n, true
}
