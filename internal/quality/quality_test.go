package quality

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
)

// judged is an answer and what a gate finds in it.
type judged struct {
	name   string
	answer Answer
	want   llm.Flags
}

func said1(text string) Answer { return Answer{Text: text, Stop: llm.StopEnd, Whole: true} }

func begun1(text string) Answer { return Answer{Text: text} }

func to(a Answer, c *llm.Chat) Answer { a.Chat = c; return a }

func stopped(a Answer, s llm.Stop) Answer { a.Stop = s; return a }

func asked(text string) *llm.Chat {
	return &llm.Chat{Messages: []llm.Message{{Role: llm.RoleUser, Blocks: []llm.Block{{Text: text}}}}}
}

func calling(name, arguments string) Answer {
	return Answer{Calls: []llm.Block{{Kind: llm.BlockCall, Name: name, Text: arguments}}, Stop: llm.StopTools, Whole: true}
}

const weather = `{"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "maximum": 7}}, "required": ["city"], "additionalProperties": false}`

func try(t *testing.T, gate string, o Options, rows []judged) {
	t.Helper()
	g, err := New(gate, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			found := Check(nil, []*Gate{g}, &r.answer)
			var flags llm.Flags
			for _, f := range found {
				flags |= f.Flags
				if f.Reason == "" || f.Flags&^g.Flags != 0 {
					t.Errorf("%v: %q", f.Flags.Names(), f.Reason)
				}
				if len(r.answer.Text) > 8 && strings.Contains(f.Reason, r.answer.Text) {
					t.Errorf("%q quotes the answer", f.Reason)
				}
			}
			if flags != r.want {
				t.Errorf("%v, not %v: %q", flags.Names(), r.want.Names(), r.answer.Text)
			}
		})
	}
}

func TestComplete(t *testing.T) {
	try(t, "complete", Options{}, []judged{
		{"text", said1("Yes."), 0},
		{"nothing", said1(""), llm.FlagEmpty},
		{"blank", said1(" \n\t"), llm.FlagEmpty},
		{"a call", calling("f", "{}"), 0},
		{"a refusal of the model's", Answer{Refused: true, Stop: llm.StopRefusal, Whole: true}, 0},
		{"filtered", stopped(said1("Well,"), llm.StopFilter), llm.FlagFiltered},
		{"no reason", stopped(said1("Well,"), llm.StopNone), llm.FlagTruncated},
		{"a pause", stopped(said1(""), llm.StopPause), 0},
		{"begun", begun1(""), 0},
		{"at the client's stop sequence", stopped(said1(""), llm.StopSequence), 0},
		{"an image", Answer{Shown: true, Stop: llm.StopEnd, Whole: true}, 0},
		{"to tools without neutral form", to(said1(""), &llm.Chat{Left: []llm.Left{{Name: "tools.local_shell"}}}), 0},
		{"to a hint", to(said1(""), &llm.Chat{Left: []llm.Left{{Name: "logit_bias"}}}), llm.FlagEmpty},
	})
}

// What gates see of an answer are all its texts and calls, and that there is more.
func TestOf(t *testing.T) {
	a := Of(nil, &llm.Answer{Stop: llm.StopEnd, Blocks: []llm.Block{{Kind: llm.BlockThinking, Text: "hm"}, {Text: "a"}, {Kind: llm.BlockCall, Name: "f"}, {Text: "b"}, {Text: "c"}}}, true)
	if a.Text != "abc" || len(a.Calls) != 1 || a.Shown || a.Refused {
		t.Errorf("%+v", a)
	}
	for _, kind := range []llm.BlockKind{llm.BlockImage, llm.BlockAudio, llm.BlockFile, llm.BlockHosted} {
		if a := Of(nil, &llm.Answer{Stop: llm.StopEnd, Blocks: []llm.Block{{Kind: kind}}}, true); !a.Shown || a.nothing() {
			t.Errorf("kind %d: %+v", kind, a)
		}
	}
	many := &llm.Answer{Blocks: make([]llm.Block, 100_000)}
	for i := range many.Blocks {
		many.Blocks[i].Text = "ab cde fg"
	}
	if n := testing.AllocsPerRun(1, func() { _ = Of(nil, many, true) }); n > 100 {
		t.Errorf("100,000 texts took %v allocations", n)
	}
}

