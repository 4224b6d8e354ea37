package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// Guard looks at requests and answers. One of Rules, PII, Moderation, Model and
// Webhook is set.
type Guard struct {
	Name       string
	Rules      []GuardRule
	PII        map[string]string // kind → mask, block or flag; nil: no such guard
	Moderation *Moderation
	Model      *GuardModel
	Webhook    *Webhook
	On         []string // input, output
	OnError    string   // closed | open
	Timeout    time.Duration
	Sample     float64
	Risk       string // class of what is found, where that does not say itself
	Hold       string // off | whole
	Scope      string // all | last
	Restore    bool
}

// GuardRule is words or a pattern to look for.
type GuardRule struct {
	Pattern string // RE2; "": words
	Words   []string
	Action  string // flag | mask | block
	Risk    string // "": the guard's
}

// Moderation is a vendor's moderation endpoint.
type Moderation struct {
	Model      string             // a target
	Thresholds map[string]float64 // class → least score; nil: what the vendor flags
	Categories []string           // nil: all
}

// GuardModel is a model that judges.
type GuardModel struct {
	Model  string // a model or target
	Prompt string // "": it knows, as Llama Guard does
}

// Webhook is a service of the operator's.
type Webhook struct {
	URL     Secret
	Secret  Secret // signs the calls; "": none
	Headers map[string]Secret
}

// Response is what a class of risk does to requests of a model: it blocks them, or
// the other fields say who answers and how.
type Response struct {
	Block  bool
	Models []string // these answer and no others; nil: the model
	Accept []Gate   // what answers must pass beside the model's own gates
}

// GuardKinds are the kinds of a guard.
var GuardKinds = []string{"rules", "pii", "moderation", "model", "webhook"}

// PII are the kinds that a pii guard finds.
var PII = []string{"email", "card", "iban", "ssn", "phone", "ip", "jwt", "api_key"}

const (
	maxGuards  = 64
	maxRules   = 100
	maxWords   = 1000 // of one rule
	maxWord    = 200  // bytes
	maxPattern = 1000 // bytes
	maxPrompt  = 16 << 10
)

// usual is the class that a finding means by the kind of its guard.
var usual = map[string]string{"rules": "high", "pii": "low", "moderation": "high", "model": "high", "webhook": "high"}

// guardsSpec is a mapping from names to guards.
func guardsSpec() spec[[]Guard] {
	one := guardSpec()
	doc := schema{Type: "object", Values: &one.doc}
	return spec[[]Guard]{doc: doc, read: func(d *decoder, v value, dst *[]Guard) {
		if v.kind != kindMapping {
			if v.kind != kindNull {
				d.failf(v, "%s is %s: write a mapping such as {personal: {pii: mask}}", v.path, v.what())
			}
			return
		}
		if len(v.keys) > maxGuards {
			d.failf(v, "%s has %d guards: write at most %d", v.path, len(v.keys), maxGuards)
			return
		}
		out := make([]Guard, 0, len(v.keys))
		d.each(v, func(key *node, x value) {
			if !d.name(key, v.path, checkGuard) {
				return
			}
			g := Guard{Name: key.text}
			one.init(&g)
			one.read(d, x, &g)
			out = append(out, g)
		})
		*dst = out
	}}
}

func checkGuard(s string) string {
	if s == "" || len(s) > 64 || !isName(s, "_-") {
		return "write a word of letters, digits, _ and -"
	}
	return ""
}

