//go:build linux

package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

const (
	connections = 32                     // of the closed loops
	steadyRate  = 500                    // requests per second of the latency phase
	warmUp      = 400 * time.Millisecond // of each subject before each column
	settling    = 300 * time.Millisecond // for work that trails an answer: ledger, logs
	unsteady    = steadyRate / 10        // shots at the start of a slice that are not counted: they dial
	cpuBound    = 1.15                   // × floor, per column
	cpuGoal     = 1.0
	loadNoise   = 0.1 // cores that others may use before a round is called disturbed
)

// A column is one kind of traffic.
type column struct {
	name string
	ask
	script script
}

var columns = []column{
	{"200 B in, 600 B out", ask{bytes: 200}, script{Chunks: 64, Body: 600}},
	{"20 KB in, 10 KB out", ask{bytes: 20 << 10}, script{Chunks: 64, Body: 10 << 10}},
	{"64 chunks, 5 ms apart", ask{bytes: 200, chunks: 64}, script{Chunks: 64, Body: 600, Gap: 5 * time.Millisecond}},
}

// A cpuRound holds a round's numbers by subject: the gateway first, then the
// floors.
type cpuRound struct {
	cpu      [][]float64 // by column: µs per request
	p50, p99 []float64   // ms, small unary at the steady rate
	gap      []float64   // ms, p99 of what a gap between two chunks grew
	others   float64     // cores used by everyone else on the machine
}

func (l *lab) cpuSection() error {
	l.report.say("\n== cpu: %d rounds, %v per phase, %d connections", l.rounds, l.phase, connections)
	m, addr, err := l.startMock("mock")
	if err != nil {
		return err
	}
	defer m.stop(0)
	var rounds []*cpuRound
	for n := range l.rounds {
		r, err := l.cpuRound(n, m, addr)
		if err != nil {
			return fmt.Errorf("round %d: %w", n+1, err)
		}
		rounds = append(rounds, r)
		l.report.say("round %d of %d done", n+1, l.rounds)
	}
	l.reportCPU(rounds)
	return nil
}

// startAll runs the gateway and the floors side by side; on error none is left.
func (l *lab) startAll(mock string) (subjects []*subject, err error) {
	defer func() {
		if err != nil {
			stopAll(subjects)
		}
	}()
	s, err := l.startGateway(mock)
	if err != nil {
		return nil, err
	}
	subjects = append(subjects, s)
	for _, gogc := range floorGOGC {
		s, err := l.startFloor(fmt.Sprintf("floor-%d", gogc), gogc, mock)
		if err != nil {
			return subjects, err
		}
		subjects = append(subjects, s)
	}
	for _, s := range subjects {
		s.fleet = newFleet(s.addr, connections)
	}
	return subjects, nil
}

func stopAll(subjects []*subject) {
	for _, s := range subjects {
		s.stop()
	}
}

