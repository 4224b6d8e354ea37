package telemetry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

const (
	// logLimit bounds each of the log's two buffers, in bytes: the one that
	// fills and the one that is being written.
	logLimit = 1 << 20
	// logSlack is room behind the limit, so that a line that turns out not to
	// fit seldom moves the buffer.
	logSlack = 8 << 10
	// logPause is the least time between two writes, unless a buffer is half
	// full.
	logPause = 50 * time.Millisecond
)

// AccessLog writes one line a request. Record never waits for the sink: lines
// are gathered in memory and written in batches by one goroutine, and what
// does not fit is dropped and counted. Safe for concurrent use.
type AccessLog struct {
	w      io.Writer
	format format
	wake   chan struct{} // the buffer is no longer empty
	hurry  chan struct{} // the buffer is half full
	stop   chan struct{} // closed by Close
	done   chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	buf     []byte // fills
	spare   []byte // empty, nil while the goroutine writes
	dropped uint64
	told    uint64 // part of dropped that the log itself tells
	closed  bool

	torn bool // the last write ended inside a line; the goroutine's own
}

// NewAccessLog begins a log on w, which only the log may write to until Close
// has returned nil. format is "text" for people; anything else is JSON Lines.
// The caller calls Close.
func NewAccessLog(w io.Writer, format string) *AccessLog {
	l := &AccessLog{
		w: w, format: jsonFormat,
		wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}),
		buf: make([]byte, 0, logLimit+logSlack), spare: make([]byte, 0, logLimit+logSlack),
	}
	if format == "text" {
		l.format = textFormat
	}
	go l.run()
	return l
}

// Record logs a settled trail. It never blocks on the sink.
func (l *AccessLog) Record(t *llm.Trail) {
	l.mu.Lock()
	before := len(l.buf)
	if l.closed {
		l.dropped++
		l.mu.Unlock()
		return
	}
	l.buf = l.format.line(l.buf, t)
	after := len(l.buf)
	if after > logLimit {
		l.buf = l.buf[:before]
		l.dropped++
	}
	l.mu.Unlock()
	if before == 0 {
		signal(l.wake)
	}
	if before < logLimit/2 && after >= logLimit/2 {
		signal(l.hurry)
	}
}

// Dropped returns how many lines were lost: the buffer was full, a write
// failed, or the log was closed.
func (l *AccessLog) Dropped() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}

// Close writes what is buffered and ends the log; later lines are dropped and
// counted. When ctx ends first, what was not written may be lost, and the
// goroutine stays until the sink lets go. Close may be called more than once.
func (l *AccessLog) Close(ctx context.Context) error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.stop)
	}
	l.mu.Unlock()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("writing the rest of the access log: %w", ctx.Err())
	}
}

func (l *AccessLog) run() {
	defer close(l.done)
	pause := time.NewTimer(logPause)
	defer pause.Stop()
	for {
		select {
		case <-l.wake:
		case <-l.stop:
			l.flush()
			return
		}
		l.flush()
		pause.Reset(logPause)
		select {
		case <-pause.C:
		case <-l.hurry:
		case <-l.stop:
		}
	}
}

// flush writes what was gathered, and after it how many lines are missing
// since the last time that could be said. Only run calls it.
func (l *AccessLog) flush() {
	l.mu.Lock()
	b := l.buf
	l.buf, l.spare = l.spare, nil
	missing := l.dropped - l.told
	l.mu.Unlock()

	var lost, told uint64
	if len(b) > 0 || missing > 0 {
		if missing > 0 {
			b = l.format.missing(b, time.Now(), missing)
		}
		n, err := l.write(b)
		switch {
		case err == nil:
			told = missing
		case n < len(b):
			lost = uint64(bytes.Count(b[n:], newline))
			if missing > 0 {
				lost-- // the line that tells
			}
		}
	}

	l.mu.Lock()
	l.dropped += lost
	l.told += told
	l.spare = b[:0]
	l.mu.Unlock()
}

var newline = []byte{'\n'}

// write writes b, ending first a line that an earlier failure has torn. It
// returns how much of b was written.
func (l *AccessLog) write(b []byte) (int, error) {
	if l.torn {
		if _, err := l.w.Write(newline); err != nil {
			return 0, err
		}
		l.torn = false
	}
	n, err := l.w.Write(b)
	if n < len(b) && err == nil {
		err = io.ErrShortWrite
	}
	l.torn = err != nil && n > 0 && n <= len(b) && b[n-1] != '\n'
	return n, err
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
