//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	streamMax   = 64 // KiB, resident, of an idle stream
	afterEnds   = 5 * time.Second
	slack       = 5 // descriptors and goroutines beside the baseline
	readers     = 1000
	readerMax   = 256 // KiB, resident, of a client that stops reading
	readerRead  = 1 << 10
	readerFor   = 10 * time.Second // reading 1 KiB/s, before they stop
	eventGap    = 2 * time.Second
	floorEvents = 30
	opening     = 5 * eventGap // streams begin spread over it
	eventP99    = 5            // ms that events are later than at the floor, p99
)

// files is how many descriptors the child has open.
func (p *process) files() (int, error) {
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid()))
	return len(all), err
}

// goroutines is what the metrics of the gateway at addr say.
func goroutines(addr string) (int, error) {
	resp, err := controlClient.Get("http://" + addr + "/metrics")
	if err != nil {
		return 0, fmt.Errorf("metrics: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil {
		return 0, fmt.Errorf("metrics: %w", err)
	}
	_, rest, ok := strings.Cut(string(b), "\ngo_goroutines ")
	line, _, _ := strings.Cut(rest, "\n")
	if !ok {
		return 0, errors.New("metrics without go_goroutines")
	}
	return strconv.Atoi(line)
}

// left is what a subject has open.
type left struct{ files, routines int }

func leftOf(g *subject) (left, error) {
	n, err := g.proc.files()
	if err != nil {
		return left{}, err
	}
	r, err := goroutines(g.addr)
	return left{n, r}, err
}

// idle holds streams, measures what each takes, at the floor too, and lets the
// vendor end them all at once.
func (s *soak) idle() error {
	if err := needFiles(2*heldStreams + 500); err != nil {
		return err
	}
	floor, err := s.footprint(0, func(mock string) (*subject, error) { return s.startFloor("floor-400", 400, mock) })
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	m, mock, err := s.startMock("mock")
	if err != nil {
		return err
	}
	defer m.stop(0)
	if _, err := tell(mock, script{Chunks: 64, Body: 600, Hold: true}); err != nil {
		return err
	}
	g, err := s.gate("", "", mock)
	if err != nil {
		return err
	}
	defer g.stop()
	time.Sleep(calm)
	base, err := leftOf(g)
	if err != nil {
		return err
	}
	idle, err := g.proc.rss()
	if err != nil {
		return err
	}
	held := make(fleet, heldStreams)
	defer hangUp(held)
	if err := held.hold(g.addr); err != nil {
		return fmt.Errorf("%w: %s", err, g.proc.logTail())
	}
	time.Sleep(calm)
	full, err := g.proc.rss()
	if err != nil {
		return err
	}
	whole, took, after, err := s.release(g, mock, held, base)
	if err != nil {
		return err
	}
	each := (full - idle) / heldStreams / 1024
	s.put("idle", "", "kib_per_stream", each)
	s.put("idle", "", "floor_kib_per_stream", floor.stream)
	s.put("idle", "", "back_s", took.Seconds())
	s.conclude([]bound{
		{"resident memory of an idle stream, KiB", "%.1f", each, streamMax},
		{"streams that did not end whole", "%.0f", float64(heldStreams - whole), 0},
		{"as before after s", "%.2f", took.Seconds(), afterEnds.Seconds()},
		{"descriptors more than before", "%.0f", float64(after.files - base.files), slack},
		{"goroutines more than before", "%.0f", float64(after.routines - base.routines), slack},
	}, fmt.Sprintf("%d idle streams, then all ended by the vendor at once", heldStreams),
		[]string{"gateway KiB/stream", "floor KiB/stream", "descriptors before", "after", "goroutines before", "after", "back after s"},
		[][]string{{fmt.Sprintf("%.1f", each), fmt.Sprintf("%.1f", floor.stream), fmt.Sprint(base.files), fmt.Sprint(after.files),
			fmt.Sprint(base.routines), fmt.Sprint(after.routines), fmt.Sprintf("%.2f", took.Seconds())}})
	return nil
}

// release ends the held streams, counts those that ended whole, and waits
// until the gateway has nothing more open than it had before.
func (s *soak) release(g *subject, mock string, held fleet, base left) (whole int, took time.Duration, after left, err error) {
	var ended atomic.Int64
	var wg sync.WaitGroup
	for _, c := range held {
		wg.Go(func() {
			defer c.close()
			c.nc.SetDeadline(time.Now().Add(patience))
			for more := true; more; {
				var err error
				if more, err = c.piece(func(b []byte) { c.w.feed(b, c.rd.at) }); err != nil {
					return
				}
			}
			if c.w.done {
				ended.Add(1)
			}
		})
	}
	if _, err = tell(mock, script{Chunks: 64, Body: 600}); err != nil {
		return 0, 0, after, err
	}
	wg.Wait()
	begin := time.Now()
	for {
		if after, err = leftOf(g); err != nil {
			return 0, 0, after, err
		}
		took = time.Since(begin)
		if after.files <= base.files+slack && after.routines <= base.routines+slack || took > patience+afterEnds {
			return int(ended.Load()), took, after, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// slow holds streams of a fast vendor whose clients read 1 KiB/s and then
// nothing.
func (s *soak) slow() error {
	if err := needFiles(2*readers + 500); err != nil {
		return err
	}
	m, mock, err := s.startMock("mock")
	if err != nil {
		return err
	}
	defer m.stop(0)
	if _, err := tell(mock, script{Chunks: endless, Body: 600}); err != nil {
		return err
	}
	g, err := s.gate("limits: {in_flight: 8000}\ntimeouts: {connect: 30s}\n", "", mock)
	if err != nil {
		return err
	}
	defer g.stop()
	time.Sleep(calm)
	base, err := g.proc.rss()
	if err != nil {
		return err
	}
	conns, err := dawdle(g.addr)
	defer func() {
		for _, nc := range conns {
			nc.Close()
		}
	}()
	if err != nil {
		return err
	}
	var most float64
	sample := func() error {
		now, err := g.proc.rss()
		most = max(most, now)
		return err
	}
	buf := make([]byte, readerRead)
	for begin := time.Now(); time.Since(begin) < readerFor; {
		round := time.Now()
		for _, nc := range conns {
			nc.SetReadDeadline(time.Now().Add(livePatience))
			if n, err := io.ReadFull(nc, buf); err != nil {
				return fmt.Errorf("a slow reader was cut while it read: %w after %q", err, buf[:n])
			}
		}
		if err := sample(); err != nil {
			return err
		}
		time.Sleep(time.Until(round.Add(time.Second)))
	}
	gone := time.Duration(0)
	for begin := time.Now(); ; time.Sleep(time.Second) {
		if err := sample(); err != nil {
			return err
		}
		c, err := goroutines(g.addr)
		if err != nil {
			return err
		}
		if gone = time.Since(begin); c < readers || gone > 2*time.Minute {
			break
		}
	}
	each := (most - base) / readers / 1024
	s.put("slow", "", "kib_per_reader", each)
	s.put("slow", "", "cut_after_s", gone.Seconds())
	s.conclude([]bound{
		{"resident memory of a slow reader, most, KiB", "%.1f", each, readerMax},
		{"slow readers are cut after s", "%.0f", gone.Seconds(), 60},
	}, fmt.Sprintf("%d clients of a vendor that sends as fast as it can; they read 1 KiB/s for %v, then nothing", readers, readerFor),
		[]string{"MiB before", "most MiB", "KiB each", "cut after s"},
		[][]string{{fmt.Sprintf("%.0f", base/(1<<20)), fmt.Sprintf("%.0f", most/(1<<20)), fmt.Sprintf("%.1f", each), fmt.Sprintf("%.0f", gone.Seconds())}})
	return nil
}

// dawdle opens streams over connections that take little at a time.
func dawdle(addr string) (conns []net.Conn, err error) {
	req := ask{bytes: 200, chunks: 64}.request(addr, clientKey)
	for range readers {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			return conns, err
		}
		conns = append(conns, nc)
		time.Sleep(opening / readers)
		nc.(*net.TCPConn).SetReadBuffer(4 << 10)
		if _, err := nc.Write(req); err != nil {
			return conns, err
		}
	}
	return conns, nil
}

// events holds thousands of streams with an event every 2 s.
func (s *soak) events() error {
	if err := needFiles(2*heldStreams + 500); err != nil {
		return err
	}
	var rows [][]string
	var bounds []bound
	var late time.Duration
	chunks := max(3, int(s.length.events/eventGap))
	for _, name := range []string{gatewayIs, "floor"} {
		floor := name == "floor"
		if floor { // it has nothing to lose with time
			chunks = min(chunks, floorEvents)
		}
		e, err := s.eventsOf(floor, chunks)
		if err != nil {
			return err
		}
		rows = append(rows, []string{name, fmt.Sprint(e.whole), fmt.Sprint(e.missing), fmt.Sprintf("%.1f", e.each),
			fmt.Sprintf("%.2f", ms(quantile(e.stretch, 0.5))), fmt.Sprintf("%.2f", ms(quantile(e.stretch, 0.99)))})
		s.put("events", name, "missing", float64(e.missing))
		s.put("events", name, "kib_per_stream", e.each)
		s.put("events", name, "late_p99_ms", ms(quantile(e.stretch, 0.99)))
		if !floor {
			bounds = []bound{
				{"streams that were not whole", "%.0f", float64(heldStreams - e.whole), 0},
				{"resident memory of a stream, KiB", "%.1f", e.each, streamMax},
			}
			late = quantile(e.stretch, 0.99)
			if e.errs != nil {
				s.report.say("%s", listErrors(e.errs))
			}
			continue
		}
		bounds = append(bounds, bound{"an event is later than at the floor by, p99, ms", "%.2f", ms(late - quantile(e.stretch, 0.99)), eventP99})
	}
	s.conclude(bounds, fmt.Sprintf("%d streams of %d events (floor: %d), %v apart", heldStreams, int(s.length.events/eventGap), chunks, eventGap),
		[]string{"", "whole", "chunks missing", "KiB/stream", "late p50 ms", "p99 ms"}, rows)
	return nil
}

type eventful struct {
	whole, missing int
	each           float64 // KiB
	stretch        []time.Duration
	errs           map[string]int
}

func (s *soak) eventsOf(floor bool, chunks int) (eventful, error) {
	var e eventful
	m, mock, err := s.startMock("mock")
	if err != nil {
		return e, err
	}
	defer m.stop(0)
	if _, err := tell(mock, script{Chunks: chunks, Gap: eventGap, Body: 600}); err != nil {
		return e, err
	}
	var g *subject
	if floor {
		g, err = s.startFloor("floor-400", 400, mock)
	} else {
		g, err = s.gate("limits: {in_flight: 20000}\ntimeouts: {connect: 30s}\n", "", mock)
	}
	if err != nil {
		return e, err
	}
	defer g.stop()
	time.Sleep(calm)
	base, err := g.proc.rss()
	if err != nil {
		return e, err
	}
	req := ask{bytes: 200, chunks: chunks}.request(g.addr, clientKey)
	length := opening + time.Duration(chunks)*eventGap
	var all sum
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range heldStreams {
		wg.Go(func() {
			time.Sleep(opening * time.Duration(i) / heldStreams)
			c := newClient(g.addr, 1<<10)
			defer c.close()
			err := c.ask(req, time.Now().Add(length+livePatience), chunks)
			mu.Lock()
			defer mu.Unlock()
			e.missing += max(0, chunks-c.w.chunks)
			if err != nil {
				all.fail(root(err), 1)
				return
			}
			e.whole++
			e.stretch = append(e.stretch, c.w.stretch...)
		})
	}
	time.Sleep(length * 3 / 4)
	full, rerr := g.proc.rss()
	wg.Wait()
	slices.Sort(e.stretch)
	e.each, e.errs = (full-base)/heldStreams/1024, all.errs
	return e, rerr
}