func TestNotTruncated(t *testing.T) {
	try(t, "not_truncated", Options{}, []judged{
		{"whole", said1("Use `x` (or y)."), 0},
		{"length", stopped(said1("Well, it"), llm.StopLength), llm.FlagTruncated},
		{"context", stopped(said1("Well, it"), llm.StopContext), llm.FlagTruncated},
		{"open fence", said1("Here:\n```go\nfunc main() {"), llm.FlagTruncated},
		{"closed fence", said1("Here:\n```go\nfunc main() {}\n```\nDone."), 0},
		{"fence within a longer one", said1("````md\n```\nx\n```\n````\nDone."), 0},
		{"open JSON", said1(`{"a": [1, 2`), llm.FlagTruncated},
		{"JSON", said1(`{"a": "}{", "b": [1]}`), 0},
		{"a text that begins with a bracket", said1("[1] says so. (See [2"), 0},
		{"an opening bracket", said1("as follows: ["), llm.FlagTruncated},
		{"a face", said1("No :("), 0},
		{"a stop sequence of the client's", stopped(said1("```\nx"), llm.StopSequence), 0},
	})
}

func TestValidJSON(t *testing.T) {
	c := &llm.Chat{Format: llm.Format{Kind: llm.FormatJSON}}
	rows := []judged{
		{"object", to(said1(` {"a": [1, null, "\ud83d\ude00"]} `), c), 0},
		{"nobody asked", said1("Yes."), 0},
		{"prose", to(said1("Sure: {}"), c), llm.FlagJSON},
		{"fence", to(said1("```json\n{}\n```"), c), llm.FlagJSON},
		{"open", to(said1(`{"a": 1`), c), llm.FlagJSON},
		{"trailing comma", to(said1(`{"a": 1,}`), c), llm.FlagJSON},
		{"two", to(said1(`{} {}`), c), llm.FlagJSON},
		{"nothing", to(said1(""), c), llm.FlagJSON},
		{"a call", to(calling("f", "{}"), c), 0},
		{"begun well", to(begun1(`{"a": "b`), c), 0},
		{"begun in a number", to(begun1(`[1, 2`), c), 0},
		{"begun in a literal", to(begun1(`[tr`), c), 0},
		{"begun badly", to(begun1("Here is"), c), llm.FlagJSON},
		{"not begun", to(begun1(""), c), 0},
	}
	try(t, "valid_json", Options{}, rows)
	try(t, "valid_json", Options{Always: true}, []judged{{"always", said1("Yes."), llm.FlagJSON}, {"number", said1("17"), 0}})
}

func TestValidSchema(t *testing.T) {
	c := &llm.Chat{Format: llm.Format{Kind: llm.FormatSchema, Schema: []byte(weather)}}
	try(t, "valid_schema", Options{}, []judged{
		{"fits", to(said1(`{"city": "Oslo", "days": 3}`), c), 0},
		{"lacks", to(said1(`{"days": 3}`), c), llm.FlagSchema},
		{"too much", to(said1(`{"city": "Oslo", "days": 9}`), c), llm.FlagSchema},
		{"unknown", to(said1(`{"city": "Oslo", "sun": true}`), c), llm.FlagSchema},
		{"no JSON", to(said1(`Oslo`), c), llm.FlagSchema | llm.FlagJSON},
		{"nobody asked", said1("Oslo"), 0},
		{"a schema that is none", to(said1(`{}`), &llm.Chat{Format: llm.Format{Kind: llm.FormatSchema, Schema: []byte(`{"type": 3}`)}}), 0},
		{"a schema from elsewhere", to(said1(`{}`), &llm.Chat{Format: llm.Format{Kind: llm.FormatSchema, Schema: []byte(`{"$ref": "file:///etc/passwd"}`)}}), 0},
	})
	try(t, "valid_schema", Options{Schema: []byte(`{"type": "array"}`)}, []judged{{"own", said1(`{}`), llm.FlagSchema}, {"own fits", said1(`[]`), 0}})
	if _, err := New("valid_schema", Options{Schema: []byte(`{"type": 3}`)}); err == nil {
		t.Error("a schema of the configuration that is none is no error")
	}
}