func guardSpec() spec[Guard] {
	s := object(
		on("rules", "", "words and patterns to look for", list(ruleSpec(), maxRules), func(g *Guard) *[]GuardRule { return &g.Rules }),
		on("pii", "", "what identifies people or lets them in: one action for all kinds, or one for each that counts", piiSpec(), func(g *Guard) *map[string]string { return &g.PII }),
		on("moderation", "", "a vendor's moderation endpoint", optional(moderationSpec()), func(g *Guard) **Moderation { return &g.Moderation }),
		on("model", "", "a guard model", optional(guardModelSpec()), func(g *Guard) **GuardModel { return &g.Model }),
		on("webhook", "", "a service of yours", optional(webhookSpec()), func(g *Guard) **Webhook { return &g.Webhook }),
		on("on", "", "where it looks; default: input", stagesSpec(), func(g *Guard) *[]string { return &g.On }),
		on("on_error", "closed", "where it cannot tell: refuse (closed), or go on (open)", oneOf("closed", "open"), func(g *Guard) *string { return &g.OnError }),
		on("timeout", "5s", "of those that ask somebody", span(time.Millisecond, time.Hour), func(g *Guard) *time.Duration { return &g.Timeout }),
		on("sample", "1", "share of requests that it looks at", decimal(0, 1), func(g *Guard) *float64 { return &g.Sample }),
		on("risk", "", "class of what it finds; default: low for pii, high for others", oneOf(llm.Risks...), func(g *Guard) *string { return &g.Risk }),
		on("hold", "off", "streamed answers: judge them as they come (off), or hold them back until they are whole", oneOf("off", "whole"), func(g *Guard) *string { return &g.Hold }),
		on("scope", "all", "what those that ask somebody are shown of a conversation: all, or what followed the last answer", oneOf("all", "last"), func(g *Guard) *string { return &g.Scope }),
		on("restore", "false", "what was masked in the request stands in the answer again", boolean(), func(g *Guard) *bool { return &g.Restore }),
	)
	read := s.read
	s.read = func(d *decoder, v value, dst *Guard) {
		read(d, v, dst)
		var kinds []string
		for _, k := range GuardKinds {
			if v.kind == kindMapping && v.entry(k) != nil {
				kinds = append(kinds, k)
			}
		}
		if len(kinds) != 1 {
			d.failf(v, "%s must have one of %s", v.path, strings.Join(GuardKinds, ", "))
			return
		}
		dst.fill(kinds[0])
		d.guard(v, dst, kinds[0])
	}
	return s
}

// fill sets what depends on the kind.
func (g *Guard) fill(kind string) {
	if g.Risk == "" {
		g.Risk = usual[kind]
	}
	for i := range g.Rules {
		if g.Rules[i].Risk == "" {
			g.Rules[i].Risk = g.Risk
		}
	}
	if g.On == nil {
		g.On = []string{llm.StageInput}
	}
}

// guard reports settings that do nothing.
func (d *decoder) guard(v value, g *Guard, kind string) {
	idle := func(key, why string) {
		if k := v.entry(key); k != nil {
			d.fail(k.Position, join(v.path, key)+" "+why+": remove it")
		}
	}
	asks := kind != "rules" && kind != "pii"
	if !asks {
		idle("timeout", "is for guards that ask somebody")
		idle("scope", "is for guards that ask somebody")
	}
	if g.Hold == "whole" && !slices.Contains(g.On, llm.StageOutput) {
		idle("hold", "is for guards on output")
	}
	if g.Restore && !slices.Contains(g.On, llm.StageInput) {
		idle("restore", "is for guards on input")
	}
	if kind == "rules" && len(g.Rules) == 0 {
		d.failf(v, "%s.rules is empty: write a rule such as {words: [secret], action: block}", v.path)
	}
}

func ruleSpec() spec[GuardRule] {
	s := object(
		on("pattern", "", "a regular expression in RE2's syntax", patternSpec(), func(r *GuardRule) *string { return &r.Pattern }),
		on("words", "", "words and phrases, in any case", wordsSpec(), func(r *GuardRule) *[]string { return &r.Words }),
		on("action", "flag", "what is done: flag (its class decides), mask or block", oneOf("flag", "mask", "block"), func(r *GuardRule) *string { return &r.Action }),
		on("risk", "", "class of what it finds; default: the guard's", oneOf(llm.Risks...), func(r *GuardRule) *string { return &r.Risk }),
	)
	read := s.read
	s.read = func(d *decoder, v value, dst *GuardRule) {
		read(d, v, dst)
		if v.kind == kindNull || v.kind == kindMapping && (v.entry("pattern") == nil) == (v.entry("words") == nil) {
			d.failf(v, "%s must have one of pattern and words", v.path)
		}
	}
	return s
}

