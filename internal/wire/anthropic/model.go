package anthropic

import "strings"

// ability is what a model of Anthropic's can be told.
type ability uint16

const (
	// budget: thinking {enabled, budget_tokens}.
	budget ability = 1 << iota
	// adaptive: thinking {adaptive} with output_config.effort.
	adaptive
	// thinks unless it is told not to.
	thinks
	// always: thinks, and refuses thinking {disabled}.
	always
	// between: can be told to think between tool calls only.
	between
	// hides: thinking is not shown unless display is summarized.
	hides
	// xhigh is a level of effort.
	xhigh
	// sampling: temperature, top_p, top_k.
	sampling
	// both temperature and top_p at the same time.
	both
	// format: output_config.format, strict tools.
	format
	// force: tool_choice any and tool.
	force
	// turns: system turns inside the conversation.
	turns
)

const (
	gen3 = sampling | both | force
	gen4 = budget | gen3
	gen5 = adaptive | thinks | hides | xhigh | format | force | turns
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
	can    ability
}{
	{"mythos", 0, gen5 | always},
	{"fable", 501, (gen5 | always) &^ force},
	{"fable", 0, gen5 | always},
	{"opus", 505, (gen5 | always) &^ force},
	{"sonnet", 505, (gen5 | always | between) &^ force},
	{"sonnet", 500, gen5 &^ (thinks | turns)},
	{"", 500, gen5},
	{"opus", 408, gen5 &^ thinks},
	{"opus", 407, gen5 &^ (thinks | turns)},
	{"", 406, budget | adaptive | sampling | format | force},
	{"", 405, gen4&^both | format},
	{"opus", 401, gen4&^both | format},
	{"", 307, gen4},
	{"", 0, gen3},
}

// foreign is what models of other makers behind this protocol can be told.
const foreign = gen4 | thinks

// abilitiesOf returns what the model of this name can be told. Names that
// tell no version are taken for the newest.
func abilitiesOf(model string) ability {
	family, version, claude := parseModel(model)
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

// parseModel reads a name as Anthropic, Vertex and others write it:
// claude-sonnet-4-5-20250929, claude-3-7-sonnet@20250219, claude-haiku-4.5,
// us.anthropic.claude-opus-4-6-v1:0. The version is 100 × major + minor.
func parseModel(model string) (family string, version int, claude bool) {
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
