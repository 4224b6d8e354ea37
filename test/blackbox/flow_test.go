package blackbox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The flows: every client on every vendor's protocol. A flow is written once,
// in terms of ask and answer; a driver says them in the words of one SDK.

// ask is what a flow wants of a model.
type ask struct {
	Base   string   `json:"base"` // the gateway's address, without a path
	Key    string   `json:"key"`
	Model  string   `json:"model"`
	Stream bool     `json:"stream"`
	System string   `json:"system,omitempty"`
	Turns  []say    `json:"turns,omitempty"`
	Tools  []tool   `json:"tools,omitempty"`
	Choice string   `json:"choice,omitempty"` // "required", or a tool's name; "": the model chooses
	Schema any      `json:"schema,omitempty"` // of the answer; nil: it is text
	Think  bool     `json:"think,omitempty"`
	Max    int      `json:"max,omitempty"` // tokens of the answer; 0: the driver's
	Stop   string   `json:"stop,omitempty"`
	N      int      `json:"n,omitempty"`
	Mark   bool     `json:"mark,omitempty"`   // the prompt is to be cached, where the client can say so
	Cancel int      `json:"cancel,omitempty"` // leave after so many pieces
	Embed  []string `json:"embed,omitempty"`
	Models bool     `json:"models,omitempty"` // list them, and show Model
	Count  bool     `json:"count,omitempty"`  // only count the tokens of the prompt
	Quiet  bool     `json:"quiet,omitempty"`  // do not ask for usage, where a stream must be asked
}

// say is a user's words, an answer that goes back as the SDK had it, or the
// results of its calls.
type say struct {
	User    string   `json:"user,omitempty"`
	Image   string   `json:"image,omitempty"` // a PNG in base64, before the words
	Reply   *answer  `json:"-"`
	Handle  int      `json:"reply,omitempty"` // of Reply, where the driver is another process
	Results []result `json:"results,omitempty"`
}

type tool struct {
	Name        string         `json:"name"`
	Description string         `json:"description"`
	Schema      map[string]any `json:"schema"`
}

type result struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Text string `json:"text"`
}

// answer is what the SDK made of the answer, or of the error.
type answer struct {
	Text     string      `json:"text"`
	Thinking string      `json:"thinking"`
	Calls    []toolCall  `json:"calls"`
	Finish   string      `json:"finish"` // stop, length or tools; else the SDK's word
	Usage    flowUsage   `json:"usage"`
	Choices  []string    `json:"choices"`
	Models   []string    `json:"models"`
	Vectors  [][]float64 `json:"vectors"`
	Pieces   int         `json:"pieces"` // that came before the end, or the error
	Err      *flowError  `json:"error"`
	Handle   int         `json:"handle"`

	native any
}

type toolCall struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Args string `json:"args"` // JSON
}

// flowUsage has Input with what is cached, and Output with what was thought;
// -1: the SDK does not tell.
type flowUsage struct {
	Input     int `json:"input"`
	Output    int `json:"output"`
	Cached    int `json:"cached"`
	Reasoning int `json:"reasoning"`
}

type flowError struct {
	Class   string `json:"class"`
	Status  int    `json:"status"` // 0: none, as amid a stream
	Code    string `json:"code"`   // OpenAI's code, Anthropic's type, Gemini's status
	Message string `json:"message"`
}

func (e *flowError) String() string {
	return fmt.Sprintf("%s %d %s: %s", e.Class, e.Status, e.Code, tail(e.Message, 300))
}

// driver speaks through one SDK. It is safe for concurrent use.
type driver interface {
	ask(ctx context.Context, a *ask) *answer
}

// protocol is what a client speaks.
type protocol string

const (
	protoChat      protocol = "chat"
	protoResponses protocol = "responses"
	protoAnthropic protocol = "anthropic"
	protoGemini    protocol = "gemini"
)

// flowClient is an SDK in one of its manners.
type flowClient struct {
	name  string
	proto protocol
	driver
	unary, streams bool
	sees           bool // thinking is shown
	seals          bool // an answer goes back with what seals its thinking
	forgets        bool // but a streamed one does not: the SDK drops it
	n, stops       bool // the SDK can ask for them
	marks          bool // it marks prompts to be cached
	embeds         bool
	lists          bool              // models
	counts         bool              // tokens, without an answer
	slashes        bool              // models are asked for as provider/model
	cannot         map[string]string // flows, and why the SDK cannot have them, whatever it talks to
}

// flowVendor is a vendor's protocol.
type flowVendor struct {
	name     string
	settings string // of its provider
	letter   string // of the gateway's models
	thinker  string // how the name of a model that thinks begins
	seals    bool   // it signs what it thought
	marked   bool   // it caches what is marked only
	embeds   bool
}