func TestValidToolCalls(t *testing.T) {
	c := &llm.Chat{Tools: []llm.Tool{{Name: "weather", Schema: []byte(weather)}, {Name: "now"}, {Name: "shell", Kind: llm.ToolCustom}}}
	try(t, "valid_tool_calls", Options{}, []judged{
		{"fits", to(calling("weather", `{"city": "Oslo"}`), c), 0},
		{"unknown", to(calling("wether", `{"city": "Oslo"}`), c), llm.FlagTool},
		{"lacks", to(calling("weather", `{}`), c), llm.FlagTool},
		{"broken", to(calling("weather", `{"city": "Os`), c), llm.FlagTool},
		{"no object", to(calling("now", `[]`), c), llm.FlagTool},
		{"no arguments", to(calling("now", ""), c), 0},
		{"null for arguments", to(calling("now", "null"), c), 0},
		{"null for arguments that are required", to(calling("weather", "null"), c), llm.FlagTool},
		{"custom", to(calling("shell", "ls -l"), c), 0},
		{"nothing known", calling("x", ""), 0},
		{"no calls", to(said1("Hello."), c), 0},
		{"in a namespace", to(calling("f", "{}"), &llm.Chat{Tools: []llm.Tool{{Name: "mcp__f", Space: "mcp", Short: "f"}}}), 0},
		{"in a namespace, not fit", to(calling("f", "{}"), &llm.Chat{Tools: []llm.Tool{{Name: "mcp__f", Space: "mcp", Short: "f", Schema: []byte(weather)}}}), llm.FlagTool},
		{"of the protocol's own", to(calling("bash", `{"command":"ls"}`), &llm.Chat{Tools: c.Tools, Left: []llm.Left{{Name: "tools.bash_20250124"}}}), 0},
		{"beside one of the protocol's own", to(calling("weather", "{}"), &llm.Chat{Tools: c.Tools, Left: []llm.Left{{Name: "tools.bash_20250124"}}}), llm.FlagTool},
	})
}

func TestPattern(t *testing.T) {
	try(t, "pattern", Options{Pattern: `(?i)answer:\s*\d+`}, []judged{
		{"has", said1("So the Answer: 17"), 0}, {"lacks", said1("So it is 17"), llm.FlagPattern}, {"a call", calling("f", "{}"), 0}, {"empty", said1(""), llm.FlagPattern},
	})
	for _, p := range []string{"", "(", "(?<=a)b"} {
		if _, err := New("pattern", Options{Pattern: p}); err == nil {
			t.Errorf("pattern %q is no error", p)
		}
	}
}

