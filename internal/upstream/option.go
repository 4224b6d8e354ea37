package upstream

import (
	"math"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// Option is one choice of a pool: a target, or a model that is a pool of its
// own.
type Option struct {
	ID       string
	Weight   float64
	Priority int
	Region   int     // rank by nearness, 0 for the nearest and for none
	Place    int     // in the order of the file, from 0
	Target   *Target // nil for a model
	Pool     *Pool   // nil for a target
	// Arm is what the option is of a split; nil: the pool is none. All options of
	// a split have one, and the same priority and region.
	Arm *llm.Arm

	peers bool // Outliers look after it
}

// InFlight is the number of calls under way.
func (o *Option) InFlight() int64 {
	if o.Target != nil {
		return o.Target.State.InFlight()
	}
	var n int64
	for i := range o.Pool.Options {
		n += o.Pool.Options[i].InFlight()
	}
	return n
}

// Latency is the expected time to the first token: for a model, that of the
// fastest of its first priority that can be asked.
func (o *Option) Latency(stream bool) time.Duration {
	if o.Target != nil {
		return o.Target.State.Latency(stream, o.Target.Prior)
	}
	best := time.Duration(-1)
	o.Pool.first(func(c *Option) {
		if d := c.Latency(stream); best < 0 || d < best {
			best = d
		}
	})
	return max(0, best)
}

// Measure is how an option has done lately.
type Measure struct {
	// Latency is the mean time to the first token in ns, or what the operator
	// expects; 0 where nothing is known. Trust is how much it is believed, Fresh
	// how much of it was measured lately, both 0 to 1 and falling with disuse.
	Latency, Trust, Fresh float64
	Errors                float64 // share of calls that failed
	InFlight              int64
	// Probe: it failed, and the next call will find out whether it still does.
	Probe bool
}

// Measure tells how the option has done lately; of a model, the fastest of its
// first priority that can be asked speaks for it.
func (o *Option) Measure(now int64, stream bool) Measure {
	if o.Target == nil {
		return o.Pool.measure(now, stream)
	}
	s := o.Target.State
	m := Measure{InFlight: s.InFlight()}
	k := &s.kinds[kind(stream)]
	last := k.last.Load()
	if last == 0 {
		k = &s.kinds[1-kind(stream)]
		last = k.last.Load()
	}
	if last != 0 {
		m.Latency, m.Fresh = math.Float64frombits(k.mean.Load()), faded(now, last)
	}
	m.Trust = m.Fresh
	if prior := float64(o.Target.Prior); prior > 0 { // the operator's word does not age
		m.Latency, m.Trust = prior+(m.Latency-prior)*m.Fresh, 1
	}
	if m.Errors = s.Errors(now); m.Errors > 0 {
		phase, _, _ := s.Breaker.Phase(now)
		m.Probe = phase != Closed
	}
	return m
}

func (p *Pool) measure(now int64, stream bool) (best Measure) {
	var n int64
	first := true
	p.first(func(c *Option) {
		m := c.Measure(now, stream)
		if n += m.InFlight; first || m.Latency < best.Latency {
			best = m
		}
		first = false
	})
	best.InFlight = n
	return best
}

// Cost is the expected price of req; known is false where a price is not.
func (o *Option) Cost(req *llm.Request) (cost llm.Money, known bool) {
	if o.Target != nil {
		c, _ := o.Target.Cost(req)
		return c, o.Target.Price != nil
	}
	o.Pool.first(func(c *Option) {
		if m, ok := c.Cost(req); ok && (!known || m < cost) {
			cost, known = m, true
		}
	})
	return cost, known
}

// first calls f with the options of the first priority and region that have one
// which can be asked.
func (p *Pool) first(f func(*Option)) {
	now := p.Registry.now()
	found := false
	for i := 0; i < len(p.Options) && !found; {
		for n := p.groupEnd(i); i < n; i++ {
			if o := &p.Options[i]; o.usable(now) {
				found = true
				f(o)
			}
		}
	}
}

func (o *Option) usable(now int64) bool {
	if o.Target != nil {
		state, _, _ := o.Target.whyNot(now)
		return state == ""
	}
	return o.Pool.usable(now)
}

func (p *Pool) usable(now int64) bool {
	for i := range p.Options {
		if p.Options[i].usable(now) {
			return true
		}
	}
	return false
}

func (o *Option) suspected() bool {
	if o.Target != nil {
		return o.Target.State.Suspected()
	}
	for i := range o.Pool.Options {
		if !o.Pool.Options[i].suspected() {
			return false
		}
	}
	return true
}

// late reports whether the option is asked behind the others.
func (o *Option) late(now int64) bool {
	if o.Target == nil {
		return o.suspected()
	}
	s := o.Target.State
	return s.suspect.Load() > now || o.peers && s.ejection.until.Load() > now
}
