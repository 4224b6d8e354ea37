//go:build linux

// Bench measures the gateway against a bare httputil.ReverseProxy: CPU per
// request, added latency, memory, failover and complete streams. It needs two
// cores and Linux. Exit 1 says that a bound was exceeded or that nothing could
// be measured, exit 2 that the flags were wrong.
//
//	cd test && go run ./bench
//	go run ./bench -only cpu -rounds 7 -json cpu.jsonl
//
// With soak as its first word it puts the gateway through faults, reloads and
// load instead, and holds it to what it promises:
//
//	go run ./bench soak
//	go run ./bench soak -only failover,long -long 1m
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

// fewRounds is the least that a verdict should rest on.
const fewRounds = 5

var sections = []struct {
	name string
	run  func(*lab) error
}{
	{"cpu", (*lab).cpuSection},
	{"translate", (*lab).translateSection},
	{"memory", (*lab).memorySection},
	{"failover", (*lab).failoverSection},
	{"streams", (*lab).streamsSection},
}

func main() {
	var err error
	switch a := os.Args[1:]; {
	case len(a) == 2 && a[0] == "mock":
		err = mockMain(a[1])
	case len(a) == 3 && a[0] == "floor":
		err = floorMain(a[1], a[2])
	case len(a) > 0 && a[0] == "soak":
		os.Exit(soakMain(a[1:]))
	default:
		os.Exit(benchMain(a))
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

type options struct {
	rounds  int
	phase   time.Duration
	only    []string
	json    string
	gateway string
	self    bool
}

func parseFlags(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.IntVar(&o.rounds, "rounds", fewRounds, "`rounds` of cpu and memory")
	seconds := fs.Float64("seconds", 3, "`seconds` of load per subject and phase of cpu")
	only := fs.String("only", "", "comma-separated `sections`: cpu, translate, memory, failover, streams (default all)")
	fs.StringVar(&o.json, "json", "", "write every number to this `file`, one JSON object a line")
	fs.StringVar(&o.gateway, "gateway", "", "measure this `binary` instead of building one")
	fs.BoolVar(&o.self, "self", false, "let a floor (GOGC 400) pose as the gateway: shows the noise of this machine; without failover unless named")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	o.phase = time.Duration(*seconds * float64(time.Second))
	for _, s := range sections {
		if *only == "" && !(o.self && s.name == "failover") {
			o.only = append(o.only, s.name)
		}
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	return o, o.check(fs.Args())
}

func (o options) check(rest []string) error {
	for _, name := range o.only {
		known := false
		for _, s := range sections {
			known = known || s.name == name
		}
		if !known {
			return fmt.Errorf("no section %q", name)
		}
	}
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected %q", rest[0])
	case o.rounds < 1:
		return errors.New("-rounds must be at least 1")
	case o.phase < 500*time.Millisecond || o.phase > time.Minute:
		return errors.New("-seconds must be from 0.5 to 60")
	case o.self && o.gateway != "":
		return errors.New("-self and -gateway exclude each other")
	}
	return nil
}

func benchMain(args []string) int {
	o, err := parseFlags(args)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 2
	}
	code, err := bench(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return code
}

// bench sets up the lab, runs the sections and returns the exit code.
func bench(o options) (int, error) {
	dir, err := os.MkdirTemp("", "sluice-bench")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	stopOnSignal(func() { os.RemoveAll(dir) })
	l := &lab{dir: dir, rounds: o.rounds, phase: o.phase, gateway: o.gateway, report: &report{out: os.Stdout}}
	if o.json != "" {
		f, err := os.Create(o.json)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		l.report.lines = json.NewEncoder(f)
	}
	if err := l.furnish(o); err != nil {
		return 0, err
	}
	for _, s := range sections {
		if !slices.Contains(o.only, s.name) {
			continue
		}
		if err := s.run(l); err != nil {
			l.report.breach(fmt.Sprintf("%s could not be measured: %v", s.name, err))
		}
	}
	if o.rounds < fewRounds {
		l.report.say("\n%d rounds: a verdict needs %d", o.rounds, fewRounds)
	}
	return l.report.verdict(), nil
}

// furnish builds what is missing, with all cores, then takes the load core.
func (l *lab) furnish(o options) error {
	var err error
	if l.self, err = os.Executable(); err != nil {
		return err
	}
	switch {
	case o.self:
		l.report.say("a floor poses as the gateway: what is measured is this machine's noise")
	case o.gateway == "":
		if l.gateway, err = buildGateway(l.dir); err != nil {
			return err
		}
	default:
		if l.gateway, err = filepath.Abs(o.gateway); err != nil {
			return err
		}
	}
	if l.gatewayCore, l.loadCore, err = pickCores(); err != nil {
		return err
	}
	l.report.say("gateway and floors on core %d, mock and load on core %d", l.gatewayCore, l.loadCore)
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400)
	return pinSelf(l.loadCore)
}

// stopOnSignal cleans up and ends; the children die with this process.
func stopOnSignal(clean func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-c
		clean()
		os.Exit(130)
	}()
}