var flowVendors = []flowVendor{
	{name: "chat", settings: "kind: openai", letter: "o", embeds: true},
	{name: "responses", settings: "kind: openai, protocol: responses", letter: "r", embeds: true, seals: true},
	{name: "anthropic", settings: "kind: anthropic", letter: "a", seals: true, marked: true},
	{name: "gemini", settings: "kind: gemini", letter: "g", embeds: true, seals: true, thinker: "gemini-3-"},
}

// flow is one conversation of a client with a vendor's model.
type flow struct {
	*testing.T
	rig    *flowRig
	client *flowClient
	vendor *flowVendor
	stream bool
	name   string
}

// model is a model that all flows share.
func (f *flow) model(name string) string {
	if f.client.slashes && name == "shut" {
		return "shut-" + f.vendor.name + "/busy"
	}
	if f.client.slashes {
		return f.vendor.name + "/" + name
	}
	return f.vendor.letter + "-" + name
}

// own is a model that no other flow asks.
func (f *flow) own(kind string) string {
	mode := "unary"
	if f.stream {
		mode = "stream"
	}
	prefix := ""
	if kind == "think" {
		kind = f.vendor.thinker + kind
		if f.client.proto == protoChat || f.client.proto == protoResponses {
			prefix = reasoner
		}
	}
	return prefix + f.model(strings.Join([]string{kind, f.client.name, f.vendor.name, f.name, mode}, "."))
}

// reasoner begins a second name of each model, for SDKs that ask only models of
// such names to think.
const reasoner = "gpt-5-"

// ask asks; every answer must come, and none may come without a word.
func (f *flow) ask(a ask) *answer {
	f.Helper()
	a.Base, a.Stream = f.rig.url, f.stream
	if a.Key == "" {
		a.Key = keyOne
	}
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	return f.client.ask(ctx, &a)
}

// well asks and wants no error.
func (f *flow) well(a ask) *answer {
	f.Helper()
	r := f.ask(a)
	if r.Err != nil {
		f.Fatalf("got %s", r.Err)
	}
	return r
}

// seen checks, once all flows are over, what the simulator saw of a model.
func (f *flow) seen(model string, check func(calls []simCall) string) {
	name := strings.TrimPrefix(strings.TrimPrefix(model, reasoner), f.model(""))
	f.rig.mu.Lock()
	f.rig.later = append(f.rig.later, laterCheck{f.rig.row(f), f.Name(), name, check})
	f.rig.mu.Unlock()
}

type laterCheck struct {
	row   *flowRow
	flow  string
	model string
	check func(calls []simCall) string // "": well
}

// flowRow counts a client's flows with a vendor.
type flowRow struct {
	total  int
	failed map[string]bool // by the flow's name
}

type flowRig struct {
	*gateway
	sim *simulator

	mu    sync.Mutex
	rows  map[string]*flowRow
	later []laterCheck
}

// row returns the row of a flow. The caller holds mu.
func (r *flowRig) row(f *flow) *flowRow {
	key := f.client.name + "/" + f.vendor.name
	if r.rows[key] == nil {
		r.rows[key] = &flowRow{failed: make(map[string]bool)}
	}
	return r.rows[key]
}

// newFlowRig starts the simulator and the gateway in front of it.
func newFlowRig(t *testing.T, clients []flowClient) *flowRig {
	t.Helper()
	var b strings.Builder
	b.WriteString(`
seed: 7
control: true
journal: 50000
any_model: true
default: {tokens: 12, thinking: 0, cache: 5m}
models:
  chat: {tokens: 12}
  long: {tokens: 40}
  embed: {dimensions: 16}
  small: {tokens: 12, context: 60}
  busy: {fault: {kind: status, status: 503}}
  limited: {rpm: 1}
  failing: {tokens: 12, fault: {kind: error_mid, after: 3}}
  cut: {tokens: 12, fault: {kind: cut, after: 3}}
`)
	for _, c := range clients {
		for _, v := range flowVendors {
			for _, mode := range []string{"unary", "stream"} {
				fmt.Fprintf(&b, "  %sthink.%s.%s.thinking.%s: {tokens: 12, thinking: 16}\n", v.thinker, c.name, v.name, mode)
			}
			fmt.Fprintf(&b, "  slow.%s.%s.cancel.stream: {tokens: 2000, tokens_per_second: 50}\n", c.name, v.name)
		}
	}
	s := simulate(t, b.String())
	return &flowRig{gateway: serve(t, flowGateway(s.url), withEnv("KEY="+keyOne)), sim: s, rows: make(map[string]*flowRow)}
}