func (l *lab) cpuRound(n int, m *process, mock string) (*cpuRound, error) {
	subjects, err := l.startAll(mock)
	if err != nil {
		return nil, err
	}
	defer stopAll(subjects)
	procs := []*process{m}
	for _, s := range subjects {
		procs = append(procs, s.proc)
	}
	others, err := othersSince(procs)
	if err != nil {
		return nil, err
	}
	r := &cpuRound{gap: make([]float64, len(subjects))}
	for _, c := range columns {
		cost, err := l.column(n, c, subjects, mock, r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		r.cpu = append(r.cpu, cost)
	}
	if err := l.steady(n, subjects, mock, r); err != nil {
		return nil, fmt.Errorf("%d requests/s: %w", steadyRate, err)
	}
	if r.others, err = others(); err != nil {
		return nil, err
	}
	l.recordCPU(n, subjects, r)
	if c, err := tally(mock); err != nil || c.Unauthorized > 0 {
		return nil, fmt.Errorf("%d calls reached the mock without its key: %w", c.Unauthorized, err)
	}
	if err := l.vouch(subjects[0]); err != nil {
		l.report.breach("the gateway was not measured with everything on: " + err.Error())
	}
	return r, nil
}

// slices cuts the phase into parts of about a second, or of one stream, so that
// the subjects alternate, slow drift of the machine meets all of them, and
// paced streams fall into step in many ways instead of one. Paced streams get
// twice the time, as there are few of them in a second.
func (l *lab) slices(c column) (int, time.Duration) {
	part, phase := time.Second, l.phase
	if c.chunks > 0 {
		part, phase = time.Duration(c.chunks-1)*c.script.Gap, 2*l.phase
	}
	n := max(1, int((phase+part/2)/part))
	return n, phase / time.Duration(n)
}

// turns calls f once per subject and slice; who begins changes with round and
// slice.
func turns(round, slices, subjects int, f func(i int) error) error {
	for s := range slices {
		for k := range subjects {
			if err := f((round + s + k) % subjects); err != nil {
				return err
			}
		}
	}
	return nil
}

// column measures c and returns the CPU time per request of each subject in
// µs. All a process used while the column ran is charged to its requests, also
// what it did while others were asked: work put off is work.
func (l *lab) column(round int, c column, subjects []*subject, mock string, r *cpuRound) ([]float64, error) {
	if _, err := tell(mock, c.script); err != nil {
		return nil, err
	}
	run := func(s *subject, d time.Duration) (sum, error) {
		got := s.fleet.run(c.request(s.addr, clientKey), c.chunks, d, c.script.Gap)
		s.answered += got.ok
		if got.failed > 0 {
			return got, fmt.Errorf("%s failed %d requests: %s: %s", s.name, got.failed, listErrors(got.errs), s.proc.logTail())
		}
		return got, nil
	}
	for _, s := range subjects {
		if _, err := run(s, warmUp); err != nil {
			return nil, err
		}
	}
	time.Sleep(settling)
	before, err := cpuOf(subjects)
	if err != nil {
		return nil, err
	}
	sums := make([]sum, len(subjects))
	n, d := l.slices(c)
	err = turns(round, n, len(subjects), func(i int) error {
		got, err := run(subjects[i], d)
		sums[i].add(got)
		return err
	})
	if err != nil {
		return nil, err
	}
	time.Sleep(settling)
	after, err := cpuOf(subjects)
	if err != nil {
		return nil, err
	}
	cost := make([]float64, len(subjects))
	for i, s := range sums {
		used := after[i] - before[i]
		cost[i] = float64(used.Nanoseconds()) / 1e3 / float64(s.ok)
		put := func(metric string, v float64) {
			l.report.record(reading{"cpu", round + 1, subjects[i].name, c.name, metric, v})
		}
		put("cpu_us_per_request", cost[i])
		put("requests_per_s", float64(s.ok)/s.took.Seconds())
		put("core_use", used.Seconds()/s.took.Seconds())
		if c.chunks > 0 {
			slices.Sort(s.stretch)
			r.gap[i] = ms(quantile(s.stretch, 0.99))
		}
	}
	return cost, nil
}

func cpuOf(subjects []*subject) ([]time.Duration, error) {
	out := make([]time.Duration, len(subjects))
	for i, s := range subjects {
		var err error
		if out[i], err = s.proc.cpu(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// steady measures latency at a rate that saturates nobody.
func (l *lab) steady(round int, subjects []*subject, mock string, r *cpuRound) error {
	c := columns[0]
	if _, err := tell(mock, c.script); err != nil {
		return err
	}
	all := make([][]time.Duration, len(subjects))
	n, d := l.slices(c)
	err := turns(round, n, len(subjects), func(i int) error {
		s := subjects[i]
		shots := fire(s.addr, c.request(s.addr, clientKey), steadyRate, d+unsteady*time.Second/steadyRate)
		for _, x := range shots {
			if x.err != nil {
				return fmt.Errorf("%s: %w", s.name, x.err)
			}
		}
		s.answered += len(shots)
		all[i] = append(all[i], times(shots[unsteady:])...)
		return nil
	})
	for _, t := range all {
		slices.Sort(t)
		r.p50 = append(r.p50, ms(quantile(t, 0.5)))
		r.p99 = append(r.p99, ms(quantile(t, 0.99)))
	}
	return err
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// othersSince begins to watch the machine; the function it returns says how
// many cores everyone but procs and this program used since.
func othersSince(procs []*process) (func() (float64, error), error) {
	foreign := func() (time.Duration, error) {
		total, err := machineCPU()
		if err != nil {
			return 0, err
		}
		own, err := ownCPU()
		if err != nil {
			return 0, err
		}
		for _, p := range procs {
			c, err := p.cpu()
			if err != nil {
				return 0, err
			}
			own += c
		}
		return total - own, nil
	}
	t0 := time.Now()
	f0, err := foreign()
	return func() (float64, error) {
		f, err := foreign()
		return math.Max(0, (f-f0).Seconds()/time.Since(t0).Seconds()), err
	}, err
}

func (l *lab) recordCPU(n int, subjects []*subject, r *cpuRound) {
	for i, s := range subjects {
		put := func(column, metric string, v float64) {
			l.report.record(reading{"cpu", n + 1, s.name, column, metric, v})
		}
		put(columns[0].name, "p50_ms", r.p50[i])
		put(columns[0].name, "p99_ms", r.p99[i])
		put(columns[2].name, "gap_growth_p99_ms", r.gap[i])
	}
	l.report.record(reading{"cpu", n + 1, "others", "", "cores", r.others})
}

func (l *lab) reportCPU(rounds []*cpuRound) {
	head := []string{"round"}
	ratios, added := make([][]float64, len(columns)), make([][]float64, 3)
	var costs, lates [][]string
	for _, c := range columns {
		head = append(head, c.name)
	}
	for n, r := range rounds {
		row := []string{fmt.Sprint(n + 1)}
		for k, c := range r.cpu {
			floor := slices.Min(c[1:])
			ratios[k] = append(ratios[k], c[0]/floor)
			row = append(row, fmt.Sprintf("%.1f / %.1f = %.3f", c[0], floor, c[0]/floor))
		}
		note := fmt.Sprintf("%.2f", r.others)
		if r.others > loadNoise {
			note += " (disturbed)"
		}
		costs = append(costs, append(row, note))
		row = []string{fmt.Sprint(n + 1)}
		for k, v := range [][]float64{r.p50, r.p99, r.gap} {
			floor := slices.Min(v[1:])
			added[k] = append(added[k], v[0]-floor)
			row = append(row, fmt.Sprintf("%.3f - %.3f = %+.3f", v[0], floor, v[0]-floor))
		}
		lates = append(lates, row)
	}
	l.report.table("CPU per request, µs: gateway / floor (the better of GOGC 100 and 400) = ratio",
		append(head, "others' cores"), append(costs, summary("%.3f", ratios)...))
	l.report.table(fmt.Sprintf("added time, ms: gateway - floor; p50 and p99 of %s at %d requests/s; p99 of what a gap between chunks grows",
		columns[0].name, steadyRate), []string{"round", "p50", "p99", "chunk gap p99"}, append(lates, summary("%+.3f", added)...))
	l.report.say("")
	for k, c := range columns {
		mid := median(ratios[k])
		goal := "goal met"
		if mid > cpuGoal {
			goal = "above the goal"
		}
		l.report.atMost(fmt.Sprintf("CPU × floor, %s, median, %s of %.1f", c.name, goal, cpuGoal), "%.3f", mid, cpuBound)
	}
}
