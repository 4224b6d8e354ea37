package sim

import (
	"math/rand/v2"
	"strings"
)

// MoodKind is a way to answer badly, in good form.
type MoodKind string

// The moods. One that does not fit a request, such as broken_json where no
// JSON is asked for, leaves the answer as it is.
const (
	MoodRefusal    MoodKind = "refusal"         // it apologises and declines, in words
	MoodEmpty      MoodKind = "empty"           // it says nothing and is done
	MoodLoop       MoodKind = "loop"            // one sentence, again and again
	MoodEcho       MoodKind = "echo"            // what the user said
	MoodLanguage   MoodKind = "language"        // German
	MoodSums       MoodKind = "arithmetic"      // sums that are wrong
	MoodTruncated  MoodKind = "truncated"       // half of the answer, as if the tokens were used up
	MoodFiltered   MoodKind = "filtered"        // the vendor's filter ends it
	MoodBrokenJSON MoodKind = "broken_json"     // JSON in a fence, with a comma too many
	MoodProse      MoodKind = "prose"           // words where JSON is asked for
	MoodSchema     MoodKind = "wrong_schema"    // JSON of another shape
	MoodTool       MoodKind = "wrong_tool"      // a call of a tool that was not offered
	MoodArguments  MoodKind = "wrong_arguments" // a call without arguments
)

var moodKinds = []MoodKind{
	MoodRefusal, MoodEmpty, MoodLoop, MoodEcho, MoodLanguage, MoodSums, MoodTruncated, MoodFiltered,
	MoodBrokenJSON, MoodProse, MoodSchema, MoodTool, MoodArguments,
}

// Mood is when a model answers badly. The vendor takes its answer for a good
// one, and bills it.
type Mood struct {
	Kind MoodKind `yaml:"kind"`
	// When is what the last turn of a user says where the mood comes, in any
	// case of letters; "": whatever it says.
	When string `yaml:"when"`
	// Share of those answers, drawn from the seed; 0 means all.
	Share float64 `yaml:"share"`
}

// mood returns the first mood that comes and fits, "" if none does. calls says
// that the answer will be calls of tools.
func (c *call) mood(q *query, calls bool) MoodKind {
	for i, m := range c.set.Moods {
		if m.Kind.fits(q, calls) && q.says(strings.ToLower(m.When)) && (m.Share == 0 || c.draw.source(-1-i).Float64() < m.Share) {
			return m.Kind
		}
	}
	return ""
}

func (m MoodKind) fits(q *query, calls bool) bool {
	switch m {
	case MoodTruncated, MoodFiltered:
		return true
	case MoodTool, MoodArguments:
		return calls
	case MoodSchema:
		return !calls && q.schema != nil
	case MoodBrokenJSON, MoodProse:
		return !calls && q.json()
	case MoodLanguage, MoodSums:
		return !calls && !q.json()
	case MoodEcho:
		return !calls && q.last != ""
	}
	return !calls
}

// json reports whether the answer is to be JSON.
func (q *query) json() bool { return q.schema != nil || q.object }

// text makes an answer in words, or JSON, as the mood wants it.
func (c *call) text(q *query, mood MoodKind, r *rand.Rand) []string {
	switch mood {
	case MoodRefusal:
		return shred("I'm sorry, but I can't help with that request.")
	case MoodEmpty:
		return nil
	case MoodEcho:
		return shred(q.last)
	case MoodLoop:
		sentence := []string{"The", " answer", " is", " in", " the", " following", " part", " of", " this", " text", ".", " "}
		return cycle(sentence, max(c.draw.tokens(&c.set), 10*len(sentence)))
	case MoodLanguage:
		return german(r, max(c.draw.tokens(&c.set), 24))
	case MoodSums:
		return shred("First, 17 * 23 = 401. Then 401 + 99 = 490. So the answer is 490.")
	case MoodSchema:
		return shred(`{"surprise":true}`)
	case MoodBrokenJSON:
		return shred("```json\n" + strings.TrimSuffix(c.document(q, r), "}") + ",}\n```")
	case MoodProse:
		return c.words(q, r)
	}
	if q.json() {
		return shred(c.document(q, r))
	}
	return c.words(q, r)
}

// document is JSON as it was asked for.
func (c *call) document(q *query, r *rand.Rand) string {
	if q.schema != nil {
		return document(r, q.schema)
	}
	return anyObject(r, c.set.Name)
}

// called returns the tools that the mood calls in place of these.
func (m MoodKind) called(calls []offer) []offer {
	switch m {
	case MoodTool:
		return []offer{{name: "no_such_tool"}}
	case MoodArguments:
		bare := make([]offer, len(calls))
		for i, t := range calls {
			bare[i] = offer{name: t.name}
		}
		return bare
	}
	return calls
}

// end changes how an answer ends.
func (m MoodKind) end(o *output) {
	switch m {
	case MoodTruncated:
		o.cut(o.tokens() / 2)
	case MoodFiltered:
		o.cut(o.tokens() / 2)
		o.stop = stopFiltered
	}
}

func cycle(pieces []string, n int) []string {
	out := make([]string, 0, n)
	for len(out) < n {
		out = append(out, pieces[len(out)%len(pieces)])
	}
	return out
}

// germanWords are common German words.
var germanWords = strings.Fields(`
der die das und nicht eine ich sie ist auch sich mit dem den für auf wird werden haben hatte wurde durch nach
bei einer einem über wenn nur noch schon mehr aber zwischen können müssen unter gegen vom zur zum kein alle
Menschen Jahre Zeit Stadt Haus Frage Antwort Arbeit Leben Beispiel weiter immer wieder heute dort hier wegen während`)

// german returns n tokens of German.
func german(r *rand.Rand, n int) []string {
	pieces := []string{"Das", " ist", " eine", " Antwort", " in", " der", " falschen", " Sprache", "."}
	for len(pieces) < n {
		pieces = append(pieces, " "+germanWords[r.IntN(len(germanWords))])
	}
	return pieces
}
