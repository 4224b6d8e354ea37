package quality

import (
	"maps"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// doubt is how many answers what is known of a target as a whole counts as for one
// of its tasks, and what is usual for the target.
const doubt = 20

// Evidence is what the gateway's own traffic tells of how well targets answer
// tasks. It fades: what is a half-life old counts half. Reading takes no lock
// and makes no garbage. Safe for concurrent use.
//
// It has maxTargets targets with maxTasks tasks each, 200 bytes a task. Where one
// more comes, that task goes of which least is known, since clients name tasks as
// they like, or that target which was judged least lately.
type Evidence struct {
	half    atomic.Int64 // half-life in ns
	mu      sync.Mutex   // held to write
	targets atomic.Pointer[map[string]*file]
}

// file is what is known of a target: of all of its answers, and by task.
type file struct {
	whole cell
	tasks atomic.Pointer[map[string]*cell]
}

func newFile() *file {
	k := &file{}
	k.tasks.Store(&map[string]*cell{})
	return k
}

// cell returns that of a task, "" being all of them; nil: there is none.
func (k *file) cell(task string) *cell {
	if task == "" {
		return &k.whole
	}
	return (*k.tasks.Load())[task]
}

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
	e.targets.Store(&map[string]*file{})
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
	k := (*e.targets.Load())[v.Target]
	if k == nil {
		k = e.target(v.Target)
	}
	e.add(&k.whole, d, now)
	if v.Task == "" || v.Task == Other || len(v.Task) > maxTask {
		return
	}
	c := k.cell(v.Task)
	if c == nil && weight > 0 { // what was withdrawn may have gone before
		c = e.task(k, v.Task, now)
	}
	if c != nil {
		e.add(c, d, now)
	}
}

type counts struct{ alpha, beta, sound, flawed float64 }

func (c counts) weight() float64 { return c.alpha + c.beta + c.sound + c.flawed }

// add needs e.mu.
func (e *Evidence) add(c *cell, d counts, now time.Time) {
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

// target makes room for a target. It needs e.mu.
func (e *Evidence) target(id string) *file {
	next := maps.Clone(*e.targets.Load())
	if len(next) >= maxTargets {
		oldest, at := "", int64(math.MaxInt64)
		for id, k := range next {
			if t := k.whole.at.Load(); t < at {
				oldest, at = id, t
			}
		}
		delete(next, oldest)
	}
	k := newFile()
	next[id] = k
	e.targets.Store(&next)
	return k
}

// task makes room for a task. It needs e.mu.
func (e *Evidence) task(k *file, name string, now time.Time) *cell {
	next := maps.Clone(*k.tasks.Load())
	if len(next) >= maxTasks {
		least, weight, t := "", math.Inf(1), now.UnixNano()
		for name, c := range next {
			if w := e.read(c, t).weight(); w < weight {
				least, weight = name, w
			}
		}
		delete(next, least)
	}
	c := &cell{}
	next[name] = c
	k.tasks.Store(&next)
	return c
}

// Quality is how good the target's answers to a task are expected to be, 0 to 1,
// where prior was thought and that opinion is worth weight answers. What judges
// and clients said moves the opinion; the share of answers that gates find flawed
// lowers it, against the share that is usual. A task "" is any.
func (e *Evidence) Quality(target, task string, prior, weight float64, now time.Time) float64 {
	k := (*e.targets.Load())[target]
	if k == nil { // nothing was judged
		return prior
	}
	t := now.UnixNano()
	c := e.read(&k.whole, t)
	part := (c.flawed + usual*doubt) / (c.sound + c.flawed + doubt)
	if task != "" {
		own := k.cell(task)
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
	k := (*e.targets.Load())[target]
	if k == nil {
		return 0
	}
	own := k.cell(task)
	if own == nil {
		return 0
	}
	return e.read(own, now.UnixNano()).weight()
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
	for target, k := range *e.targets.Load() {
		tell := func(task string, c *cell) {
			if c.dirty {
				c.dirty = false
				out = append(out, Row{target, task, get(&c.alpha), get(&c.beta), get(&c.sound), get(&c.flawed), time.Unix(0, c.at.Load())})
			}
		}
		tell("", &k.whole)
		for task, c := range *k.tasks.Load() {
			tell(task, c)
		}
	}
	return out
}

// Restore puts rows in the place of what is known, as far as there is room: the
// first come first.
func (e *Evidence) Restore(rows []Row) {
	e.mu.Lock()
	defer e.mu.Unlock()
	next := map[string]*file{}
	for _, r := range rows {
		k := next[r.Target]
		if k == nil {
			if len(next) >= maxTargets {
				continue
			}
			k = newFile()
			next[r.Target] = k
		}
		c := k.cell(r.Task)
		if c == nil {
			tasks := *k.tasks.Load() // nobody reads it yet
			if len(tasks) >= maxTasks {
				continue
			}
			c = &cell{}
			tasks[r.Task] = c
		}
		for a, x := range map[*atomic.Uint64]float64{&c.alpha: r.Alpha, &c.beta: r.Beta, &c.sound: r.Sound, &c.flawed: r.Flawed} {
			if x >= 0 && !math.IsInf(x, 1) { // also no NaN
				a.Store(math.Float64bits(x))
			}
		}
		c.at.Store(r.At.UnixNano())
	}
	e.targets.Store(&next)
}