func TestNotRefused(t *testing.T) {
	try(t, "not_refused", Options{}, []judged{
		{"answers", said1("The capital of Norway is Oslo."), 0},
		{"refuses", said1("I'm sorry, but I can’t help with that request."), llm.FlagRefused},
		{"refuses early", begun1("I cannot assist with"), llm.FlagRefused},
		{"begun", begun1("Sure, here are"), 0},
		{"marked", Answer{Refused: true, Whole: true}, llm.FlagRefused},
		{"German", said1("Es tut mir leid, aber dabei kann ich dir nicht helfen."), llm.FlagRefused},
		{"French", said1("Je suis désolé, mais je ne peux pas répondre à cette demande."), llm.FlagRefused},
		{"Spanish", said1("Lo siento, no puedo ayudarte con eso."), llm.FlagRefused},
		{"Chinese", said1("很抱歉，我无法协助您完成这个请求。"), llm.FlagRefused},
		{"Japanese", said1("申し訳ありませんが、そのご要望にはお応えできません。"), llm.FlagRefused},
		{"Korean", said1("죄송하지만 그 요청은 도와드릴 수 없습니다."), llm.FlagRefused},
		{"Russian", said1("К сожалению, я не могу помочь с этим."), llm.FlagRefused},
		{"a call", calling("f", "{}"), 0},
		{"code", said1("```go\nfunc main() {\n\tfmt.Println(\"hello\")\n}\n```\nThis prints hello."), 0},
		{"an excuse", said1("I can't wait to hear how it went! Here are three ideas for the party."), 0},
		{"no excuse", said1("That is a topic I will not write about."), llm.FlagRefused},
		{"German help", said1("Ich kann dir gerne dabei helfen. Zuerst öffnest du die Datei."), 0},
		{"a sum", said1("17 × 3 = 51, so you need 51 eggs."), 0},
	})
}

func TestNoEcho(t *testing.T) {
	ask := "Write a short story about a lighthouse keeper who finds a letter in a bottle."
	c := asked(ask)
	try(t, "no_echo", Options{}, []judged{
		{"answers", to(said1("The lamp had burned for forty years before the sea sent Anders anything but weather."), c), 0},
		{"echoes", to(said1(ask), c), llm.FlagEcho},
		{"echoes in other marks", to(said1("**Write a short story, about a lighthouse keeper who finds a letter in a bottle!**\n\nOnce upon a time"), c), llm.FlagEcho},
		{"begins to", to(begun1(ask[:60]), c), llm.FlagEcho},
		{"names the subject", to(said1("A short story about a lighthouse keeper who finds a letter in a bottle: The lamp"), c), 0},
		{"short prompt", to(said1("Hello! Hello, how are you? I am fine and would like to talk about boats."), asked("Hello!")), 0},
	})
}

func TestNoLoops(t *testing.T) {
	var numbers []string
	for i := range 200 {
		numbers = append(numbers, fmt.Sprint("the number ", i, " is followed by ", i+1))
	}
	code := strings.Repeat("\tif err != nil {\n\t\treturn err\n\t}\n\tx++\n", 2) + strings.Repeat("}\n", 9)
	try(t, "no_loops", Options{}, []judged{
		{"prose", said1(strings.Join(numbers, ", ")), 0},
		{"a sentence again and again", said1(strings.Repeat("I think that we should go to the sea now and then. ", 12)), llm.FlagLoop},
		{"a line again and again", said1("List:\n" + strings.Repeat("- the same item\n", 5)), llm.FlagLoop},
		{"characters", said1("A" + strings.Repeat("ha", 300)), llm.FlagLoop},
		{"a rule", said1("Title\n" + strings.Repeat("-", 400) + "\nText"), 0},
		{"code", said1(code), 0},
		{"Chinese", said1(strings.Repeat("今天天气很好我们去海边散步吧。", 12)), llm.FlagLoop},
		{"short", said1("no no no no"), 0},
	})
}

