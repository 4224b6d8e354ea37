//go:build linux

package main

import (
	"fmt"
	"time"
)

// translateBound is what a stream that is translated may cost at most, × one
// that passes.
const translateBound = 2.0

// translated is the stream of both kinds: 64 chunks, a little apart.
var translated = column{"64 chunks, 5 ms apart", ask{bytes: 200, chunks: 64}, script{Chunks: 64, Body: 600, Gap: 5 * time.Millisecond}}

// translateSection compares streams that the gateway hands from an OpenAI
// vendor to a client of Anthropic's protocol with streams that pass as they
// come, in the same process by turns.
func (l *lab) translateSection() error {
	if l.gateway == "" {
		return nil // a floor translates nothing
	}
	l.report.say("\n== translate: %d rounds, %v per phase, %d connections", l.rounds, l.phase, connections)
	m, addr, err := l.startMock("mock-translate")
	if err != nil {
		return err
	}
	defer m.stop(0)
	if _, err := tell(addr, translated.script); err != nil {
		return err
	}
	ratios := make([][]float64, 1)
	var rows [][]string
	for n := range l.rounds {
		cost, err := l.translateRound(n, addr)
		if err != nil {
			return fmt.Errorf("round %d: %w", n+1, err)
		}
		ratios[0] = append(ratios[0], cost[1]/cost[0])
		rows = append(rows, []string{fmt.Sprint(n + 1), fmt.Sprintf("%.1f / %.1f = %.3f", cost[1], cost[0], cost[1]/cost[0])})
	}
	l.report.table("CPU per stream, µs: translated / passed = ratio", []string{"round", translated.name}, append(rows, summary("%.3f", ratios)...))
	l.report.atMost("CPU of a translated stream × a passed one, median", "%.3f", median(ratios[0]), translateBound)
	return nil
}

// translateRound returns the CPU time per stream in µs, passed and translated.
func (l *lab) translateRound(n int, mock string) (cost [2]float64, err error) {
	s, err := l.startGateway(mock)
	if err != nil {
		return cost, err
	}
	s.fleet = newFleet(s.addr, connections)
	defer s.stop()
	kinds := [2]ask{translated.ask, translated.ask}
	kinds[1].messages = true
	run := func(a ask, d time.Duration) (sum, error) {
		for _, c := range s.fleet {
			c.w.messages = a.messages
		}
		got := s.fleet.run(a.request(s.addr, clientKey), a.chunks, d, translated.script.Gap)
		if got.failed > 0 {
			return got, fmt.Errorf("%d of %d streams failed: %s: %s", got.failed, got.ok+got.failed, listErrors(got.errs), s.proc.logTail())
		}
		return got, nil
	}
	for _, a := range kinds {
		if _, err := run(a, warmUp); err != nil {
			return cost, err
		}
	}
	var used [2]time.Duration
	var sums [2]sum
	slices, d := l.slices(translated)
	err = turns(n, slices, len(kinds), func(i int) error {
		before, err := s.proc.cpu()
		if err != nil {
			return err
		}
		got, err := run(kinds[i], d)
		if err != nil {
			return err
		}
		time.Sleep(settling) // what trails the answers is theirs
		after, err := s.proc.cpu()
		used[i] += after - before
		sums[i].add(got)
		return err
	})
	for i, name := range [...]string{"passed", "translated"} {
		cost[i] = float64(used[i].Nanoseconds()) / 1e3 / float64(max(1, sums[i].ok))
		l.report.record(reading{"translate", n + 1, name, translated.name, "cpu_us_per_stream", cost[i]})
	}
	return cost, err
}
