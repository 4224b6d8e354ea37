package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

const (
	// gather is how long the writer waits after the first entry, so that one
	// commit carries many.
	gather = 100 * time.Millisecond
	// batchSize bounds the entries of one commit.
	batchSize = 1000
	// rowsAtOnce is how many rows one statement inserts: fewer cost more CPU
	// per row, more are seldom full.
	rowsAtOnce = 32
	// The writer waits between tries to write a batch that failed.
	firstRetry, maxRetry = 100 * time.Millisecond, 5 * time.Second
)

const (
	requestColumns = "id, time_us, key, team, session, model, answered, target, op, stream, strategy, status, outcome, " +
		"input, cached_read, cache_write, output, reasoning, cost_nano, estimated, attempts, duration_us, first_us"
	// onlyColumns hold the attempt of a request that had one.
	onlyColumns    = ", credential, begun_us, content_us, ended_us"
	attemptColumns = "request, n, model, target, credential, start_us, first_us, end_us, status, outcome, detail, " +
		"input, cached_read, cache_write, output, reasoning, cost_nano, estimated"
)

// writer is the one writer of a ledger: a goroutine that commits what came
// together. It uses the driver's connection, since database/sql costs twice
// the CPU per row.
type writer struct {
	queue   pending
	wake    chan struct{}
	flushes chan chan error
	quit    chan struct{}
	once    sync.Once // closes quit
	done    chan struct{}
	written atomic.Uint64
	batches atomic.Uint64
	failure atomic.Pointer[error]

	db    *sql.DB
	conn  *sql.Conn
	stmts map[string]driver.StmtExecContext
	args  []driver.NamedValue
	spare []*Entry
}

func newWriter(ctx context.Context, path string) (*writer, error) {
	db, err := connect(path, "rw")
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	w := &writer{
		wake: make(chan struct{}, 1), flushes: make(chan chan error), quit: make(chan struct{}), done: make(chan struct{}),
		db: db, conn: conn, stmts: map[string]driver.StmtExecContext{},
	}
	go w.run()
	return w, nil
}

func (w *writer) record(e *Entry) bool {
	q := &w.queue
	q.mu.Lock()
	if len(q.entries) >= queueSize {
		q.dropped++
		q.mu.Unlock()
		return false
	}
	q.entries = append(q.entries, e)
	first := len(q.entries) == 1
	q.mu.Unlock()
	if first {
		w.rouse()
	}
	return true
}

// rouse tells the writer that there is something to write.
func (w *writer) rouse() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *writer) stats() Stats {
	s := Stats{Written: w.written.Load(), Batches: w.batches.Load()}
	w.queue.mu.Lock()
	s.Dropped, s.Queued = w.queue.dropped, len(w.queue.entries)
	w.queue.mu.Unlock()
	if p := w.failure.Load(); p != nil {
		s.LastError = *p
	}
	return s
}

func (w *writer) flush(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case w.flushes <- answer:
	case <-w.done:
		return errors.New("the ledger is closed")
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *writer) close(ctx context.Context) error {
	w.once.Do(func() { close(w.quit) })
	select {
	case <-w.done:
	case <-ctx.Done():
		return fmt.Errorf("writing the last rows: %w", ctx.Err())
	}
	var left error
	if p := w.failure.Load(); p != nil {
		left = fmt.Errorf("the last rows were not written: %w", *p)
	}
	return errors.Join(left, w.conn.Close(), w.db.Close())
}

// run gathers and writes until quit, then writes what is left once.
func (w *writer) run() {
	defer close(w.done)
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	retry := time.Duration(0)
	write := func() error {
		err := w.drain()
		if err == nil {
			err = w.drainObjects()
		}
		if err == nil {
			retry = 0
			w.failure.Store(nil)
			return nil
		}
		w.failure.Store(&err)
		retry = min(maxRetry, max(firstRetry, 2*retry))
		timer.Reset(retry)
		return err
	}
	for {
		select {
		case <-w.wake:
			if retry == 0 {
				timer.Reset(gather)
			}
		case <-timer.C:
			_ = write()
		case answer := <-w.flushes:
			answer <- write()
		case <-w.quit:
			_ = write()
			return
		}
	}
}

// drain writes the queue in batches. Entries of a batch that fails go back to
// the head of the queue.
func (w *writer) drain() error {
	for {
		q := &w.queue
		q.mu.Lock()
		batch := q.entries
		q.entries = w.spare[:0]
		q.mu.Unlock()
		if len(batch) == 0 {
			w.spare = batch
			return nil
		}
		for len(batch) > 0 {
			n := min(batchSize, len(batch))
			if err := w.commit(batch[:n]); err != nil {
				q.mu.Lock()
				q.entries = append(batch[:len(batch):len(batch)], q.entries...)
				q.mu.Unlock()
				w.spare = nil
				return err
			}
			w.written.Add(uint64(n))
			w.batches.Add(1)
			clear(batch[:n])
			if len(batch) == n {
				w.spare = batch[:0]
			}
			batch = batch[n:]
		}
	}
}

