//go:build linux

package main

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	heldStreams  = 5000
	openers      = 64 // held streams that are being opened at a time
	calm         = time.Second
	idleBound    = 30  // MiB, resident, after the first answer
	readyBound   = 150 // ms from launch to the first answer
	liveStreams  = 1000
	liveChunks   = 64
	liveGap      = 20 * time.Millisecond
	livePatience = 2 * time.Minute // a core may be slower than the pace
)

// A footprint is what one process took in one round.
type footprint struct {
	ready  float64 // ms from launch to the first answer
	idle   float64 // MiB
	stream float64 // KiB per held stream
}

func (l *lab) memorySection() error {
	l.report.say("\n== memory: %d rounds, %d idle streams", l.rounds, heldStreams)
	if err := needFiles(2*heldStreams + 500); err != nil {
		return err
	}
	starts := []func(string) (*subject, error){func(mock string) (*subject, error) { return l.startGateway(mock) }}
	for _, gogc := range floorGOGC {
		starts = append(starts, func(mock string) (*subject, error) {
			return l.startFloor(fmt.Sprintf("floor-%d", gogc), gogc, mock)
		})
	}
	rounds := make([][]footprint, l.rounds)
	for n := range rounds {
		rounds[n] = make([]footprint, len(starts))
		err := turns(n, 1, len(starts), func(i int) error {
			f, err := l.footprint(n, starts[i])
			rounds[n][i] = f
			return err
		})
		if err != nil {
			return fmt.Errorf("round %d: %w", n+1, err)
		}
	}
	l.reportMemory(rounds)
	return nil
}

// footprint runs one subject alone, with a mock of its own.
func (l *lab) footprint(n int, start func(string) (*subject, error)) (footprint, error) {
	var f footprint
	m, mock, err := l.startMock("mock")
	if err != nil {
		return f, err
	}
	defer m.stop(0)
	if _, err := tell(mock, script{Chunks: 64, Body: 600, Hold: true}); err != nil {
		return f, err
	}
	s, err := start(mock)
	if err != nil {
		return f, err
	}
	defer s.stop()
	time.Sleep(calm)
	idle, err := s.proc.rss()
	if err != nil {
		return f, err
	}
	held := make(fleet, heldStreams)
	defer hangUp(held)
	if err := held.hold(s.addr); err != nil {
		return f, fmt.Errorf("%s: %w: %s", s.name, err, s.proc.logTail())
	}
	time.Sleep(calm)
	full, err := s.proc.rss()
	if err != nil {
		return f, err
	}
	f = footprint{ready: ms(s.ready), idle: idle / (1 << 20), stream: (full - idle) / heldStreams / 1024}
	l.report.record(reading{"memory", n + 1, s.name, "", "ready_ms", f.ready})
	l.report.record(reading{"memory", n + 1, s.name, "", "idle_mib", f.idle})
	l.report.record(reading{"memory", n + 1, s.name, "", "kib_per_stream", f.stream})
	return f, nil
}

// hold opens a stream on every connection of f and leaves it after its first
// chunk.
func (f fleet) hold(addr string) error {
	req := ask{bytes: 200, chunks: 64}.request(addr, clientKey)
	var next atomic.Int64
	var once sync.Once
	var first error
	var wg sync.WaitGroup
	for range openers {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(f)); i = next.Add(1) - 1 {
				f[i] = newClient(addr, 1<<10)
				if err := f[i].hold(req, time.Now().Add(patience)); err != nil {
					once.Do(func() { first = fmt.Errorf("open stream %d: %w", i+1, err) })
					next.Store(int64(len(f)))
				}
			}
		})
	}
	wg.Wait()
	return first
}

// hangUp resets all connections, so that thousands of ports are free at once.
func hangUp(f fleet) {
	for _, c := range f {
		if c == nil || c.nc == nil {
			continue
		}
		if tcp, ok := c.nc.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		c.close()
	}
}