func TestRightLanguage(t *testing.T) {
	german := "Der Leuchtturm wurde vor hundert Jahren gebaut und steht heute noch auf der Insel, wo er den Schiffen den Weg zeigt."
	english := "The lighthouse was built a hundred years ago and still stands on the island, where it shows the ships their way."
	ask := "Erzähl mir bitte etwas über den alten Leuchtturm auf der Insel und seine Geschichte."
	try(t, "right_language", Options{}, []judged{
		{"the same", to(said1(german), asked(ask)), 0},
		{"another", to(said1(english), asked(ask)), llm.FlagLanguage},
		{"another early", to(begun1(english[:80]), asked(ask)), llm.FlagLanguage},
		{"told", to(said1(english), asked(ask+" Antworte auf Englisch.")), 0},
		{"told and not done", to(said1(german), asked(ask+" Antworte auf Englisch.")), llm.FlagLanguage},
		{"named", to(said1(english), asked(ask+" Wie heißt er im Englischen, also auf Englisch?")), 0},
		{"translation", to(said1(english), asked("Übersetze ins Englische: "+german)), 0},
		{"unclear prompt", to(said1(german), asked("17?")), 0},
		{"unclear answer", to(said1("42"), asked(ask)), 0},
		{"code", to(said1("```python\nfor the in range(10):\n    print(the)\n```"), asked(ask)), 0},
		{"told by the system", to(said1(german), &llm.Chat{Messages: []llm.Message{
			{Role: llm.RoleSystem, Blocks: []llm.Block{{Text: "Always answer in French."}}},
			{Role: llm.RoleUser, Blocks: []llm.Block{{Text: ask}}}}}), llm.FlagLanguage},
		{"nothing known", said1(german), 0},
	})
	try(t, "right_language", Options{Language: "en"}, []judged{{"required", said1(english), 0}, {"not", said1(german), llm.FlagLanguage}})
	if _, err := New("right_language", Options{Language: "tlh"}); err == nil {
		t.Error("an unknown language is no error")
	}
}

func TestNew(t *testing.T) {
	if _, err := New("complet", Options{}); err == nil || !strings.Contains(err.Error(), "not_truncated") {
		t.Errorf("%v", err)
	}
	if names := Names(); names[0] != "complete" || len(names) != len(table) {
		t.Errorf("%v", names)
	}
}

// BenchmarkGates is all gates over an answer of a kilobyte.
func BenchmarkGates(b *testing.B) {
	text := "The lighthouse on the island was built by hand, and 17 × 3 = 51 men carried the stones. "
	words := strings.Fields("the keeper of light wrote pages about ships and storms while his daughter counted gulls over an empty harbour in winter")
	for i := range 300 {
		text += words[(i*i+i/7)%len(words)] + " "
	}
	a := said1(text[:1024])
	for _, name := range Names() {
		g, err := New(name, Options{Pattern: "keeper"})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if f, why := g.Judge(&a); f != 0 {
					b.Fatal(why)
				}
			}
		})
	}
}

func FuzzGates(f *testing.F) {
	f.Add("Write a story. Answer in German.", "I'm sorry, but I can’t. 3 + 4 = 8 ```", true)
	f.Add("翻译成英文", "{\"a\": [1, 2", false)
	f.Add("\xff", strings.Repeat("ha", 300), true)
	var gates []*Gate
	for _, name := range Names() {
		g, err := New(name, Options{Pattern: "a|b", Always: true})
		if err != nil {
			f.Fatal(err)
		}
		gates = append(gates, g)
	}
	f.Fuzz(func(t *testing.T, prompt, text string, whole bool) {
		c := asked(prompt)
		c.Tools = []llm.Tool{{Name: "f", Schema: []byte(weather)}}
		c.Format = llm.Format{Kind: llm.FormatSchema, Schema: []byte(prompt)}
		a := Answer{Chat: c, Text: text, Whole: whole, Stop: llm.StopEnd}
		if whole {
			a.Calls = []llm.Block{{Kind: llm.BlockCall, Name: "f", Text: text}}
		}
		for _, found := range Check(nil, gates, &a) {
			if found.Flags&^found.Gate.Flags != 0 || found.Reason == "" || len(found.Reason) > 1000 || !whole && !found.Gate.Early {
				t.Fatalf("%s: %v %q", found.Gate.Name, found.Flags.Names(), found.Reason)
			}
		}
	})
}
