package sim

import (
	"encoding/json"
	"strings"
	"testing"
)

// asJSON asks for an object with a city.
const asJSON = `"response_format":{"type":"json_schema","json_schema":{"name":"a","strict":true,"schema":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}}}`

func TestMoods(t *testing.T) {
	for _, tc := range []struct {
		mood   MoodKind
		more   string // of the request
		finish string
		ok     func(text string, calls int) bool
	}{
		{MoodRefusal, "", "stop", func(s string, _ int) bool { return strings.HasPrefix(s, "I'm sorry, but I can't") }},
		{MoodEmpty, "", "stop", func(s string, _ int) bool { return s == "" }},
		{MoodLoop, "", "stop", func(s string, _ int) bool { return strings.Count(s, "The answer is in the following part") >= 8 }},
		{MoodEcho, "", "stop", func(s string, _ int) bool { return s == "Call the tool, please" }},
		{MoodLanguage, "", "stop", func(s string, _ int) bool { return strings.HasPrefix(s, "Das ist eine Antwort") && len(s) > 100 }},
		{MoodSums, "", "stop", func(s string, _ int) bool { return strings.Contains(s, "17 * 23 = 401") }},
		{MoodTruncated, "", "length", func(s string, _ int) bool { return s != "" && !strings.HasSuffix(s, ".") }},
		{MoodFiltered, "", "content_filter", func(s string, _ int) bool { return s != "" }},
		{MoodBrokenJSON, asJSON, "stop", func(s string, _ int) bool {
			inside := strings.TrimSuffix(strings.TrimPrefix(s, "```json\n"), ",}\n```") + "}"
			return !json.Valid([]byte(s)) && json.Valid([]byte(inside)) && strings.Contains(inside, `"city"`)
		}},
		{MoodProse, asJSON, "stop", func(s string, _ int) bool { return strings.HasPrefix(s, "This is m (simulated).") }},
		{MoodSchema, asJSON, "stop", func(s string, _ int) bool { return json.Valid([]byte(s)) && !strings.Contains(s, `"city"`) }},
		{MoodTool, weather, "tool_calls", func(s string, n int) bool { return n == 1 && s == "no_such_tool {}" }},
		{MoodArguments, weather, "tool_calls", func(s string, n int) bool {
			return n == 1 && strings.HasSuffix(s, " {}") && !strings.HasPrefix(s, "no")
		}},
		// What does not fit leaves the answer as it is.
		{MoodBrokenJSON, "", "stop", func(s string, _ int) bool { return strings.HasPrefix(s, "This is m (simulated).") }},
		{MoodTool, "", "stop", func(s string, _ int) bool { return strings.HasPrefix(s, "This is m (simulated).") }},
	} {
		t.Run(string(tc.mood)+" "+tc.finish, func(t *testing.T) {
			r := start(t, Config{Seed: 3, Models: []Model{{Name: "m", Moods: []Mood{{Kind: tc.mood, When: "PLEASE"}}}}})
			body := `{"model":"m","messages":[{"role":"user","content":"Call the tool, please"}]`
			if tc.more != "" {
				body += "," + tc.more
			}
			_, got, err := r.post("/v1/chat/completions", body+"}")
			if err != nil {
				t.Fatal(err)
			}
			c := r.unary(got).Choices[0]
			text := ""
			if c.Message.Content != nil {
				text = *c.Message.Content
			}
			for _, call := range c.Message.ToolCalls {
				text += call.Function.Name + " " + call.Function.Arguments
			}
			if c.Finish != tc.finish || !tc.ok(text, len(c.Message.ToolCalls)) {
				t.Errorf("got finish %q and %q", c.Finish, text)
			}
			fits := strings.Contains(text, "(simulated)") == (tc.mood == MoodProse || tc.mood == MoodTruncated || tc.mood == MoodFiltered)
			if mood := r.settled().Mood; fits && mood != tc.mood || !fits && mood != "" {
				t.Errorf("the journal has mood %q", mood)
			}
			// Without the words, no mood comes.
			_, got, _ = r.post("/v1/chat/completions", hello)
			if c := r.unary(got).Choices[0]; c.Finish != "stop" || !strings.HasPrefix(*c.Message.Content, "This is m (simulated).") {
				t.Errorf("without its words: got %s", got)
			}
		})
	}
}

// The share is the seed's, and all protocols have it.
func TestMoodShare(t *testing.T) {
	r := start(t, Config{Seed: 3, Control: true, Models: []Model{{Name: "m", Tokens: 8, Moods: []Mood{{Kind: MoodEmpty, Share: 0.25}, {Kind: MoodRefusal, Share: 0.5}}}}})
	count := make(map[MoodKind]int)
	const n = 600
	for i := range n {
		path, body := "/v1/chat/completions", hello
		if i%2 == 1 {
			path, body = "/v1/responses", `{"model":"m","input":"hi"}`
		}
		if _, _, err := r.post(path, body); err != nil {
			t.Fatal(err)
		}
		count[r.settled().Mood]++
	}
	// 0.25, and half of what is left; six standard deviations of a binomial.
	if e, f := count[MoodEmpty], count[MoodRefusal]; e < 86 || e > 214 || f < 154 || f > 296 {
		t.Errorf("got %v of %d", count, n)
	}
	if _, got, err := r.post("/sim/models/m", `{"moods": [{"kind": "loop"}]}`); err != nil || !strings.Contains(got, `"moods":[{"kind":"loop"}]`) {
		t.Errorf("changing the moods: got %s, %v", got, err)
	}
	if _, got, err := r.post("/sim/models/m", `{"moods": [{"kind": "sulk"}]}`); err != nil || !strings.Contains(got, "is no mood") {
		t.Errorf("a mood that is none: got %s, %v", got, err)
	}
	if _, got, err := r.post("/v1/messages", `{"model":"m","max_tokens":500,"messages":[{"role":"user","content":"hi"}]}`, "Anthropic-Version", versionKey); err != nil || strings.Count(got, "following part") < 8 {
		t.Errorf("Anthropic's protocol: got %s, %v", got, err)
	}
}