func patternSpec() spec[string] {
	return spec[string]{doc: schema{Type: "string", MinLength: 1, MaxLength: maxPattern}, read: func(d *decoder, v value, dst *string) {
		s, ok := d.text(v)
		if !ok {
			return
		}
		if s == "" || len(s) > maxPattern {
			d.failf(v, "%s is empty or longer than %d bytes: write a regular expression", v.path, maxPattern)
			return
		}
		re, err := regexp.Compile(s)
		switch {
		case err != nil:
			d.failf(v, "%s is no regular expression of RE2: write one such as (?i)\\bsecret\\b", v.path)
		case re.MatchString(""):
			d.failf(v, "%s fits the empty text, and so every text: write one that needs a character", v.path)
		default:
			*dst = s
		}
	}}
}

func wordsSpec() spec[[]string] {
	l := list(text(schema{MinLength: 1, MaxLength: maxWord}, func(s string) string {
		if strings.TrimSpace(s) == "" || len(s) > maxWord {
			return "write a word or a phrase of at most 200 bytes"
		}
		return ""
	}), maxWords)
	return filled(l, "is empty: write words")
}

// piiSpec is an action for all kinds, or a mapping from kinds to actions.
func piiSpec() spec[map[string]string] {
	action := oneOf("mask", "block", "flag")
	doc := schema{AnyOf: []*schema{&action.doc, {Type: "object", Properties: map[string]*schema{}, Closed: true}}}
	for _, k := range PII {
		doc.AnyOf[1].Properties[k] = &action.doc
	}
	return spec[map[string]string]{doc: doc, read: func(d *decoder, v value, dst *map[string]string) {
		out := map[string]string{}
		if v.kind == kindText {
			var all string
			if action.read(d, v, &all); all != "" {
				for _, k := range PII {
					out[k] = all
				}
				*dst = out
			}
			return
		}
		given, ok := d.keys(v, PII)
		if !ok {
			return
		}
		if len(given) == 0 {
			d.failf(v, "%s is empty: write mask, or a mapping such as {email: mask, card: block}", v.path)
			return
		}
		for _, k := range PII {
			if x, ok := given[k]; ok {
				var a string
				action.read(d, x, &a)
				out[k] = a
			}
		}
		*dst = out
	}}
}

func moderationSpec() spec[Moderation] {
	score := decimal(0, 1)
	thresholds := spec[map[string]float64]{doc: schema{Type: "object", Properties: map[string]*schema{}, Closed: true}, read: func(d *decoder, v value, dst *map[string]float64) {
		given, ok := d.keys(v, llm.Risks)
		if !ok {
			return
		}
		out := map[string]float64{}
		least := 0.0
		for _, r := range llm.Risks {
			x, ok := given[r]
			if !ok {
				continue
			}
			var f float64
			if score.read(d, x, &f); f == 0 || f <= least {
				d.failf(x, "%s is %s: write a score above 0 and above those of lower classes", x.path, x.show())
			}
			out[r], least = f, max(least, f)
		}
		*dst = out
	}}
	for _, r := range llm.Risks {
		thresholds.doc.Properties[r] = &score.doc
	}
	return object(
		required(on("model", "", "the target, such as openai/omni-moderation-latest", text(schema{MinLength: 1}, checkTarget), func(m *Moderation) *string { return &m.Model })),
		on("thresholds", "", "least score of each class; default: what the vendor flags is of the guard's risk", thresholds, func(m *Moderation) *map[string]float64 { return &m.Thresholds }),
		on("categories", "", "those that count; default: all", list(text(schema{MinLength: 1}, checkWordOf("/-_")), 100), func(m *Moderation) *[]string { return &m.Categories }),
	)
}

