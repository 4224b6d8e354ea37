// Package quality tells what is wrong with answers. Gates find it in a whole
// answer or in how one begins; they ask nobody and change nothing. What must
// ask a judge is made elsewhere of the same flags.
package quality

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
)

// MaxBlocks bounds the blocks of an answer that is judged.
const MaxBlocks = 4096

// Answer is an answer as gates see it.
type Answer struct {
	// Chat is what was asked; nil: nothing is known of it.
	Chat *llm.Chat
	// Text is the text that a user sees, all blocks of it.
	Text string
	// Calls are the tool calls, without those of the vendor's own tools.
	Calls []llm.Block
	// Shown: it has more than text and calls: images, sound, files, or steps of the
	// vendor's own tools.
	Shown bool
	// Refused: the vendor or the model marked the answer as a refusal.
	Refused bool
	Stop    llm.Stop
	// Whole: the answer has ended. Otherwise Text is how it begins, Calls and
	// Stop say nothing yet, and only gates that are Early can be asked.
	Whole bool
}

// Of returns what gates see of an answer to chat. whole: it has ended.
func Of(chat *llm.Chat, a *llm.Answer, whole bool) Answer {
	v := Answer{Chat: chat, Stop: a.Stop, Whole: whole, Refused: a.Stop == llm.StopRefusal}
	texts := 0
	var all strings.Builder // of more than one text
	for i := range a.Blocks {
		switch b := &a.Blocks[i]; b.Kind {
		case llm.BlockText:
			switch texts++; texts {
			case 1:
				v.Text = b.Text
			case 2:
				all.WriteString(v.Text)
				fallthrough
			default:
				all.WriteString(b.Text)
			}
		case llm.BlockRefusal:
			v.Refused = true
		case llm.BlockCall:
			v.Calls = append(v.Calls, *b)
		case llm.BlockThinking:
		default:
			v.Shown = true
		}
	}
	if texts > 1 {
		v.Text = all.String()
	}
	return v
}

// nothing reports whether a whole answer has nothing in it. One that ended at the
// client's own stop sequence has what was asked for; one to a request that speaks
// of more than has a neutral form may have it in that.
func (a *Answer) nothing() bool {
	return len(a.Calls) == 0 && !a.Refused && !a.Shown && a.Stop != llm.StopPause && a.Stop != llm.StopSequence &&
		strings.TrimSpace(a.Text) == "" && !beyond(a.Chat, outputs[:])
}

// tools are where protocols have tools without a neutral form, outputs also what
// brings answers without one: by how the names of Chat.Left begin.
var (
	tools   = [...]string{"tools", "mcp", "prompt", "cachedContent"}
	outputs = [...]string{"tools", "mcp", "prompt", "cachedContent", "audio", "modalities", "generationConfig.responseModalities"}
)

// beyond reports whether a request has what has no neutral form under one of the
// names.
func beyond(c *llm.Chat, names []string) bool {
	return c != nil && slices.ContainsFunc(c.Left, func(l llm.Left) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(l.Name, name) })
	})
}

// Gate finds one thing that may be wrong with answers. Safe for concurrent use.
type Gate struct {
	Name string
	// Flags are those that it may give.
	Flags llm.Flags
	// Early: it can find it in the beginning of an answer.
	Early bool
	// Judge returns what it found, and why in words that quote neither prompt
	// nor answer; 0 and "" for nothing.
	Judge func(a *Answer) (llm.Flags, string)
}

// Options are what the configuration says of a gate. Each gate reads its own.
type Options struct {
	// Pattern is what `pattern` requires, in RE2.
	Pattern string
	// Schema is what `valid_schema` requires; nil: what the request asks for.
	Schema []byte
	// Language is what `right_language` requires, as ISO 639-1 has it; "": what
	// the request asks for, or is written in.
	Language string
	// Always: `valid_json` requires JSON of answers to requests that do not ask
	// for it.
	Always bool
}

// row is a gate of the table. make is called once for each use of the gate in the
// configuration.
type row struct {
	name  string
	flags llm.Flags
	early bool
	make  func(o Options) (judge, error)
}

type judge = func(a *Answer) (llm.Flags, string)

// table are the gates, cheapest first.
var table = []row{
	{"complete", llm.FlagEmpty | llm.FlagFiltered | llm.FlagTruncated, false, plain(complete)},
	{"not_truncated", llm.FlagTruncated, false, plain(notTruncated)},
	{"valid_json", llm.FlagJSON, true, validJSON},
	{"valid_schema", llm.FlagSchema | llm.FlagJSON, false, validSchema},
	{"valid_tool_calls", llm.FlagTool, false, validToolCalls},
	{"pattern", llm.FlagPattern, false, pattern},
	{"not_refused", llm.FlagRefused, true, plain(notRefused)},
	{"no_echo", llm.FlagEcho, true, plain(noEcho)},
	{"no_loops", llm.FlagLoop, true, plain(noLoops)},
	{"right_language", llm.FlagLanguage, true, rightLanguage},
	{"arithmetic", llm.FlagArithmetic, false, plain(arithmetic)},
}

// plain is a gate without options.
func plain(j judge) func(Options) (judge, error) {
	return func(Options) (judge, error) { return j, nil }
}

// Names returns the gates' names in the table's order.
func Names() []string {
	names := make([]string, len(table))
	for i, r := range table {
		names[i] = r.name
	}
	return names
}

// New makes the gate of a name. An error says what is wrong with the options.
func New(name string, o Options) (*Gate, error) {
	i := slices.IndexFunc(table, func(r row) bool { return r.name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no quality gate %q; the gates are %s", name, strings.Join(Names(), ", "))
	}
	r := table[i]
	j, err := r.make(o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &Gate{Name: r.name, Flags: r.flags, Early: r.early, Judge: j}, nil
}

// Finding is what one gate found.
type Finding struct {
	Gate   *Gate
	Flags  llm.Flags
	Reason string
}

// Check asks the gates in turn and appends what they found. Of an answer that is
// not whole only those that are Early are asked.
func Check(dst []Finding, gates []*Gate, a *Answer) []Finding {
	for _, g := range gates {
		if !a.Whole && !g.Early {
			continue
		}
		if flags, why := g.Judge(a); flags != 0 {
			dst = append(dst, Finding{g, flags, why})
		}
	}
	return dst
}
