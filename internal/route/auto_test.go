package route

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/route/learned"
	"github.com/sluicegate/sluice/internal/upstream"
	"github.com/sluicegate/sluice/internal/wire/openai"
)

// chat is a body with a neutral form.
type chat struct {
	body
	form *llm.Chat
}

func (c chat) Chat() (*llm.Chat, *llm.Error) { return c.form, nil }
func (c chat) Bytes() []byte                 { return bodyBytes[:] }

var bodyBytes [400]byte

// asking is a request that asks text.
func asking(text string, ctx llm.Context) *llm.Request {
	form := &llm.Chat{Messages: []llm.Message{{Role: llm.RoleUser, Blocks: []llm.Block{{Text: text}}}}}
	return &llm.Request{Op: llm.OpChat, N: 1, Body: chat{form: form}, Context: ctx}
}

// taught is a learned model of two tasks and two models: adder is good at sums,
// writer at poems, and somewhat better at all.
func taught(t testing.TB) *learned.Model {
	t.Helper()
	var data []learned.Example
	for i := range 400 {
		e := learned.Example{Prompt: fmt.Sprintf("Add the numbers %d and %d.", i, 7*i), Task: "sums",
			Outcomes: map[string]learned.Outcome{"adder": {Quality: 0.9}, "writer": {Quality: 0.3}}}
		if i%2 == 1 {
			e = learned.Example{Prompt: fmt.Sprintf("Write a poem about the river of the year %d!", 1000+i), Task: "poems",
				Outcomes: map[string]learned.Outcome{"adder": {Quality: 0.4}, "writer": {Quality: 0.95}}}
		}
		data = append(data, e)
	}
	m, err := learned.Train(data, learned.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const (
	sum  = "please add the numbers 12 and 99"
	poem = "Could you write a poem about the river of the year 5?"
)

// member is one of the models that a test chooses between.
type member struct {
	name    string
	usd     float64 // per million tokens, prompt and answer alike; below 0: unknown
	latency time.Duration
	caps    map[string]float64
	prior   func(string) (float64, string, bool)
}

// chooser is a pool that chooses, with what it takes.
type chooser struct {
	router *Router
	auto   *Auto
	opts   []*upstream.Option
	screen *upstream.Screen
}

func choose(t testing.TB, m *learned.Model, s AutoSettings, members ...member) *chooser {
	t.Helper()
	c := &chooser{router: NewRouter(m), screen: &upstream.Screen{MaxCost: s.Dial.MaxCost}}
	reg := upstream.NewRegistry()
	for i, x := range members {
		id := "p/" + x.name
		tg := &upstream.Target{ID: id, Vendor: x.name, State: reg.State(id), Prior: x.latency}
		if x.usd >= 0 {
			r, _ := llm.PerMillion(x.usd)
			tg.Price = &llm.Price{Input: r, Output: r}
		}
		pool := &upstream.Pool{Model: x.name, Registry: reg, Options: []upstream.Option{{ID: id, Weight: 1, Priority: 1, Target: tg}}}
		c.opts = append(c.opts, &upstream.Option{ID: x.name, Weight: 1, Priority: 1, Place: i, Pool: pool})
		s.Candidates = append(s.Candidates, Candidate{Name: x.name, Names: []string{x.name}, Capabilities: x.caps, Prior: x.prior})
	}
	s.Screen = c.screen
	c.auto = NewAuto(s)
	return c
}

// rank returns the names in the order that a request gets, and how it was decided.
func (c *chooser) rank(req *llm.Request, talk uint64, now int64) ([]string, *llm.Decision) {
	look := c.router.Look
	if c.auto.rules {
		look = c.router.LookByRules
	}
	v := look(req)
	defer v.Release()
	a := upstream.Ask{Req: req, Now: now, View: v, Needs: v.Needs(), Talk: talk}
	opts := slices.Clone(c.opts)
	c.auto.Order(opts, a)
	var names []string
	for _, o := range opts {
		names = append(names, o.ID)
	}
	return names, c.auto.Decide(opts, nil, a)
}

func (c *chooser) want(t *testing.T, what string, req *llm.Request, want ...string) {
	t.Helper()
	got, d := c.rank(req, 0, 1)
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v; %+v", what, got, want, d)
	}
}

func TestAutoByTask(t *testing.T) {
	c := choose(t, taught(t), AutoSettings{}, member{name: "adder", usd: 1}, member{name: "writer", usd: 1})
	c.want(t, "sum", asking(sum, llm.Context{}), "adder", "writer")
	c.want(t, "poem", asking(poem, llm.Context{}), "writer", "adder")
	c.want(t, "poem, said to be a sum", asking(poem, llm.Context{Task: "sums"}), "adder", "writer")
	_, d := c.rank(asking(sum, llm.Context{}), 0, 1)
	if d.Router != "learned" || d.Task != "sums" || d.Confidence < 0.7 || d.Coverage < 0.5 || len(d.Considered) != 2 || d.Considered[0].Model != "adder" ||
		d.Considered[0].Target != "p/adder" || d.Considered[0].Quality < 0.8 || !strings.HasPrefix(d.Reason, "sums (") {
		t.Errorf("the decision is %+v", d)
	}
}

// TestAutoTable: whose word counts, for a model of which the router knows nothing
// and for one that it knows.
func TestAutoTable(t *testing.T) {
	prior := func(task string) (float64, string, bool) { return 0.7, "tests@2026-01-02", task == "sums" }
	for name, x := range map[string]struct {
		m    member
		want float64 // of the first, for a sum; within 0.06: other tasks are possible
		by   string
	}{
		"operator":               {member{name: "new", caps: map[string]float64{"sums": 0.2}, prior: prior}, 0.2, "capabilities"},
		"catalog":                {member{name: "new", prior: prior}, 0.7, "tests@2026-01-02"},
		"nobody":                 {member{name: "new"}, neutral, ""},
		"router":                 {member{name: "adder", prior: prior}, 0.9, "learned"},
		"operator before router": {member{name: "writer", caps: map[string]float64{"sums": 0.85}}, 0.85, "capabilities"},
	} {
		c := choose(t, taught(t), AutoSettings{}, x.m)
		if _, d := c.rank(asking(sum, llm.Context{}), 0, 1); math.Abs(d.Considered[0].Quality-x.want) > 0.06 || d.Considered[0].By != x.by {
			t.Errorf("%s: quality %+v, want about %v by %q", name, d.Considered[0], x.want, x.by)
		}
	}
}

func TestAutoDials(t *testing.T) {
	big := member{name: "writer", usd: 10, latency: 2 * time.Second} // 0.95 at poems
	small := member{name: "small", usd: 0.5, latency: 300 * time.Millisecond, caps: map[string]float64{"poems": 0.78}}
	tiny := member{name: "tiny", usd: 0.05, latency: 1500 * time.Millisecond, caps: map[string]float64{"poems": 0.5}}
	for name, x := range map[string]struct {
		dial Dial
		ctx  llm.Context
		want []string
	}{
		"quality":                {dial: Dial{Prefer: "quality"}, want: []string{"writer", "small", "tiny"}},
		"balanced":               {want: []string{"writer", "small", "tiny"}},
		"cost":                   {dial: Dial{Prefer: "cost"}, want: []string{"small", "writer", "tiny"}},
		"latency":                {dial: Dial{Prefer: "latency"}, want: []string{"small", "writer", "tiny"}},
		"balanced, low budget":   {ctx: llm.Context{Budget: "low"}, want: []string{"small", "writer", "tiny"}},
		"cost, high budget":      {dial: Dial{Prefer: "cost"}, ctx: llm.Context{Budget: "high"}, want: []string{"writer", "small", "tiny"}},
		"balanced, in a hurry":   {ctx: llm.Context{LatencyCritical: true}, want: []string{"small", "writer", "tiny"}},
		"0.95 of the best":       {dial: Dial{Quality: 0.95}, want: []string{"writer", "small", "tiny"}},
		"0.8 of the best":        {dial: Dial{Quality: 0.8}, want: []string{"small", "writer", "tiny"}},
		"0.5 of the best":        {dial: Dial{Quality: 0.5}, want: []string{"tiny", "small", "writer"}},
		"0.9 of it, low budget":  {dial: Dial{Quality: 0.9}, ctx: llm.Context{Budget: "low"}, want: []string{"small", "writer", "tiny"}},
		"0.8 of it, high budget": {dial: Dial{Quality: 0.8}, ctx: llm.Context{Budget: "high"}, want: []string{"writer", "small", "tiny"}},
		"all that may be spent":  {dial: Dial{MaxCost: 1e9}, want: []string{"writer", "small", "tiny"}},
	} {
		c := choose(t, taught(t), AutoSettings{Dial: x.dial}, big, small, tiny)
		got, d := c.rank(asking(poem, x.ctx), 0, 1)
		if !slices.Equal(got, x.want) {
			t.Errorf("%s: %v, want %v; %+v", name, got, x.want, d.Considered)
		}
	}
}

// TestAutoUtility: what is told is what the formula says.
func TestAutoUtility(t *testing.T) {
	c := choose(t, taught(t), AutoSettings{Dial: Dial{Prefer: "balanced"}}, member{name: "adder", usd: 10, latency: 1500 * time.Millisecond}, member{name: "writer", usd: 1})
	_, d := c.rank(asking(sum, llm.Context{}), 0, 1)
	for _, x := range d.Considered {
		late := max(0, x.LatencyMS-500) / 1000
		want := x.Quality - 0.08*x.Cost.USD()/d.Considered[0].Cost.USD() - 0.05*late // of the dearest
		if math.Abs(x.Utility-want) > 1e-4 {
			t.Errorf("%s: utility %v, want %v of %+v", x.Model, x.Utility, want, x)
		}
	}
}

func TestAutoContext(t *testing.T) {
	safe := member{name: "safe", usd: 1, caps: map[string]float64{"poems": 0.7, "safety": 0.95}}
	c := choose(t, taught(t), AutoSettings{}, member{name: "writer", usd: 1}, safe)
	c.want(t, "as it is", asking(poem, llm.Context{}), "writer", "safe")
	c.want(t, "safety-critical", asking(poem, llm.Context{SafetyCritical: true}), "safe", "writer")
	thrifty := member{name: "thrifty", usd: 1, caps: map[string]float64{"poems": 0.85, "cost_efficient": 1}}
	c = choose(t, taught(t), AutoSettings{}, member{name: "writer", usd: 1}, thrifty)
	c.want(t, "as it is", asking(poem, llm.Context{}), "writer", "thrifty")
	c.want(t, "low budget", asking(poem, llm.Context{Budget: "low"}), "thrifty", "writer")
}

// TestAutoAbilities: who is known to be able goes before who may be.
func TestAutoAbilities(t *testing.T) {
	c := choose(t, taught(t), AutoSettings{}, member{name: "writer", usd: 1}, member{name: "adder", usd: 1})
	c.opts[1].Pool.Options[0].Target.Can = llm.CanImage
	req := asking(poem, llm.Context{})
	c.want(t, "text", req, "writer", "adder")
	form := req.Body.(chat).form
	form.Messages[0].Blocks = append(form.Messages[0].Blocks, llm.Block{Kind: llm.BlockImage, Media: &llm.Media{URL: "https://x"}})
	c.want(t, "image", req, "adder", "writer")
}

type evidence map[string]float64

func (e evidence) Quality(target, task string, prior, weight float64, _ time.Time) float64 {
	if mean, ok := e[target+" "+task]; ok {
		return (weight*prior + 1000*mean) / (weight + 1000)
	}
	return prior
}

func TestAutoEvidence(t *testing.T) {
	c := choose(t, taught(t), AutoSettings{Evidence: evidence{"p/writer poems": 0.1, "p/adder poems": 0.9}}, member{name: "writer", usd: 1}, member{name: "adder", usd: 1})
	c.want(t, "poem", asking(poem, llm.Context{}), "adder", "writer")
	c.want(t, "sum", asking(sum, llm.Context{}), "adder", "writer")
}

// TestAutoUnknownPrice: it is taken for the dearest.
func TestAutoUnknownPrice(t *testing.T) {
	same := map[string]float64{"poems": 0.8, "sums": 0.8}
	c := choose(t, taught(t), AutoSettings{}, member{name: "a", usd: -1, caps: same}, member{name: "b", usd: 1, caps: same}, member{name: "c", usd: 10, caps: same})
	c.want(t, "poem", asking(poem, llm.Context{}), "b", "a", "c")
}

// TestAutoLong: how long a prompt is does not decide how much quality it is worth.
func TestAutoLong(t *testing.T) {
	best := member{name: "best", usd: 30, caps: map[string]float64{"poems": 0.9, "sums": 0.9}}
	good := member{name: "good", usd: 0.1, caps: map[string]float64{"poems": 0.8, "sums": 0.8}}
	long := asking(strings.Repeat("once more, ", 40000)+poem, llm.Context{})
	for name, dial := range map[string]Dial{"quality": {Prefer: "quality"}, "balanced": {}, "max_cost": {MaxCost: 1e12}} {
		c := choose(t, taught(t), AutoSettings{Dial: dial}, good, best)
		c.want(t, name+", short", asking(poem, llm.Context{}), "best", "good")
		c.want(t, name+", long", long, "best", "good")
	}
	c := choose(t, taught(t), AutoSettings{Dial: Dial{Prefer: "cost"}}, best, good)
	c.want(t, "cost, long", long, "good", "best")
}

// TestAutoOneScale: models that the router does not know are compared with those
// that it does by the catalog alone, and those that nobody knows are the least.
func TestAutoOneScale(t *testing.T) {
	by := func(q float64) func(string) (float64, string, bool) {
		return func(string) (float64, string, bool) { return q, "tests@2026-01-02", true }
	}
	c := choose(t, taught(t), AutoSettings{Dial: Dial{Prefer: "quality"}},
		member{name: "nobody-knows", usd: 0.1}, member{name: "adder", usd: 0.1, prior: by(0.2)}, member{name: "large", usd: 9, prior: by(0.4)})
	c.want(t, "sum", asking(sum, llm.Context{}), "large", "adder", "nobody-knows")
	c.want(t, "poem", asking(poem, llm.Context{}), "large", "adder", "nobody-knows")
	_, d := c.rank(asking(sum, llm.Context{}), 0, 1)
	for i, want := range []float64{0.4, 0.2, 0.18} {
		if math.Abs(d.Considered[i].Quality-want) > 1e-6 {
			t.Errorf("%+v, want the quality %v", d.Considered[i], want)
		}
	}
	c = choose(t, taught(t), AutoSettings{Dial: Dial{Prefer: "quality"}}, // the router knows more of them
		member{name: "nobody-knows", usd: 0.1}, member{name: "adder", usd: 0.1}, member{name: "writer", usd: 9})
	c.want(t, "sum, of one's own models", asking(sum, llm.Context{}), "adder", "writer", "nobody-knows")
}

// took tells the chooser that an option answers.
func (c *chooser) took(req *llm.Request, option int, now time.Duration) {
	v := c.router.Look(req)
	defer v.Release()
	c.auto.Took(c.opts[option], upstream.Ask{Req: req, Now: int64(now), Talk: 7, View: v, Needs: v.Needs()})
}

// TestAutoStays: a conversation stays where its prompt is in the cache as long as
// that is worth it, and one hard request keeps it nowhere for longer.
func TestAutoStays(t *testing.T) {
	same := map[string]float64{"poems": 0.8, "sums": 0.8}
	home, other := member{name: "home", usd: 1, caps: same}, member{name: "other", usd: 0.9, caps: same}
	lesser := member{name: "lesser", usd: 0.01, caps: map[string]float64{"poems": 0.5, "sums": 0.83}}
	c := choose(t, taught(t), AutoSettings{Memory: &Memory{}, Dial: Dial{Prefer: "cost"}}, home, other, lesser)
	c.opts[0].Pool.Options[0].Target.Price.Set(llm.UnitCachedRead, 1e5)
	long := asking(strings.Repeat("once more, ", 4000)+poem, llm.Context{})
	first := func(req *llm.Request, now time.Duration) string {
		got, _ := c.rank(req, 7, int64(now))
		return got[0]
	}
	if got := first(long, 1); got != "lesser" {
		t.Fatalf("a new conversation is with %s", got)
	}
	c.took(long, 0, time.Second)
	if got := first(long, time.Minute); got != "home" {
		t.Errorf("a conversation with a warm cache goes to %s", got)
	}
	if got := first(long, time.Hour); got != "lesser" { // the cache is cold
		t.Errorf("a conversation with a cold cache goes to %s", got)
	}
	if got := first(asking(poem, llm.Context{}), time.Minute); got == "home" {
		t.Errorf("another conversation under the same key goes to %s", got)
	}
	named := asking(strings.Repeat("once more, ", 4000)+sum, llm.Context{})
	named.Caller.Session = "mine"
	c = choose(t, taught(t), AutoSettings{Memory: &Memory{}, Dial: Dial{Prefer: "quality"}}, home, other, lesser)
	if got := first(named, 1); got != "lesser" {
		t.Fatalf("a new conversation is with %s", got)
	}
	c.took(named, 0, time.Second)
	if got := first(named, time.Minute); got != "home" {
		t.Errorf("a conversation with a warm cache falls to %s", got)
	}
	if got := first(named, time.Hour); got != "lesser" {
		t.Errorf("a conversation with a cold cache is kept by %s", got)
	}
}

func TestMemory(t *testing.T) {
	var m Memory
	if x := m.recall(5, 1); x.key != 0 {
		t.Errorf("an empty memory has %+v", x)
	}
	for k := range uint64(3 * remembered) {
		m.note(k+1, uint32(k), 2000, int64(k)+1)
	}
	n := 0
	for k := range uint64(3 * remembered) {
		if x := m.recall(k+1, 3*remembered); x.key != 0 {
			n++
			if x.who != uint32(k) || k < 2*remembered {
				t.Fatalf("%d: %+v", k, x)
			}
		}
	}
	if n != remembered {
		t.Errorf("%d conversations are remembered, want %d", n, remembered)
	}
}

// TestRulesOrder: the scores of RequestClassifier.
func TestRulesOrder(t *testing.T) {
	seed := []member{
		{name: "gpt-4", usd: 1, caps: map[string]float64{"reasoning": 0.95, "coding": 0.9, "creative": 0.85, "analysis": 0.9}},
		{name: "claude-3", usd: 1, latency: 400 * time.Millisecond, caps: map[string]float64{"reasoning": 0.9, "writing": 0.95, "analysis": 0.85, "safety": 0.95}},
		{name: "llama-2", usd: 1, latency: 2 * time.Second, caps: map[string]float64{"coding": 0.8, "general": 0.85, "cost_efficient": 0.95}},
		{name: "gemini-pro", usd: 1, caps: map[string]float64{"multimodal": 0.9, "reasoning": 0.85, "coding": 0.8}},
	}
	c := choose(t, taught(t), AutoSettings{Rules: true}, seed...)
	for name, x := range map[string]struct {
		text   string
		ctx    llm.Context
		task   string
		sure   float64
		order  []string
		scores []float64
	}{
		"coding":  {"Please debug this", llm.Context{}, "coding", 0.25, []string{"gpt-4", "llama-2", "gemini-pro", "claude-3"}, []float64{0.9, 0.8, 0.8, 0.5}},
		"general": {"Hello", llm.Context{}, "general", 0, []string{"llama-2", "gpt-4", "claude-3", "gemini-pro"}, []float64{0.85, 0.5, 0.5, 0.5}},
		"low":     {"Analyze and compare this", llm.Context{Budget: "low"}, "reasoning", 0.5, []string{"gpt-4", "claude-3", "gemini-pro", "llama-2"}, []float64{0.76, 0.72, 0.68, 0.475}},
		"fast":    {"debug", llm.Context{LatencyCritical: true}, "coding", 0.25, []string{"gpt-4", "gemini-pro", "claude-3", "llama-2"}, []float64{0.45, 0.4, 0.3, 0}},
		"safe":    {"summarize", llm.Context{SafetyCritical: true}, "analysis", 1. / 3, []string{"claude-3", "gpt-4", "llama-2", "gemini-pro"}, []float64{0.8075, 0.63, 0.35, 0.35}},
		"task":    {"Hello", llm.Context{Task: "writing"}, "writing", 1, []string{"claude-3", "gpt-4", "llama-2", "gemini-pro"}, []float64{0.95, 0.5, 0.5, 0.5}},
	} {
		got, d := c.rank(asking(x.text, x.ctx), 0, 1)
		if !slices.Equal(got, x.order) || d.Task != x.task || math.Abs(d.Confidence-x.sure) > 1e-4 || d.Router != "rules" || d.Reason != "Best for "+x.task+" tasks" {
			t.Errorf("%s: %v, %+v", name, got, d)
		}
		for i, s := range x.scores {
			if math.Abs(d.Considered[i].Utility-s) > 1e-5 {
				t.Errorf("%s: %s has %v, want %v", name, d.Considered[i].Model, d.Considered[i].Utility, s)
			}
		}
	}
}

// TestRouterSwap: another model in force counts for the next request.
func TestRouterSwap(t *testing.T) {
	c := choose(t, taught(t), AutoSettings{}, member{name: "adder", usd: 1}, member{name: "writer", usd: 1})
	c.want(t, "sum", asking(sum, llm.Context{}), "adder", "writer")
	var data []learned.Example
	for i := range 100 {
		data = append(data, learned.Example{Prompt: fmt.Sprintf("Add the numbers %d and 4", i), Task: "sums", Outcomes: map[string]learned.Outcome{"adder": {Quality: 0}, "writer": {Quality: 1}}})
	}
	m, err := learned.Train(data, learned.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.router.Use(m)
	c.want(t, "sum", asking(sum, llm.Context{}), "writer", "adder")
}

func TestAbilities(t *testing.T) {
	block := func(b ...llm.Block) *llm.Chat { return &llm.Chat{Messages: []llm.Message{{Blocks: b}}} }
	for name, x := range map[string]struct {
		c    *llm.Chat
		want llm.Ability
	}{
		"text":           {block(llm.Block{Text: "x"}), 0},
		"image":          {block(llm.Block{Kind: llm.BlockImage}), llm.CanImage},
		"audio":          {block(llm.Block{Kind: llm.BlockAudio}), llm.CanAudio},
		"pdf":            {block(llm.Block{Kind: llm.BlockFile, Media: &llm.Media{MIME: "application/pdf"}}), llm.CanDocument},
		"text file":      {block(llm.Block{Kind: llm.BlockFile, Media: &llm.Media{Text: "x"}}), 0},
		"video":          {block(llm.Block{Kind: llm.BlockFile, Media: &llm.Media{MIME: "video/mp4"}}), llm.CanVideo},
		"image of tool":  {block(llm.Block{Kind: llm.BlockResult, Result: []llm.Block{{Kind: llm.BlockImage}}}), llm.CanTools | llm.CanImage},
		"called tool":    {block(llm.Block{Kind: llm.BlockCall}), llm.CanTools},
		"tools":          {&llm.Chat{Tools: []llm.Tool{{Name: "f"}}}, llm.CanTools},
		"tools not used": {&llm.Chat{Tools: []llm.Tool{{Name: "f"}}, Choice: llm.Choice{Mode: llm.ChoiceNone}}, 0},
		"schema":         {&llm.Chat{Format: llm.Format{Kind: llm.FormatSchema}}, llm.CanStructured},
		"json":           {&llm.Chat{Format: llm.Format{Kind: llm.FormatJSON}}, 0},
		"spoken answer":  {&llm.Chat{Left: []llm.Left{{Name: "audio", Must: true}}}, llm.CanSpeak},
	} {
		if got := abilities(x.c); got != x.want {
			t.Errorf("%s: %v, want %v", name, got.Names(), x.want.Names())
		}
	}
}

// sixteen is a choice between 16 models, half of which the embedded router knows.
func sixteen(t testing.TB) (*chooser, *llm.Request) {
	m := learned.Embedded()
	var members []member
	for i := range 16 {
		x := member{name: fmt.Sprint("m", i), usd: float64(i + 1), latency: time.Duration(200+50*i) * time.Millisecond}
		if i < 8 && i < len(m.Models) {
			x.name = m.Models[i]
		} else {
			x.caps = map[string]float64{"coding": 0.5 + float64(i)/40, "reasoning": 0.8}
		}
		members = append(members, x)
	}
	c := choose(t, m, AutoSettings{Memory: &Memory{}}, members...)
	text := strings.Repeat("Explain why the following function is slow and rewrite it, with tests for empty input. ", 5)[:400]
	return c, asking(text, llm.Context{})
}

// decide is what a request costs on its way to its order.
func (c *chooser) decide(req *llm.Request, opts []*upstream.Option) {
	v := c.router.Look(req)
	copy(opts, c.opts)
	c.auto.Order(opts, upstream.Ask{Req: req, Now: 1, View: v, Needs: v.Needs(), Talk: 9})
	v.Release()
}

// BenchmarkDecision is a decision between 16 models for a prompt of 400 bytes:
// needs, tasks, qualities, order. p50-ns and p99-ns are of the last ones; the mean
// is also of what else the machine did.
func BenchmarkDecision(b *testing.B) {
	c, req := sixteen(b)
	opts := slices.Clone(c.opts)
	took := make([]time.Duration, 0, 1<<16)
	b.ReportAllocs()
	for b.Loop() {
		if len(took) == cap(took) {
			took = took[:0]
		}
		begin := time.Now()
		c.decide(req, opts)
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
	b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
}

// BenchmarkNeutralForm is what a request of the same size costs to be decoded
// before: an auto model needs it, and others where they translate.
func BenchmarkNeutralForm(b *testing.B) {
	text := strings.Repeat("Explain why the following function is slow and rewrite it, with tests for empty input. ", 5)[:400]
	raw := []byte(`{"model":"auto","messages":[{"role":"system","content":"You help."},{"role":"user","content":"` + text + `"}]}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, e := (openai.Codec{}).Chat(raw); e != nil {
			b.Fatal(e)
		}
	}
}

func TestDecisionAllocatesNothing(t *testing.T) {
	if raced {
		t.Skip("under the race detector pools drop what they are given")
	}
	c, req := sixteen(t)
	opts := slices.Clone(c.opts)
	if n := testing.AllocsPerRun(200, func() { c.decide(req, opts) }); n != 0 {
		t.Errorf("a decision allocates %v times", n)
	}
}