func (l *lab) reportMemory(rounds [][]footprint) {
	cols := make([][]float64, 5)
	var rows [][]string
	for n, r := range rounds {
		g, floor := r[0], r[1]
		for _, f := range r[2:] {
			floor = footprint{min(floor.ready, f.ready), min(floor.idle, f.idle), min(floor.stream, f.stream)}
		}
		v := []float64{g.stream, floor.stream, g.stream / floor.stream, g.idle, g.ready}
		row := []string{fmt.Sprint(n + 1)}
		for k := range v {
			cols[k] = append(cols[k], v[k])
			row = append(row, fmt.Sprintf("%.2f", v[k]))
		}
		rows = append(rows, append(row, fmt.Sprintf("%.2f", floor.idle), fmt.Sprintf("%.2f", floor.ready)))
	}
	l.report.table(fmt.Sprintf("memory: (RSS at %d idle streams - idle RSS) / %d, and the start; the floor is the better of GOGC 100 and 400", heldStreams, heldStreams),
		[]string{"round", "gateway KiB/stream", "floor KiB/stream", "ratio", "idle MiB", "first answer ms", "floor idle MiB", "floor first answer ms"},
		append(rows, summary("%.2f", cols)...))
	l.report.say("")
	l.report.atMost("idle RSS, MiB, median", "%.1f", median(cols[3]), idleBound)
	l.report.atMost("first answer after start, ms, median", "%.0f", median(cols[4]), readyBound)
}

func (l *lab) streamsSection() error {
	l.report.say("\n== streams: %d at once, %d chunks, %v apart", liveStreams, liveChunks, liveGap)
	if err := needFiles(2*liveStreams + 500); err != nil {
		return err
	}
	m, mock, err := l.startMock("mock")
	if err != nil {
		return err
	}
	defer m.stop(0)
	if _, err := tell(mock, script{Chunks: liveChunks, Gap: liveGap, Body: 600}); err != nil {
		return err
	}
	var rows [][]string
	for _, start := range []func() (*subject, error){
		func() (*subject, error) { return l.startGateway(mock) },
		func() (*subject, error) { return l.startFloor("floor-400", 400, mock) },
	} {
		s, err := start()
		if err != nil {
			return err
		}
		r := liveRun(s.addr)
		s.stop()
		put := func(metric string, v float64) { l.report.record(reading{"streams", 1, s.name, "", metric, v}) }
		put("complete", float64(r.complete))
		put("chunks_missing", float64(r.missing))
		put("first_chunk_p50_ms", ms(quantile(r.first, 0.5)))
		put("first_chunk_p99_ms", ms(quantile(r.first, 0.99)))
		put("whole_p50_ms", ms(quantile(r.whole, 0.5)))
		put("whole_p99_ms", ms(quantile(r.whole, 0.99)))
		rows = append(rows, []string{s.name, fmt.Sprint(r.complete), fmt.Sprint(r.missing),
			fmt.Sprintf("%.1f", ms(quantile(r.first, 0.5))), fmt.Sprintf("%.1f", ms(quantile(r.first, 0.99))),
			fmt.Sprintf("%.0f", ms(quantile(r.whole, 0.5))), fmt.Sprintf("%.0f", ms(quantile(r.whole, 0.99)))})
		if s.name == gatewayIs && r.complete < liveStreams {
			l.report.breach(fmt.Sprintf("%d of %d streams complete: %s", r.complete, liveStreams, listErrors(r.errs)))
		}
	}
	l.report.table(fmt.Sprintf("streams that brought every chunk and [DONE] (bound: the gateway's %d of %d)", liveStreams, liveStreams),
		[]string{"", "complete", "chunks missing", "first chunk p50 ms", "p99 ms", "whole p50 ms", "p99 ms"}, rows)
	return nil
}

type live struct {
	complete, missing int
	errs              map[string]int
	first, whole      []time.Duration // sorted
}

// liveRun opens all streams within a second, a millisecond apart, and reads
// them to their ends.
func liveRun(addr string) live {
	req := ask{bytes: 200, chunks: liveChunks}.request(addr, clientKey)
	var r live
	var s sum
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range liveStreams {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * time.Millisecond)
			c := newClient(addr, mockBuffer)
			defer c.close()
			start := time.Now()
			err := c.ask(req, start.Add(livePatience), liveChunks)
			end := time.Now()
			mu.Lock()
			defer mu.Unlock()
			r.missing += max(0, liveChunks-c.w.chunks)
			if err != nil {
				s.fail(root(err), 1)
				return
			}
			r.complete++
			r.first = append(r.first, c.w.first.Sub(start))
			r.whole = append(r.whole, end.Sub(start))
		})
	}
	wg.Wait()
	r.errs = s.errs
	slices.Sort(r.first)
	slices.Sort(r.whole)
	return r
}
