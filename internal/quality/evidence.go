package quality

import (
	"maps"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxCells bounds the pairs of target and task of which there is evidence, 100
	// bytes each.
	maxCells = 8192
	// doubt is how many answers what is known of a target as a whole counts as for
	// one of its tasks, and what is usual for the target.
	doubt = 20
)

// Evidence is what the gateway's own traffic tells of how well targets answer
// tasks. It fades: what is a half-life old counts half. Reading takes no lock
// and makes no garbage. Safe for concurrent use.
type Evidence struct {
	half  atomic.Int64 // half-life in ns
	mu    sync.Mutex   // held to write
	cells atomic.Pointer[map[place]*cell]
}

// place is a target and a task; Task "" are all of them.
type place struct{ target, task string }

// cell holds faded counts, as bits of floats: what judges and clients said, as a
// Beta distribution without a prior, and the answers that gates found sound and
// flawed. Their sum may be torn while it is written, by one answer.
type cell struct {
	alpha, beta   atomic.Uint64
	sound, flawed atomic.Uint64
	at            atomic.Int64 // Unix ns of the last change
	dirty         bool         // since the last Changed
}

// NewEvidence returns evidence with nothing in it.
func NewEvidence(half time.Duration) *Evidence {
	e := &Evidence{}
	e.half.Store(int64(half))
	e.cells.Store(&map[place]*cell{})
	return e
}

// SetHalf changes the half-life from now on.
func (e *Evidence) SetHalf(half time.Duration) { e.half.Store(int64(half)) }

func (e *Evidence) fade(from, to int64) float64 {
	if to <= from {
		return 1
	}
	return math.Exp2(-float64(to-from) / float64(e.half.Load()))
}

// Observe adds a verdict.
func (e *Evidence) Observe(v *Verdict, now time.Time) { e.note(v, now, 1) }

// Withdraw takes back a verdict that was observed at a time.
func (e *Evidence) Withdraw(v *Verdict, at, now time.Time) {
	e.note(v, now, -e.fade(at.UnixNano(), now.UnixNano()))
}

func (e *Evidence) note(v *Verdict, now time.Time, weight float64) {
	var d counts
	if q, known := v.quality(); known {
		d.alpha, d.beta = weight*q, weight*(1-q)
	} else if v.Bad() {
		d.flawed = weight
	} else {
		d.sound = weight
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.add(place{v.Target, ""}, d, now)
	if v.Task != "" && v.Task != Other {
		e.add(place{v.Target, v.Task}, d, now)
	}
}

type counts struct{ alpha, beta, sound, flawed float64 }

// add needs e.mu.
func (e *Evidence) add(p place, d counts, now time.Time) {
	c := (*e.cells.Load())[p]
	if c == nil {
		if c = e.room(p); c == nil {
			return
		}
	}
	t := now.UnixNano()
	f := e.fade(c.at.Load(), t)
	put := func(a *atomic.Uint64, x float64) { a.Store(math.Float64bits(max(0, get(a)*f+x))) }
	put(&c.alpha, d.alpha)
	put(&c.beta, d.beta)
	put(&c.sound, d.sound)
	put(&c.flawed, d.flawed)
	c.at.Store(max(c.at.Load(), t))
	c.dirty = true
}

func get(a *atomic.Uint64) float64 { return math.Float64frombits(a.Load()) }

// room makes a cell, nil where there are too many.
func (e *Evidence) room(p place) *cell {
	old := *e.cells.Load()
	if len(old) >= maxCells {
		return nil
	}
	next := maps.Clone(old)
	c := &cell{}
	next[p] = c
	e.cells.Store(&next)
	return c
}

// Quality is how good the target's answers to a task are expected to be, 0 to 1,
// where prior was thought and that opinion is worth weight answers. What judges
// and clients said moves the opinion; the share of answers that gates find flawed
// lowers it, against the share that is usual. A task "" is any.
func (e *Evidence) Quality(target, task string, prior, weight float64, now time.Time) float64 {
	cells := *e.cells.Load()
	whole := cells[place{target, ""}]
	if whole == nil { // nothing was judged
		return prior
	}
	t := now.UnixNano()
	c := e.read(whole, t)
	part := (c.flawed + usual*doubt) / (c.sound + c.flawed + doubt)
	if task != "" {
		own := cells[place{target, task}]
		if own == nil {
			c = counts{}
		} else {
			c = e.read(own, t)
			part = (c.flawed + part*doubt) / (c.sound + c.flawed + doubt)
		}
	}
	q := prior
	if n := c.alpha + c.beta + weight; n > 0 {
		q = (c.alpha + prior*weight) / n
	}
	return q * min(1, (1-part)/(1-usual))
}

// Weight is how many answers the evidence of a target and task is worth now; a
// task "" is any.
func (e *Evidence) Weight(target, task string, now time.Time) float64 {
	own := (*e.cells.Load())[place{target, task}]
	if own == nil {
		return 0
	}
	c := e.read(own, now.UnixNano())
	return c.alpha + c.beta + c.sound + c.flawed
}

func (e *Evidence) read(c *cell, now int64) counts {
	f := e.fade(c.at.Load(), now)
	return counts{get(&c.alpha) * f, get(&c.beta) * f, get(&c.sound) * f, get(&c.flawed) * f}
}

// Row is the evidence of one target and task, as it is kept.
type Row struct {
	Target, Task               string // Task "": all of them
	Alpha, Beta, Sound, Flawed float64
	At                         time.Time
}

// Changed returns the rows that have changed since it was called last.
func (e *Evidence) Changed() []Row {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []Row
	for p, c := range *e.cells.Load() {
		if c.dirty {
			c.dirty = false
			out = append(out, Row{p.target, p.task, get(&c.alpha), get(&c.beta), get(&c.sound), get(&c.flawed), time.Unix(0, c.at.Load())})
		}
	}
	return out
}

// Restore puts rows in the place of what is known, as far as there is room.
func (e *Evidence) Restore(rows []Row) {
	e.mu.Lock()
	defer e.mu.Unlock()
	next := map[place]*cell{}
	for _, r := range rows[:min(len(rows), maxCells)] {
		c := &cell{}
		for a, x := range map[*atomic.Uint64]float64{&c.alpha: r.Alpha, &c.beta: r.Beta, &c.sound: r.Sound, &c.flawed: r.Flawed} {
			if x >= 0 && !math.IsInf(x, 1) { // also no NaN
				a.Store(math.Float64bits(x))
			}
		}
		c.at.Store(r.At.UnixNano())
		next[place{r.Target, r.Task}] = c
	}
	e.cells.Store(&next)
}