// commit writes entries in one transaction. Rows that are there already stay:
// a batch may be tried again.
func (w *writer) commit(entries []*Entry) error {
	return w.transaction(func(ctx context.Context, c any) error { return w.insert(ctx, c, entries) })
}

// transaction runs f between BEGIN and COMMIT on the writer's connection.
func (w *writer) transaction(f func(ctx context.Context, c any) error) error {
	ctx := context.Background()
	return w.conn.Raw(func(c any) error {
		if err := w.exec(ctx, c, "BEGIN IMMEDIATE", nil); err != nil {
			return err
		}
		err := f(ctx, c)
		if err == nil {
			err = w.exec(ctx, c, "COMMIT", nil)
		}
		if err != nil {
			_ = w.exec(ctx, c, "ROLLBACK", nil) // the first error tells more
		}
		return err
	})
}

func (w *writer) insert(ctx context.Context, c any, entries []*Entry) error {
	rows := 0
	w.args = w.args[:0]
	put := func(table string, least int) error {
		if rows < least {
			return nil
		}
		err := w.exec(ctx, c, statements[table][rows], w.args)
		rows, w.args = 0, w.args[:0]
		return err
	}
	for _, e := range entries {
		w.request(e)
		rows++
		if err := put("requests", rowsAtOnce); err != nil {
			return err
		}
	}
	if err := put("requests", 1); err != nil {
		return err
	}
	for _, e := range entries {
		if e.only() != nil {
			continue
		}
		for n := range e.Attempts {
			w.attempt(e.ID, n+1, &e.Attempts[n])
			rows++
			if err := put("tries", rowsAtOnce); err != nil {
				return err
			}
		}
	}
	if err := put("tries", 1); err != nil {
		return err
	}
	for _, e := range entries {
		if e.Usage.Plain() {
			continue
		}
		rows += w.kinds(e.ID, 0, &e.Usage)
		if e.only() == nil {
			for n := range e.Attempts {
				rows += w.kinds(e.ID, n+1, &e.Attempts[n].Usage)
			}
		}
		if err := w.each(ctx, c, "kinds", rows); err != nil { // seldom: one by one
			return err
		}
		rows, w.args = 0, w.args[:0]
	}
	for _, e := range entries {
		if e.Decision == "" {
			continue
		}
		for _, s := range [...]string{e.ID, e.Task, e.Decision} {
			w.text(s)
		}
		if err := w.each(ctx, c, "decisions", 1); err != nil {
			return err
		}
		w.args = w.args[:0]
	}
	for _, e := range entries {
		if rows = w.marks(e); rows == 0 {
			continue
		}
		if err := w.each(ctx, c, "marks", rows); err != nil {
			return err
		}
		w.args = w.args[:0]
	}
	return nil
}

// degraded is the mark of a request that a level of degradation answered; arm, with
// the arm's name behind it, of one for which a split drew; guarded begins that of what
// a guard said: its name, the stage and what it did follow, the level is its place
// among them and the class of risk. flagged is that of an attempt with flags, scored of
// one with a score.
const (
	degraded = "degraded"
	arm      = "arm "
	guarded  = "guard "
	flagged  = "flags"
	scored   = "score"
)

// marks adds the arguments of the rows of an entry's marks and returns how many.
func (w *writer) marks(e *Entry) (rows int) {
	put := func(n int, mark string, level int) {
		w.text(e.ID)
		w.num(int64(n))
		w.text(mark)
		w.num(int64(level))
		rows++
	}
	if e.Degraded > 0 {
		put(0, degraded, e.Degraded)
	}
	if e.Arm != "" {
		put(0, arm+e.Arm, 0)
	}
	for n, v := range e.Guards {
		put(0, guarded+v.Guard+" "+v.Stage+" "+v.Action, n<<2|int(llm.RiskByName(v.Risk)))
	}
	for n := range e.Attempts {
		a := &e.Attempts[n]
		if a.Note != "" {
			put(n+1, a.Note, 0)
		}
		if a.Flags != 0 {
			put(n+1, flagged, int(a.Flags))
		}
		if a.Score > 0 {
			put(n+1, scored, a.Score)
		}
	}
	return rows
}

// kinds adds the arguments of the rows of a usage and returns how many.
func (w *writer) kinds(id string, n int, u *llm.Usage) (rows int) {
	for _, k := range llm.Counts {
		if amount := *k.Of(u); amount != 0 {
			w.text(id)
			w.num(int64(n))
			w.text(k.Name)
			w.num(amount)
			rows++
		}
	}
	return rows
}

