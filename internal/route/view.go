package route

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/route/learned"
	"github.com/sluicegate/sluice/internal/signal"
	"github.com/sluicegate/sluice/internal/upstream"
)

// Router is what all pools that choose by what is asked have in common: the
// learned model in force. Safe for concurrent use.
type Router struct {
	model atomic.Pointer[learned.Model]
}

// NewRouter returns a router that goes by m; nil: by the embedded model, which is
// unpacked when it is first asked for.
func NewRouter(m *learned.Model) *Router {
	r := &Router{}
	r.Use(m)
	return r
}

// Use puts another model in force, for the requests that come.
func (r *Router) Use(m *learned.Model) { r.model.Store(m) }

// Model is the model in force.
func (r *Router) Model() *learned.Model {
	if m := r.model.Load(); m != nil {
		return m
	}
	r.model.CompareAndSwap(nil, learned.Embedded())
	return r.model.Load()
}

// Look sees a request as the learned classifier does.
func (r *Router) Look(req *llm.Request) upstream.View {
	v := r.view(req)
	v.classify(false)
	return v
}

// LookByRules sees a request as the patterns do.
func (r *Router) LookByRules(req *llm.Request) upstream.View {
	v := r.view(req)
	v.classify(true)
	return v
}

// LookForNeeds sees what a request needs of a model, and no task.
func (r *Router) LookForNeeds(req *llm.Request) upstream.View { return r.view(req) }

// View is what was seen of a request. It is used by one goroutine at a time.
type View struct {
	model      *learned.Model
	chat       *llm.Chat // nil: the request is none
	text       string    // what the user said last
	needs      upstream.Needs
	shown      bool // signals are filled
	signals    signal.Signals
	said       string // the task, by the client; "": it does not say
	classified bool   // task and confidence are filled
	rules      bool   // by the patterns
	task       string
	confidence float64
	estimated  bool // est is filled
	est        learned.Estimate
	ranked     int // in ranks, by the last Order
	ranks      [MaxChoice]rank
	talk       talk // with the pool whose Order was last
}

var views = sync.Pool{New: func() any { return new(View) }}

// Needs implements upstream.View.
func (v *View) Needs() upstream.Needs { return v.needs }

// Release implements upstream.View.
func (v *View) Release() {
	clear(v.ranks[:v.ranked])
	v.model, v.chat, v.text, v.ranked = nil, nil, "", 0
	views.Put(v)
}

func (r *Router) view(req *llm.Request) *View {
	v := views.Get().(*View)
	v.model, v.said = r.Model(), req.Context.Task
	v.signals, v.shown, v.talk = signal.Signals{}, false, talk{}
	v.chat, v.text, v.needs, v.classified, v.estimated, v.ranked = nil, "", upstream.Needs{}, false, false, 0
	if req.Op.Chats() && req.Body != nil {
		v.chat, _ = req.Body.Chat() // what is no chat is the vendor's to judge
	}
	if v.chat != nil {
		v.text = said(v.chat)
		in := signal.TokensOfChat(v.chat)
		v.needs = upstream.Needs{Can: abilities(v.chat), Tokens: in.Expected, Most: in.Most}
	}
	return v
}

// classify finds the task, by rules or by the learned model, where that was not
// done; what the client says goes before both.
func (v *View) classify(rules bool) {
	if v.classified && v.rules == rules {
		return
	}
	v.classified, v.rules = true, rules
	if rules {
		v.task, v.confidence = Rules(v.text[:min(len(v.text), maxRuled)])
	} else {
		v.estimate()
		best, p := v.est.Best()
		v.task, v.confidence = v.model.Tasks[best], float64(p)
	}
	if v.said != "" {
		v.task, v.confidence = v.said, 1
	}
	v.needs.Task = upstream.TaskID(v.task)
}

// maxRuled is how much of a text the patterns look at, in bytes.
const maxRuled = 64 << 10

// estimate fills est, once.
func (v *View) estimate() {
	if v.estimated {
		return
	}
	v.estimated = true
	v.model.Estimate(&v.est, v.text)
	if i, ok := slices.BinarySearch(v.model.Tasks, v.said); ok {
		v.model.Given(&v.est, i)
	}
}

// show fills signals, once: of no choice, but of what is told of one.
func (v *View) show() *signal.Signals {
	if !v.shown && v.chat != nil {
		v.signals = signal.Of(v.chat, v.text)
	}
	v.shown = true
	return &v.signals
}

// said is the text of the user's last message that has one.
func said(c *llm.Chat) string {
	for i := len(c.Messages) - 1; i >= 0; i-- {
		if c.Messages[i].Role != llm.RoleUser {
			continue
		}
		if s := textOf(c.Messages[i].Blocks); s != "" {
			return s
		}
	}
	return ""
}

// textOf is the text of blocks; that of several is joined by lines.
func textOf(blocks []llm.Block) string {
	text, n := "", 0
	for i := range blocks {
		if b := &blocks[i]; b.Kind == llm.BlockText && b.Text != "" {
			text = b.Text
			n++
		}
	}
	if n < 2 {
		return text
	}
	var all strings.Builder
	for i := range blocks {
		if b := &blocks[i]; b.Kind == llm.BlockText && b.Text != "" {
			if all.Len() > 0 {
				all.WriteByte('\n')
			}
			all.WriteString(b.Text)
		}
	}
	return all.String()
}

// abilities are what a model must have to answer c.
func abilities(c *llm.Chat) llm.Ability {
	var a llm.Ability
	if len(c.Tools) > 0 && c.Choice.Mode != llm.ChoiceNone {
		a |= llm.CanTools
	}
	if c.Format.Kind == llm.FormatSchema {
		a |= llm.CanStructured
	}
	for i := range c.Messages {
		a |= seen(c.Messages[i].Blocks)
	}
	for i := range c.Left {
		if c.Left[i].Name == "audio" && c.Left[i].Must {
			a |= llm.CanSpeak
		}
	}
	return a
}

// seen are the abilities that blocks of a prompt need.
func seen(blocks []llm.Block) llm.Ability {
	var a llm.Ability
	for i := range blocks {
		b := &blocks[i]
		switch b.Kind {
		case llm.BlockImage:
			a |= llm.CanImage
		case llm.BlockAudio:
			a |= llm.CanAudio
		case llm.BlockCall:
			a |= llm.CanTools
		case llm.BlockResult:
			a |= llm.CanTools | seen(b.Result)
		case llm.BlockFile:
			switch {
			case b.Media.Video():
				a |= llm.CanVideo
			case b.Media == nil || b.Media.Text == "" && !strings.HasPrefix(b.Media.MIME, "text/"):
				a |= llm.CanDocument
			}
		}
	}
	return a
}
