package quality

import (
	"fmt"
	"maps"
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

const (
	// A series remembers a day in quarters of an hour.
	quarter  = 15 * 60 // seconds
	quarters = 96
	// maxTargets and maxTasks bound the series: 1.6 KB each and 5.4 KB for the flags
	// of a target, at most 60 MB in all, and 100 KB for ten targets and three tasks.
	maxTargets = 1024
	maxTasks   = 32
	maxTask    = 64 // bytes of a task's name
	// wordsFirst is how many words of clients there are before what is usual is
	// known of them: who is content says nothing. wordsWeight is what the opinion
	// before counts. Where wordsMost of them are complaints, more are no news.
	// maxVoices bounds who is told apart in a minute.
	wordsFirst  = 100
	wordsWeight = 10
	wordsMost   = 0.8
	maxVoices   = 256
	// flagKinds is how many flags there are.
	flagKinds = 14
	// Other is the task of answers of which it is not known, and of those beyond
	// maxTasks.
	Other = "other"
)

// Monitor keeps how good the answers of targets were, by task, and finds when
// they become worse. Safe for concurrent use.
type Monitor struct {
	mu      sync.Mutex // held to add a target
	targets atomic.Pointer[map[string]*watched]
}

// NewMonitor returns a monitor that has seen nothing.
func NewMonitor() *Monitor {
	m := &Monitor{}
	m.targets.Store(&map[string]*watched{})
	return m
}

// watched is one target.
type watched struct {
	collapsed atomic.Pointer[string] // why; nil: its answers have not

	mu    sync.Mutex
	all   series
	flags [quarters][flagKinds]uint16 // saturating
	tasks map[string]*series

	// words are what clients say. That who complains speaks up, and who is content
	// does not, makes them no share of the answers: the target keeps its place.
	words  series
	heard  int             // of words that the test was given, up to wordsFirst
	voices map[string]bool // whose word the test has of this minute
	minute int64
}

// series is a day of answers and the test for a change.
type series struct {
	ring [quarters]tally
	last int64 // quarter of the newest answer
	detector
	// trend is the share of bad answers of the last fifty or so, for charts.
	trend float64
	seen  bool
}

// tally counts the answers of a quarter of an hour.
type tally struct {
	judged, scored uint32
	// Below 0 where a client took back what it said in another quarter.
	bad   int32
	score float32
}

// Alarm tells that the answers of a target have become worse, or that it is
// over.
type Alarm struct {
	Target string
	Task   string // "": all of the target's answers
	// Words: of what clients say, not of what is found in answers.
	Words bool
	Over  bool
	// Adopted: it is over since what it told has been the usual for a day.
	Adopted bool
	// Collapsed: a third of the answers are bad, or more.
	Collapsed bool
	Since     time.Time
	Judged    int     // since the change began
	Bad       int     // of them
	Usual     float64 // share of bad answers before
	Statistic float64 // of the test when it alarmed
	Bound     float64 // from which it alarms
	// Flags are the target's flags of the last quarter of an hour.
	Flags map[string]int
}

// Observe adds a verdict and returns what alarms began or ended by it, nil for
// none.
func (m *Monitor) Observe(v *Verdict, now time.Time) []Alarm {
	w := m.target(v.Target)
	if w == nil {
		return nil
	}
	bad := v.Bad()
	w.mu.Lock()
	defer w.mu.Unlock()
	task := w.task(v.Task)
	s := w.series(task)
	if !math.IsNaN(v.Opinion) {
		return w.listen(v, s, now)
	}
	w.flag(v.Flags, max(w.all.last, now.Unix()/quarter))
	var out []Alarm
	if c := w.all.observe(v, bad, now); c != none {
		out = append(out, w.alarm(v.Target, "", &w.all, c))
		w.tell()
	}
	if c := s.observe(v, bad, now); c != none {
		out = append(out, w.alarm(v.Target, task, s, c))
	}
	return out
}

// listen takes a client's word. It counts in the scores of the target and of the
// task, and is bad or not in a series of its own, whose test takes one word of a
// key in a minute.
func (w *watched) listen(v *Verdict, task *series, now time.Time) []Alarm {
	q, _ := v.quality()
	for _, s := range [...]*series{&w.all, task, &w.words} {
		s.turn(now.Unix() / quarter)
		t := &s.ring[s.last%quarters]
		t.scored++
		t.score += float32(q)
	}
	bad := v.Bad()
	w.words.count(bad)
	if at := now.Unix() / 60; at > w.minute {
		w.minute, w.voices = at, map[string]bool{}
	}
	if w.voices[v.By] || len(w.voices) == maxVoices {
		return nil
	}
	w.voices[v.By] = true
	if w.heard < wordsFirst || !w.words.alarmed && w.words.share() > wordsMost {
		w.heard = min(wordsFirst, w.heard+1)
		hits := 0
		if bad {
			hits = 1
		}
		w.words.weight = wordsWeight
		w.words.add(1, hits, now.Unix())
		return nil
	}
	c := w.words.take(bad, now.Unix())
	w.words.collapse = false // which would be for good where most words are complaints
	if c == none || c == worse {
		return nil
	}
	a := w.alarm(v.Target, "", &w.words, c)
	a.Words, a.Collapsed, a.Flags = true, false, map[string]int{}
	return []Alarm{a}
}

// Amend puts a client's last word, v, in the place of the one before, was. The
// tests, which have taken the first, do not take it.
func (m *Monitor) Amend(was, v *Verdict) {
	w := m.target(v.Target)
	if w == nil {
		return
	}
	before, _ := was.quality()
	after, _ := v.quality()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range [...]*series{&w.all, w.series(w.task(v.Task))} {
		t := &s.ring[s.last%quarters]
		t.score += float32(after - before)
	}
	t := &w.words.ring[w.words.last%quarters]
	t.score += float32(after - before)
	if was.Bad() {
		t.bad--
	}
	if v.Bad() {
		t.bad++
	}
}

// target returns what is kept of a target, nil where there is no room for it.
func (m *Monitor) target(id string) *watched {
	if w := (*m.targets.Load())[id]; w != nil {
		return w
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old := *m.targets.Load()
	if w := old[id]; w != nil || len(old) >= maxTargets {
		return w
	}
	next := maps.Clone(old)
	w := &watched{tasks: map[string]*series{}}
	next[id] = w
	m.targets.Store(&next)
	return w
}

// Retain forgets the targets that keep does not name.
func (m *Monitor) Retain(keep map[string]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := map[string]*watched{}
	for id, w := range *m.targets.Load() {
		if keep[id] {
			next[id] = w
		}
	}
	m.targets.Store(&next)
}

// task is the name under which a task is kept.
func (w *watched) task(name string) string {
	if name == "" || len(name) > maxTask {
		return Other
	}
	n := len(w.tasks)
	if w.tasks[Other] == nil {
		n++
	}
	if w.tasks[name] == nil && n >= maxTasks {
		return Other
	}
	return name
}

func (w *watched) series(task string) *series {
	s := w.tasks[task]
	if s == nil {
		s = &series{}
		w.tasks[task] = s
	}
	return s
}

// flag counts flags.
func (w *watched) flag(f llm.Flags, at int64) {
	if at != w.all.last { // before observe turns the ring
		for q := max(w.all.last, at-quarters) + 1; q <= at; q++ {
			w.flags[q%quarters] = [flagKinds]uint16{}
		}
	}
	for ; f != 0; f &= f - 1 {
		if i := bits.TrailingZeros32(uint32(f)); i < flagKinds {
			if n := &w.flags[at%quarters][i]; *n < math.MaxUint16 {
				*n++
			}
		}
	}
}

func (s *series) observe(v *Verdict, bad bool, now time.Time) change {
	at := max(s.last, now.Unix()/quarter)
	s.turn(at)
	if q, known := v.quality(); known {
		t := &s.ring[at%quarters]
		t.scored++
		t.score += float32(q)
	}
	s.count(bad)
	return s.take(bad, now.Unix())
}

// count adds to the newest quarter.
func (s *series) count(bad bool) {
	t := &s.ring[s.last%quarters]
	t.judged++
	x := 0.0
	if bad {
		t.bad++
		x = 1
	}
	if !s.seen {
		s.seen, s.trend = true, usual
	}
	s.trend += 0.02 * (x - s.trend)
}

// turn makes a quarter the newest.
func (s *series) turn(at int64) {
	if at <= s.last {
		return
	}
	for q := max(s.last, at-quarters) + 1; q <= at; q++ {
		s.ring[q%quarters] = tally{}
	}
	s.last = at
}

// sum adds up the last day.
func (s *series) sum(at int64) (t tally) {
	for q := max(0, at-quarters+1); q <= min(at, s.last); q++ {
		x := &s.ring[q%quarters]
		t.judged, t.bad, t.scored, t.score = t.judged+x.judged, t.bad+x.bad, t.scored+x.scored, t.score+x.score
	}
	return t
}

// alarm tells what a change of one of the target's series was.
func (w *watched) alarm(target, task string, s *series, c change) Alarm {
	d := &s.detector
	a := Alarm{Target: target, Task: task, Over: c == over || c == adopted, Adopted: c == adopted, Collapsed: d.collapse, Since: time.Unix(d.since, 0).UTC(),
		Judged: d.n, Bad: d.hits, Usual: d.test.p0, Statistic: d.statistic, Bound: d.test.bound, Flags: map[string]int{}}
	if a.Over {
		a.Usual, a.Bound = d.share(), 0
	}
	for i, n := range w.flags[s.last%quarters] {
		if n > 0 {
			a.Flags[llm.Flags(1 << i).Names()[0]] = int(n)
		}
	}
	return a
}

// Reset ends the alarms of a target, and begins the test anew; what is usual
// stays.
func (m *Monitor) Reset(target string) {
	w := (*m.targets.Load())[target]
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all.clear()
	w.words.clear()
	for _, s := range w.tasks {
		s.clear()
	}
	w.tell()
}

// tell says whether the target's answers have collapsed.
func (w *watched) tell() {
	if d := &w.all.detector; d.collapse {
		why := fmt.Sprintf("%d of its last %d answers are bad, %.0f %% are usual", d.hits, d.n, 100*d.test.p0)
		w.collapsed.Store(&why)
		return
	}
	w.collapsed.Store(nil)
}

// Collapsed reports whether the answers of a target have collapsed, and why it is
// thought so.
func (m *Monitor) Collapsed(target string) (why string, ok bool) {
	w := (*m.targets.Load())[target]
	if w == nil {
		return "", false
	}
	if p := w.collapsed.Load(); p != nil {
		return *p, true
	}
	return "", false
}

// Report is how good a target's answers of the last day were.
type Report struct {
	Judged  int      `json:"judged"`
	BadRate float64  `json:"bad_rate"`
	Trend   float64  `json:"trend"` // share of bad ones among the last fifty or so
	Score   *float64 `json:"score"` // mean of what judges and clients said, 0 to 1; null: nobody did
	// Flags counts them by name, Tasks tells each task.
	Flags map[string]int        `json:"flags"`
	Tasks map[string]TaskReport `json:"tasks"`
	Alarm *AlarmReport          `json:"alarm,omitempty"`
	// Feedback is what clients said: judged are their words. nil: nobody did.
	Feedback *TaskReport `json:"feedback,omitempty"`
}

// TaskReport is a Report of one task.
type TaskReport struct {
	Judged  int          `json:"judged"`
	BadRate float64      `json:"bad_rate"`
	Trend   float64      `json:"trend"`
	Score   *float64     `json:"score"`
	Alarm   *AlarmReport `json:"alarm,omitempty"`
}

// AlarmReport is an alarm that is on. Of several the target's own is told, else
// the task's that began first.
type AlarmReport struct {
	Since     time.Time `json:"since"`
	Task      string    `json:"task,omitempty"`
	Statistic float64   `json:"statistic"`
	Usual     float64   `json:"usual"`  // share of bad answers before
	Judged    int       `json:"judged"` // since the change began
	Bad       int       `json:"bad"`
	Collapsed bool      `json:"collapsed,omitempty"`
}

// Report tells of a target, nil where nothing was judged.
func (m *Monitor) Report(target string, now time.Time) *Report {
	w := (*m.targets.Load())[target]
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	at := now.Unix() / quarter
	one := w.all.report("", at)
	r := &Report{Judged: one.Judged, BadRate: one.BadRate, Trend: one.Trend, Score: one.Score, Alarm: one.Alarm, Flags: map[string]int{}, Tasks: map[string]TaskReport{}}
	for q := max(0, at-quarters+1); q <= min(at, w.all.last); q++ {
		for i, n := range w.flags[q%quarters] {
			if n > 0 {
				r.Flags[llm.Flags(1 << i).Names()[0]] += int(n)
			}
		}
	}
	if w.words.seen {
		words := w.words.report("", at)
		r.Feedback = &words
	}
	own := r.Alarm != nil
	for name, s := range w.tasks {
		t := s.report(name, at)
		r.Tasks[name] = t
		if a := t.Alarm; a != nil && !own && (r.Alarm == nil || a.Since.Before(r.Alarm.Since) || a.Since.Equal(r.Alarm.Since) && a.Task < r.Alarm.Task) {
			r.Alarm = a
		}
	}
	return r
}

func (s *series) report(task string, at int64) TaskReport {
	t := s.sum(at)
	r := TaskReport{Judged: int(t.judged), Trend: round(s.trend)}
	if t.judged > 0 {
		r.BadRate = round(max(0, float64(t.bad)/float64(t.judged)))
	}
	if t.scored > 0 {
		x := round(float64(t.score) / float64(t.scored))
		r.Score = &x
	}
	if d := &s.detector; d.alarmed {
		r.Alarm = &AlarmReport{Since: time.Unix(d.since, 0).UTC(), Task: task, Statistic: round(d.statistic), Usual: round(d.test.p0), Judged: d.n, Bad: d.hits, Collapsed: d.collapse}
	}
	return r
}

func round(x float64) float64 { return math.Round(x*1e4) / 1e4 }

// Alarmed calls yield with every target and how many of its series are in alarm.
func (m *Monitor) Alarmed(yield func(target string, n int)) {
	for id, w := range *m.targets.Load() {
		w.mu.Lock()
		n := 0
		if w.all.alarmed {
			n++
		}
		if w.words.alarmed {
			n++
		}
		for _, s := range w.tasks {
			if s.alarmed {
				n++
			}
		}
		w.mu.Unlock()
		yield(id, n)
	}
}
