//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// trials are the sections of a soak, in the order in which they run: what a
// gateway under faults and load promises, measured. The long ones come last.
var trials = []struct {
	name, about string
	run         func(*soak) error
}{
	{"failover", "what a refused, reset or failing target adds to a request", (*soak).failover},
	{"lost", "requests lost with a target that is killed or frozen", (*soak).lost},
	{"region", "requests while the nearest region is lost", (*soak).region},
	{"cancel", "from a client's leaving to the end of the vendor's call", (*soak).cancel},
	{"storm", "upstream calls per request when every target fails", (*soak).storm},
	{"reload", "requests lost in 100 reloads under load", (*soak).reload},
	{"swap", "requests lost in 10 changes of the process under load", (*soak).swap},
	{"idle", "memory of 5,000 idle streams, and what is left when all end at once", (*soak).idle},
	{"slow", "memory of 1,000 clients that stop reading", (*soak).slow},
	{"events", "thousands of streams with an event every 2 s", (*soak).events},
	{"faults", "2 % of each kind of fault", (*soak).mixed},
	{"long", "half an hour of load with bursts", (*soak).long},
	{"fuzz", "each fuzz target for a while", (*soak).fuzz},
}

// A soak is a lab with the lengths of its long sections.
type soak struct {
	*lab
	length      struct{ long, faults, events, fuzz time.Duration }
	rate, burst int // of section long, requests per second

	orphan atomic.Int64 // pid of a gateway that is no child of this process; 0: none
}

// soakMain is the sub-mode `soak`. It returns the exit code, as benchMain does.
func soakMain(args []string) int {
	var s soak
	var o options
	fs := flag.NewFlagSet("bench soak", flag.ContinueOnError)
	only := fs.String("only", "", "comma-separated `sections` (default all):\n"+sectionList())
	fs.DurationVar(&s.length.long, "long", 30*time.Minute, "`length` of section long")
	fs.IntVar(&s.rate, "rate", 1200, "`requests` per second of section long")
	fs.IntVar(&s.burst, "burst", 3500, "and in its bursts")
	fs.DurationVar(&s.length.faults, "faults", 10*time.Minute, "`length` of section faults")
	fs.DurationVar(&s.length.events, "events", 5*time.Minute, "`length` of section events")
	fs.DurationVar(&s.length.fuzz, "fuzz", 5*time.Second, "`time` for each fuzz target")
	fs.StringVar(&o.json, "json", "", "write every number to this `file`, one JSON object a line")
	fs.StringVar(&o.gateway, "gateway", "", "measure this `binary` instead of building one")
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil {
		err = s.choose(*only, fs.Args(), &o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench soak:", err)
		return 2
	}
	code, err := s.all(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench soak:", err)
		return 1
	}
	return code
}

func sectionList() string {
	var b strings.Builder
	for _, t := range trials {
		fmt.Fprintf(&b, "  %-9s %s\n", t.name, t.about)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// choose fills in the sections to run.
func (s *soak) choose(only string, rest []string, o *options) error {
	if len(rest) > 0 {
		return fmt.Errorf("unexpected %q", rest[0])
	}
	for _, d := range []time.Duration{s.length.long, s.length.faults, s.length.events} {
		if d < 10*time.Second {
			return errors.New("a section takes at least 10s")
		}
	}
	if s.rate < 1 || s.burst < s.rate {
		return errors.New("-rate must be at least 1 and -burst at least -rate")
	}
	var names []string
	for _, t := range trials {
		names = append(names, t.name)
	}
	o.only = names
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	for _, name := range o.only {
		if !slices.Contains(names, name) {
			return fmt.Errorf("no section %q", name)
		}
	}
	return nil
}

// all sets up the lab and runs the sections.
func (s *soak) all(o options) (int, error) {
	dir, err := os.MkdirTemp("", "sluice-soak")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	stopOnSignal(func() {
		os.RemoveAll(dir)
		if pid := s.orphan.Load(); pid > 0 {
			_ = syscall.Kill(int(pid), syscall.SIGKILL)
		}
	})
	s.lab = &lab{dir: dir, rounds: 1, report: &report{out: os.Stdout}}
	if o.json != "" {
		f, err := os.Create(o.json)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		s.report.lines = json.NewEncoder(f)
	}
	if o.gateway != "" {
		if s.gateway, err = filepath.Abs(o.gateway); err != nil {
			return 0, err
		}
	}
	if err := s.furnish(o); err != nil {
		return 0, err
	}
	for _, t := range trials {
		if !slices.Contains(o.only, t.name) {
			continue
		}
		s.report.say("\n== %s: %s", t.name, t.about)
		if err := t.run(s); err != nil {
			s.report.breach(fmt.Sprintf("%s could not be measured: %v", t.name, err))
		}
	}
	return s.report.verdict(), nil
}

// put records a number of a section.
func (s *soak) put(section, column, metric string, v float64) {
	s.report.record(reading{section, 1, gatewayIs, column, metric, v})
}

// mocks starts n mocks that answer by sc.
func (s *soak) mocks(n int, sc script) (addrs []string, stop func(), err error) {
	var all []*process
	stop = func() {
		for _, p := range all {
			p.stop(0)
		}
	}
	for i := range n {
		p, addr, err := s.startMock(fmt.Sprintf("mock-%d", i+1))
		if err != nil {
			stop()
			return nil, nil, err
		}
		all, addrs = append(all, p), append(addrs, addr)
		if _, err := tell(addr, sc); err != nil {
			stop()
			return nil, nil, err
		}
	}
	return addrs, stop, nil
}

// gate runs a gateway like that of configFile, with more lines at the top of
// its file and more models.
func (s *soak) gate(top, models string, mocks ...string) (*subject, error) {
	return s.startConfigured(func(addr, data string) []byte {
		text := string(configFile(addr, data, mocks))
		return []byte(top + strings.Replace(text, "\nkeys:", "\n"+models+"keys:", 1))
	})
}

// flatAfter is how long a section must last for its memory to be judged: the
// first minutes fill buffers, pools and the ledger's cache.
const (
	flatAfter = 5 * time.Minute
	flatMiB   = 16 // that memory may grow by from the middle third to the last
)

// flat holds the memory of a section to flatMiB.
func flat(bounds []bound, length time.Duration, middle, end float64) []bound {
	if length < flatAfter {
		return bounds
	}
	return append(bounds, bound{"memory of the last third above the middle one, MiB", "%.1f", end - middle, flatMiB})
}

// A bound is a number that must not exceed most.
type bound struct {
	what, format string
	got, most    float64
}

// conclude prints what a section found and what it is held to.
func (s *soak) conclude(bounds []bound, title string, head []string, rows [][]string) {
	s.report.table(title, head, rows)
	s.report.say("")
	for _, b := range bounds {
		s.report.atMost(b.what, b.format, b.got, b.most)
	}
}

// quantiles are the median and the 99th percentile of sorted times, in ms, as
// cells of a table.
func quantiles(sorted []time.Duration) []string {
	return []string{fmt.Sprintf("%.2f", ms(quantile(sorted, 0.5))), fmt.Sprintf("%.2f", ms(quantile(sorted, 0.99)))}
}