// checkWordOf accepts names of letters, digits and some marks.
func checkWordOf(marks string) func(string) string {
	return func(s string) string {
		if s == "" || len(s) > 64 || !isName(s, marks) {
			return "write a name of letters, digits and " + strings.Join(strings.Split(marks, ""), " ")
		}
		return ""
	}
}

func guardModelSpec() spec[GuardModel] {
	prompt := spec[string]{doc: schema{Type: "string", MinLength: 1, MaxLength: maxPrompt}, read: func(d *decoder, v value, dst *string) {
		s, ok := d.text(v)
		switch {
		case !ok:
		case strings.TrimSpace(s) == "" || len(s) > maxPrompt:
			d.failf(v, "%s is empty or longer than %d bytes: write what the model looks for and how it answers", v.path, maxPrompt)
		default:
			*dst = s
		}
	}}
	return object(
		required(on("model", "", "a model or target", text(schema{MinLength: 1}, checkTarget), func(m *GuardModel) *string { return &m.Model })),
		on("prompt", "", "what it looks for, and that it answers safe, unsafe, or a class; default: it knows, as Llama Guard does", prompt, func(m *GuardModel) *string { return &m.Prompt }),
	)
}

func webhookSpec() spec[Webhook] {
	return object(
		required(on("url", "", "where it is asked; redirects are not followed", hookSpec(), func(w *Webhook) *Secret { return &w.URL })),
		on("secret", "", "signs the calls, at least 8 characters", secret(minKey), func(w *Webhook) *Secret { return &w.Secret }),
		on("headers", "", "headers of every call", headersSpec(), func(w *Webhook) *map[string]Secret { return &w.Headers }),
	)
}

// stagesSpec is input, output or both.
func stagesSpec() spec[[]string] {
	l := list(oneOf(llm.StageInput, llm.StageOutput), 2)
	l.doc.MinItems = 1
	read := l.read
	l.read = func(d *decoder, v value, dst *[]string) {
		if v.kind == kindSequence && len(v.vals) == 0 {
			d.failf(v, "%s is empty: write [input], [output] or both", v.path)
			return
		}
		read(d, v, dst)
		if s := *dst; len(s) == 2 && s[0] == s[1] && s[0] != "" {
			d.failf(v, "%s names %s twice: keep one", v.path, quote(s[0]))
		}
	}
	return l
}

// guardNames is a list of guards, or off, which is empty and not nil.
func guardNames() spec[[]string] {
	l := list(text(schema{MinLength: 1}, checkGuard), maxGuards)
	doc := schema{AnyOf: []*schema{{Enum: literals([]string{"off"})}, &l.doc}}
	return spec[[]string]{doc: doc, read: func(d *decoder, v value, dst *[]string) {
		if v.kind == kindText {
			if v.node.text != "off" {
				d.failf(v, "%s is %s: write a list of guards, or off", v.path, v.show())
			}
			*dst = []string{}
			return
		}
		l.read(d, v, dst)
	}}
}

// riskSpec says what classes of risk do.
func riskSpec() spec[map[string]Response] {
	one := responseSpec()
	doc := schema{Type: "object", Properties: map[string]*schema{}, Closed: true}
	for _, r := range llm.Risks {
		doc.Properties[r] = &one.doc
	}
	return spec[map[string]Response]{doc: doc, read: func(d *decoder, v value, dst *map[string]Response) {
		given, ok := d.keys(v, llm.Risks)
		if !ok {
			return
		}
		out := map[string]Response{}
		for _, r := range llm.Risks {
			if x, ok := given[r]; ok {
				var a Response
				one.read(d, x, &a)
				out[r] = a
			}
		}
		*dst = out
	}}
}

