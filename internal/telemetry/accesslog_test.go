package telemetry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// sink keeps each write apart. gate, where set, holds writes until closed.
type sink struct {
	mu     sync.Mutex
	writes []string
	times  []time.Time
	gate   chan struct{}
	fail   func(n int, p []byte) (int, error) // by number of the write, from 0
}

func (s *sink) Write(p []byte) (int, error) {
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.times)
	s.times = append(s.times, time.Now())
	if s.fail != nil {
		if w, err := s.fail(n, p); err != nil {
			s.writes = append(s.writes, string(p[:w]))
			return w, err
		}
	}
	s.writes = append(s.writes, string(p))
	return len(p), nil
}

func (s *sink) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.writes, "")
}

func closeLog(t testing.TB, l *AccessLog) {
	t.Helper()
	if err := l.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestLogBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		l := NewAccessLog(s, "json")
		trail, start := whole(t), time.Now()
		l.Record(trail)
		synctest.Wait() // the first line goes out at once
		for range 3 {
			l.Record(trail)
		}
		time.Sleep(time.Second)
		l.Record(trail)
		closeLog(t, l)
		closeLog(t, l)

		line := string(jsonLine(nil, trail))
		want := []string{line, line + line + line, line}
		if len(s.writes) != len(want) {
			t.Fatalf("got %d writes, want %d", len(s.writes), len(want))
		}
		for i, after := range []time.Duration{0, logPause, time.Second} {
			if s.writes[i] != want[i] || s.times[i].Sub(start) != after {
				t.Errorf("write %d: got %q after %v, want %q after %v", i, s.writes[i], s.times[i].Sub(start), want[i], after)
			}
		}
	})
}

// TestLogHurry: a buffer half full is written without waiting.
func TestLogHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		l := NewAccessLog(s, "json")
		trail, start := whole(t), time.Now()
		l.Record(trail)
		synctest.Wait()
		n := logLimit/2/len(jsonLine(nil, trail)) + 1
		for range n {
			l.Record(trail)
		}
		synctest.Wait()
		if got := strings.Count(s.text(), "\n"); got != n+1 || !time.Now().Equal(start) {
			t.Errorf("got %d lines after %v, want %d at once", got, time.Since(start), n+1)
		}
		closeLog(t, l)
	})
}

func TestLogBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{gate: make(chan struct{})}
		l := NewAccessLog(s, "json")
		trail := whole(t)
		line := string(jsonLine(nil, trail))
		l.Record(trail)
		synctest.Wait() // the goroutine hangs in Write
		fits := logLimit / len(line)
		for range fits + 1000 {
			l.Record(trail)
		}
		if got := l.Dropped(); got != 1000 {
			t.Errorf("got %d dropped, want 1000", got)
		}
		if got := cap(l.buf); got != logLimit+logSlack {
			t.Errorf("got a buffer of %d bytes, want %d", got, logLimit+logSlack)
		}
		close(s.gate)
		time.Sleep(time.Second)
		l.Record(trail)
		closeLog(t, l)

		lines := strings.SplitAfter(s.text(), "\n")
		if got, want := len(lines)-1, 1+fits+1+1; got != want {
			t.Fatalf("got %d lines, want %d", got, want)
		}
		// The line that tells stands where the lost ones would have stood.
		if got := lines[1+fits]; !strings.Contains(got, `"msg":"access log lines dropped","lines":1000}`) {
			t.Errorf("got %q, want the line that tells of 1000", got)
		}
		lines[1+fits] = line
		for i, got := range lines[:len(lines)-1] {
			if got != line {
				t.Fatalf("line %d: got %q, want %q", i, got, line)
			}
		}
		if got := l.Dropped(); got != 1000 {
			t.Errorf("got %d dropped at the end, want 1000", got)
		}
	})
}

func TestLogCloseBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{gate: make(chan struct{})}
		l := NewAccessLog(s, "text")
		trail := whole(t)
		l.Record(trail)
		synctest.Wait()
		l.Record(trail)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		l.Record(trail)
		if got := l.Dropped(); got != 1 {
			t.Errorf("got %d dropped, want the one after Close", got)
		}
		close(s.gate)
		closeLog(t, l)
		if got := strings.Count(s.text(), " 200 gpt-4 "); got != 2 {
			t.Errorf("got %d lines, want 2 in %q", got, s.text())
		}
	})
}

// TestLogFailing: what a failed write loses is counted and told, and a line
// torn by it does not spoil the next.
func TestLogFailing(t *testing.T) {
	full := errors.New("no space left")
	synctest.Test(t, func(t *testing.T) {
		trail := whole(t)
		line := string(jsonLine(nil, trail))
		s := &sink{fail: func(n int, p []byte) (int, error) {
			switch n {
			case 1: // one line whole, the second torn, the third lost
				return len(line) + 10, full
			case 2: // not even the end of the torn line
				return 0, full
			}
			return len(p), nil
		}}
		l := NewAccessLog(s, "json")
		for i, n := range []int{1, 3, 2, 1} { // all but the first come in the middle of a pause, and are written together after it
			for range n {
				l.Record(trail)
			}
			if synctest.Wait(); i == 0 {
				time.Sleep(logPause / 2)
			} else {
				time.Sleep(logPause)
			}
		}
		closeLog(t, l)
		if got := l.Dropped(); got != 4 {
			t.Errorf("got %d dropped, want 4", got)
		}
		lines := strings.SplitAfter(s.text(), "\n")
		tail := `"msg":"access log lines dropped","lines":4}` + "\n"
		if len(lines) != 6 || lines[0] != line || lines[1] != line || lines[2] != line[:10]+"\n" || lines[3] != line || !strings.HasSuffix(lines[4], tail) {
			t.Errorf("got %q", lines)
		}
	})
}

// short is a sink that breaks io.Writer's contract.
type short struct{ bytes.Buffer }

func (s *short) Write(p []byte) (int, error) { return s.Buffer.Write(p[:len(p)-1]) }

func TestLogShortWrite(t *testing.T) {
	s := &short{}
	l := NewAccessLog(s, "json")
	l.Record(whole(t))
	closeLog(t, l)
	if got := l.Dropped(); got != 1 {
		t.Errorf("got %d dropped, want 1", got)
	}
}

func TestLogConcurrent(t *testing.T) {
	s := &sink{}
	l := NewAccessLog(s, "json")
	const writers, each = 8, 500
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				trail := whole(t)
				trail.ID = strconv.Itoa(w*each + i)
				l.Record(trail)
				l.Dropped()
			}
		})
	}
	wg.Wait()
	closeLog(t, l)
	seen := map[string]bool{}
	for line := range strings.Lines(s.text()) {
		if _, rest, found := strings.Cut(line, `"id":"`); found {
			id, _, _ := strings.Cut(rest, `"`)
			seen[id] = true
		}
	}
	if got := len(seen) + int(l.Dropped()); got != writers*each {
		t.Errorf("got %d written or counted, want %d", got, writers*each)
	}
}

func BenchmarkRecordLog(b *testing.B) {
	for _, bc := range []struct {
		name  string
		trail *llm.Trail
	}{{"one", whole(b)}, {"failover", settled(b, 701, nil, failed, second)}} {
		for _, format := range []string{"json", "text"} {
			b.Run(bc.name+"/"+format, func(b *testing.B) {
				l := NewAccessLog(io.Discard, format)
				defer closeLog(b, l)
				b.ReportAllocs()
				for b.Loop() {
					l.Record(bc.trail)
				}
				b.ReportMetric(float64(l.Dropped()), "dropped")
			})
		}
	}
}