// flowGateway is the configuration: each of the vendors, and each again with a
// breaker that one failure opens.
func flowGateway(sim string) string {
	var providers, models strings.Builder
	for _, v := range flowVendors {
		settings := fmt.Sprintf(`base_url: "%s", api_key: vendor-key-0123456789, %s`, sim, v.settings)
		fmt.Fprintf(&providers, "  %[1]s: {%[2]s}\n  shut-%[1]s: {%[2]s, breaker: {failures: 1, cooldown: 30s}}\n", v.name, settings)
		fmt.Fprintf(&models, "  \"%[1]s-*\": \"%[2]s/*\"\n  \"%[3]s%[1]s-*\": \"%[2]s/*\"\n  %[1]s-shut: shut-%[2]s/busy\n", v.letter, v.name, reasoner)
	}
	return "breaker: {failures: 0, success_rate: 0}\nproviders:\n" + providers.String() + "models:\n" + models.String() +
		"keys: [{name: sdk, key: \"${KEY}\"}]\n"
}

// TestFlows prints a matrix of clients and vendors, and its last line is
// "flows: P passed, F failed of N".
func TestFlows(t *testing.T) {
	t.Parallel()
	clients := slices.Concat(goClients(), nodeClients(t))
	rig := newFlowRig(t, clients)
	began := time.Now()
	t.Run("all", func(t *testing.T) {
		for i := range clients {
			t.Run(clients[i].name, func(t *testing.T) {
				t.Parallel()
				for j := range flowVendors {
					t.Run(flowVendors[j].name, func(t *testing.T) {
						t.Parallel()
						rig.run(t, &clients[i], &flowVendors[j])
					})
				}
			})
		}
	})
	rig.settle(t)
	rig.report(clients, time.Since(began))
}

// run runs a client's flows with a vendor.
func (r *flowRig) run(t *testing.T, c *flowClient, v *flowVendor) {
	for i := range flowTable {
		k := &flowTable[i]
		if k.can != nil && !k.can(c, v) {
			continue
		}
		for _, stream := range []bool{false, true} {
			if stream && (!c.streams || k.mode == unaryOnly) || !stream && (!c.unary || k.mode == streamOnly) {
				continue
			}
			name := k.name
			if stream {
				name += " streamed"
			}
			if c.cannot[name] != "" {
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f := &flow{T: t, rig: r, client: c, vendor: v, stream: stream, name: k.name}
				r.mu.Lock()
				row := r.row(f)
				row.total++
				r.mu.Unlock()
				defer func() {
					if t.Failed() {
						r.mu.Lock()
						row.failed[t.Name()] = true
						r.mu.Unlock()
					}
				}()
				k.run(f)
			})
		}
	}
}

// settle makes the checks of what the simulator saw.
func (r *flowRig) settle(t *testing.T) {
	t.Helper()
	var j struct{ Calls []simCall }
	body := do(t, http.MethodGet, r.sim.url+"/sim/journal", "").body
	if err := json.Unmarshal(body, &j); err != nil {
		t.Fatalf("the simulator's journal: %v", err)
	}
	byModel := make(map[string][]simCall)
	for _, c := range j.Calls {
		byModel[c.Model] = append(byModel[c.Model], c)
	}
	for _, l := range r.later {
		if wrong := l.check(byModel[l.model]); wrong != "" {
			t.Errorf("%s: %s", l.flow, wrong)
			l.row.failed[l.flow] = true
		}
	}
}

func (r *flowRig) report(clients []flowClient, took time.Duration) {
	total, failed := 0, 0
	fmt.Fprintf(os.Stdout, "%-28s", "client \\ vendor")
	for _, v := range flowVendors {
		fmt.Fprintf(os.Stdout, "%12s", v.name)
	}
	fmt.Fprintln(os.Stdout)
	for _, c := range clients {
		fmt.Fprintf(os.Stdout, "%-28s", c.name)
		for _, v := range flowVendors {
			row := r.rows[c.name+"/"+v.name]
			if row == nil {
				fmt.Fprintf(os.Stdout, "%12s", "-")
				continue
			}
			fmt.Fprintf(os.Stdout, "%12s", fmt.Sprintf("%d/%d", row.total-len(row.failed), row.total))
			total, failed = total+row.total, failed+len(row.failed)
		}
		fmt.Fprintln(os.Stdout)
	}
	fmt.Fprintf(os.Stdout, "flows: %d passed, %d failed of %d, in %.0f s\n", total-failed, failed, total, took.Seconds())
}