// responseSpec is block, or who may answer.
func responseSpec() spec[Response] {
	models := list(text(schema{MinLength: 1}, checkTarget), 100)
	models = needed(models, "is empty: name models, or leave it out for the model itself")
	gates := gatesSpec()
	gates.doc = schema{Ref: "#/$defs/gates"} // it stands at six places
	long := object(
		on("models", "", "these models or targets answer, and no others", models, func(r *Response) *[]string { return &r.Models }),
		on("accept", "", "what answers must pass beside the model's own gates", gates, func(r *Response) *[]Gate { return &r.Accept }),
	)
	doc := schema{AnyOf: []*schema{{Enum: literals([]string{"block"})}, &long.doc}}
	return spec[Response]{doc: doc, read: func(d *decoder, v value, dst *Response) {
		if v.kind == kindText {
			if v.node.text != "block" {
				d.failf(v, "%s is %s: write block, or a mapping such as {models: [careful]}", v.path, v.show())
			}
			dst.Block = true
			return
		}
		long.read(d, v, dst)
		if v.kind == kindNull || v.kind == kindMapping && len(v.keys) == 0 {
			d.failf(v, "%s says nothing: write block, {models: [careful]} or {accept: [not_refused]}", v.path)
		}
	}}
}

// hookSpec is the URL of a webhook. A wrong one is not shown: it may hold a
// secret.
func hookSpec() spec[Secret] {
	return spec[Secret]{doc: schema{Type: "string"}, read: func(d *decoder, v value, dst *Secret) {
		s, ok := d.line(v)
		if !ok {
			return
		}
		base, _, _ := strings.Cut(s, "?")
		if msg := checkURL(base); msg != "" || strings.Contains(s, "#") || !allBytes(s, isGraphic) {
			d.failf(v, "%s is not the URL of a webhook: write one such as https://guard.example/check", v.path)
			return
		}
		*dst = Secret(s)
	}}
}

// guards checks whom guards ask, and what the file says for all models.
func (r *refs) guards() {
	for i := range r.c.Guards {
		g := &r.c.Guards[i]
		base := "guards." + g.Name
		switch {
		case g.Moderation != nil && g.Moderation.Model != "":
			r.known(base+".moderation.model", g.Moderation.Model, "")
		case g.Model != nil && g.Model.Model != "":
			r.known(base+".model.model", g.Model.Model, "")
		}
	}
	r.guarded("", r.c.Guard)
	r.answers("", r.c.Risk, -1)
}

// guarded reports guards that do not exist, and those that stand twice.
func (r *refs) guarded(base string, names []string) {
	path := join(base, "guard")
	if _, own := r.c.Pos[path]; !own {
		return // the file's
	}
	for i, name := range names {
		at := path + "[" + strconv.Itoa(i) + "]"
		switch {
		case name == "":
		case !slices.ContainsFunc(r.c.Guards, func(g Guard) bool { return g.Name == name }):
			r.failAt(at, "%s is %s, but there is no such guard: %s", at, r.show(at, name), r.suggest(name, at, r.guardNames, "add it to guards"))
		case slices.Index(names, name) < i:
			r.failAt(at, "%s names %s twice: keep one", path, r.show(at, name))
		}
	}
}

func (r *refs) guardNames(yield func(string) bool) {
	for i := range r.c.Guards {
		if !yield(r.c.Guards[i].Name) {
			return
		}
	}
}

// answers checks who answers by class. i is the model, below 0 for the file.
func (r *refs) answers(base string, risk map[string]Response, i int) {
	path := join(base, "risk")
	if _, own := r.c.Pos[path]; !own {
		return
	}
	for _, class := range llm.Risks {
		for j, name := range risk[class].Models {
			at := path + "." + class + ".models[" + strconv.Itoa(j) + "]"
			if !r.known(at, name, "") {
				continue
			}
			if k, ok := r.names[name]; ok && k == i && !strings.Contains(name, "/") {
				r.failAt(at, "%s is the model itself: name others", at)
			}
		}
		for j, g := range risk[class].Accept {
			if g.Model != "" {
				r.known(path+"."+class+".accept["+strconv.Itoa(j)+"]."+g.Name+".model", g.Model, "")
			}
		}
	}
}