// each inserts rows one by one.
func (w *writer) each(ctx context.Context, c any, table string, rows int) error {
	for n := range rows {
		args := w.args[n*len(w.args)/rows : (n+1)*len(w.args)/rows]
		for i := range args {
			args[i].Ordinal = i + 1
		}
		if err := w.exec(ctx, c, statements[table][1], args); err != nil {
			return err
		}
	}
	return nil
}

// statements by table and number of rows, made once.
var statements = map[string][rowsAtOnce + 1]string{"requests": inserts("requests", requestColumns+onlyColumns), "tries": inserts("tries", attemptColumns), "kinds": inserts("kinds", "request, n, kind, amount"), "marks": inserts("marks", "request, n, mark, level"), "decisions": inserts("decisions", "request, task, decision")}

func inserts(table, columns string) (out [rowsAtOnce + 1]string) {
	one := "(" + strings.TrimSuffix(strings.Repeat("?, ", strings.Count(columns, ",")+1), ", ") + ")"
	for n := 1; n <= rowsAtOnce; n++ {
		out[n] = "INSERT INTO " + table + " (" + columns + ") VALUES " + strings.TrimSuffix(strings.Repeat(one+", ", n), ", ") + " ON CONFLICT DO NOTHING"
	}
	return out
}

// exec runs a statement, prepared once per connection.
func (w *writer) exec(ctx context.Context, c any, query string, args []driver.NamedValue) error {
	s := w.stmts[query]
	if s == nil {
		p, ok := c.(driver.ConnPrepareContext)
		if !ok {
			return errors.New("the driver cannot prepare statements")
		}
		st, err := p.PrepareContext(ctx, query)
		if err != nil {
			return err
		}
		if s, ok = st.(driver.StmtExecContext); !ok {
			return errors.New("the driver cannot run statements")
		}
		w.stmts[query] = s
	}
	_, err := s.ExecContext(ctx, args)
	return err
}

func (w *writer) text(s string) {
	if a := w.arg(); a.Value != s {
		a.Value = s
	}
}

func (w *writer) num(n int64) {
	if a := w.arg(); a.Value != n {
		a.Value = n
	}
}

// arg adds an argument. It holds the value that stood there last: rows are
// alike, and a value that is kept is not allocated again.
func (w *writer) arg() *driver.NamedValue {
	n := len(w.args)
	if n < cap(w.args) {
		w.args = w.args[:n+1]
	} else {
		w.args = append(w.args, driver.NamedValue{})
	}
	w.args[n].Ordinal = n + 1
	return &w.args[n]
}

func (w *writer) flag(b bool) {
	if b {
		w.num(1)
	} else {
		w.num(0)
	}
}

func (w *writer) request(e *Entry) {
	w.text(e.ID)
	w.num(e.Time.UnixMicro())
	for _, s := range [...]string{e.Key, e.Team, e.Session, e.Model, e.Answered, e.Target, e.Op} {
		w.text(s)
	}
	w.flag(e.Stream)
	w.text(e.Strategy)
	w.num(int64(e.Status))
	w.text(e.Outcome)
	u := e.Usage
	for _, n := range [...]int64{u.Input, u.CachedRead, u.CacheWrite, u.Output, u.Reasoning, int64(e.Cost)} {
		w.num(n)
	}
	w.flag(u.Estimated)
	for _, n := range [...]int64{int64(len(e.Attempts)), e.Duration.Microseconds(), e.First.Microseconds()} {
		w.num(n)
	}
	only := e.only()
	if only == nil {
		only = &Attempt{}
	}
	w.text(only.Credential)
	for _, d := range [...]time.Duration{only.Start, only.First, only.End} {
		w.num(d.Microseconds())
	}
}

// only returns the attempt of a request that had one, nil where there were
// others, it failed, or it does not say the same as the request.
func (e *Entry) only() *Attempt {
	if len(e.Attempts) != 1 {
		return nil
	}
	a := &e.Attempts[0]
	if a.Outcome != "ok" || a.End < time.Microsecond || a.Model != e.Answered || a.Target != e.Target || a.Status != e.Status ||
		a.Usage != e.Usage || a.Cost != e.Cost || a.Detail != "" || a.Note != "" {
		return nil
	}
	return a
}

func (w *writer) attempt(id string, n int, a *Attempt) {
	w.text(id)
	w.num(int64(n))
	for _, s := range [...]string{a.Model, a.Target, a.Credential} {
		w.text(s)
	}
	for _, d := range [...]time.Duration{a.Start, a.First, a.End} {
		w.num(d.Microseconds())
	}
	w.num(int64(a.Status))
	w.text(a.Outcome)
	w.text(a.Detail)
	u := a.Usage
	for _, n := range [...]int64{u.Input, u.CachedRead, u.CacheWrite, u.Output, u.Reasoning, int64(a.Cost)} {
		w.num(n)
	}
	w.flag(u.Estimated)
}
