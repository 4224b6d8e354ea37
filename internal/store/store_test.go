package store

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluicegate/sluice/internal/llm"
)

// childEnv makes the test binary a child that writes to the ledger there
// until it is killed.
const childEnv = "SLUICE_TEST_LEDGER"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		write(path)
	}
	goleak.VerifyTestMain(m)
}

// entry is the n-th request: every third failed over, every fifth failed.
func entry(n int) *Entry {
	at := time.Unix(1_800_000_000, 0).Add(time.Duration(n) * time.Millisecond)
	e := &Entry{
		ID: llm.NewID(at), Time: at.UTC(), Key: fmt.Sprintf("key-%d", n%3), Model: "m", Answered: "m", Target: fmt.Sprintf("p/%d", n%2), Op: "chat",
		Stream: n%2 == 0, Strategy: "weighted", Status: 200, Outcome: "ok", Usage: llm.Usage{Input: int64(n), CachedRead: int64(n / 2), Output: 7, Reasoning: 3},
		Cost: llm.Money(n * 1001), Duration: 20 * time.Millisecond, First: 5 * time.Millisecond,
	}
	last := Attempt{Model: "m", Target: e.Target, Credential: "1", Start: time.Millisecond, First: 4 * time.Millisecond, End: 19 * time.Millisecond, Status: 200, Outcome: "ok", Usage: e.Usage, Cost: e.Cost}
	if n%3 == 0 {
		e.Attempts = append(e.Attempts, Attempt{Model: "m", Target: "p/x", Credential: "2", End: time.Millisecond, Status: 500, Outcome: "upstream_error", Detail: "status 500"})
	}
	if n%6 == 0 {
		last.Note = llm.NoteHedge
	}
	if n%4 == 0 {
		last.Flags, last.Score = llm.FlagRefused|llm.FlagLoop, ScoreOf(0.25)
	}
	if n%7 == 0 {
		e.Degraded = n
	}
	if n%13 == 0 {
		e.Guards = []llm.Verdict{{Guard: "words", Stage: llm.StageInput, Action: llm.GuardPass}, {Guard: "a-b_1", Stage: llm.StageInput, Action: llm.GuardMask}, {Guard: "words", Stage: llm.StageOutput, Action: llm.GuardFlag, Risk: "high"}}
	}
	if n%11 == 0 {
		e.Arm = "gpt-4-next"
	}
	if n%5 == 0 {
		e.Outcome, e.Status, last.Outcome, last.Status = "timeout", 504, "timeout", 0
	}
	e.Attempts = append(e.Attempts, last)
	return e
}

// write records entries for ever and prints how many are on disk after each
// flush.
func write(path string) {
	ctx := context.Background()
	s, err := Open(ctx, path)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for n := 1; ; n++ {
		s.Record(entry(n))
		if n%50 == 0 {
			if err := s.Flush(ctx); err != nil {
				fmt.Println("error", err)
				os.Exit(1)
			}
			fmt.Println(n)
		}
	}
}

func open(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

func total(t *testing.T, s *Store) UsageRow {
	t.Helper()
	r, err := s.Usage(t.Context(), UsageQuery{})
	if err != nil {
		t.Fatal(err)
	}
	return r.Total
}

// A row that was acknowledged survives the process being killed at any time,
// and is there once.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	acked := 0
	for round := range 3 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		last := 0
		for lines.Scan() && last < 300+50*round {
			if _, err := fmt.Sscan(lines.Text(), &last); err != nil {
				t.Fatalf("the child says %q", lines.Text())
			}
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		acked += last
		s := open(t, path)
		got := total(t, s).Requests
		if got < int64(acked) {
			t.Fatalf("round %d: %d rows, %d were acknowledged", round, got, acked)
		}
		acked = int(got)
		var bad int
		if err := s.db.QueryRow("SELECT COUNT(*) FROM requests WHERE id NOT IN (SELECT request FROM attempts)").Scan(&bad); err != nil || bad != 0 {
			t.Errorf("round %d: %d requests without their attempts, %v", round, bad, err)
		}
		_ = s.Close(context.Background())
	}
}

// What was recorded is what is read, with every attempt, whether it has a row
// of its own or not.
func TestReadsWhatWasRecorded(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "ledger.db"))
	for n := 1; n <= 20; n++ {
		e := entry(n)
		if !s.Record(e) {
			t.Fatal("the queue is full")
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := s.Request(t.Context(), e.ID)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", e); a != b {
			t.Errorf("got  %s\nwant %s", a, b)
		}
		if last, err := s.Last(t.Context()); err != nil || last.ID != e.ID {
			t.Errorf("last: got %v, %v, want %s", last, err, e.ID)
		}
	}
	if _, err := s.Request(t.Context(), "none"); err != ErrNotFound {
		t.Errorf("unknown id: %v", err)
	}
}

// Groups add up to the total, to the nano-dollar, and times bound it.
func TestUsage(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "ledger.db"))
	const rows = 1000
	var cost llm.Money
	var in int64
	var wg sync.WaitGroup
	for n := 1; n <= rows; n++ {
		cost += llm.Money(n * 1001)
		in += int64(n)
		wg.Go(func() { s.Record(entry(n)) })
	}
	wg.Wait()
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, by := range [][]string{nil, {"key"}, {"model", "target"}, {"day", "hour"}, {"outcome", "key", "target"}} {
		r, err := s.Usage(t.Context(), UsageQuery{By: by})
		if err != nil {
			t.Fatal(err)
		}
		var sum UsageRow
		for _, x := range r.Rows {
			sum.Requests += x.Requests
			sum.Tokens = sum.Tokens.Add(x.Tokens)
			sum.Cost += x.Cost
		}
		if sum.Requests != rows || sum.Cost != cost || sum.Tokens.Input != in || r.Total.Cost != cost {
			t.Errorf("by %v: got %+v and total %+v, want %d rows, %v", by, sum, r.Total, rows, cost)
		}
	}
	from := entry(500).Time
	r, err := s.Usage(t.Context(), UsageQuery{Since: from, Until: from.Add(100 * time.Millisecond)})
	if err != nil || r.Total.Requests != 100 {
		t.Errorf("a tenth of a second: got %d rows, %v, want 100", r.Total.Requests, err)
	}
	if _, err := s.Usage(t.Context(), UsageQuery{By: []string{"colour"}}); err == nil || !strings.Contains(err.Error(), "model") {
		t.Errorf("an unknown group: got %v, want an error that names the known ones", err)
	}
}

// A queue that is full drops and says so; it never waits.
func TestFullQueue(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "ledger.db"))
	lock, err := s.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil { // the writer cannot
		t.Fatal(err)
	}
	kept, lost := 0, 0
	for n := range 3 * queueSize {
		if s.Record(entry(n + 1)) {
			kept++
		} else {
			lost++
		}
	}
	if lost == 0 || s.Stats().Dropped != uint64(lost) {
		t.Errorf("%d lost, the statistics say %d", lost, s.Stats().Dropped)
	}
	if _, err := lock.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	_ = lock.Close()
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := total(t, s).Requests; got != int64(kept) {
		t.Errorf("%d rows, want the %d that were kept", got, kept)
	}
}

func TestCloseWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	s := open(t, path)
	for n := 1; n <= 100; n++ {
		s.Record(entry(n))
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := OpenReadOnly(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(t.Context())
	if got := total(t, r).Requests; got != 100 {
		t.Errorf("%d rows after closing, want 100", got)
	}
}

// The ledger of a gateway that is older than this one is read as it is.
func TestReadsOlder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	s := open(t, path)
	e := entry(1)
	id := e.ID
	s.Record(e)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	old, err := connect(path, "rw")
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"marks", "decisions"} {
		if _, err := old.ExecContext(t.Context(), "DROP TABLE "+table); err != nil {
			t.Fatal(err)
		}
	}
	_ = old.Close()
	r, err := OpenReadOnly(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(t.Context())
	if got, err := r.Request(t.Context(), id); err != nil || got.ID != id {
		t.Errorf("got %+v, %v", got, err)
	}
}

// How models were chosen is kept beside the requests for which one was.
func TestDecisions(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "ledger.db"))
	defer s.Close(t.Context())
	chosen, plain := entry(1), entry(2)
	chosen.Task, chosen.Decision = "coding", `{"router":"learned"}`
	ids := [2]string{chosen.ID, plain.ID}
	s.Record(chosen)
	s.Record(plain)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, want := range [2][2]string{{"coding", `{"router":"learned"}`}, {}} {
		if got, err := s.Request(t.Context(), ids[i]); err != nil || got.Task != want[0] || got.Decision != want[1] {
			t.Errorf("%d: %+v, %v", i, got, err)
		}
	}
}

func TestObjects(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	s := open(t, path)
	o := Object{ID: "resp_1", Kind: "response", Target: "p/a", Credential: "c", Owner: "me", Created: time.Unix(1_800_000_000, 5000).UTC()}
	if err := s.PutObject(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	other := o
	other.Target, other.Owner = "p/b", "you"
	if err := s.PutObject(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	_ = s.Close(t.Context())
	s = open(t, path)
	if got, err := s.Object(t.Context(), o.ID); err != nil || got != o {
		t.Errorf("got %+v, %v, want the first, %+v", got, err, o)
	}
	if err := s.DeleteObject(t.Context(), o.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Object(t.Context(), o.ID); err != ErrNotFound {
		t.Errorf("after deleting: %v", err)
	}
}

// An object that is only queued is found at once, is on disk after Close, and
// never waits: a queue that is full says so.
func TestQueuedObjects(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	s := open(t, path)
	lock, err := s.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil { // the writer cannot
		t.Fatal(err)
	}
	at := time.Unix(1_800_000_000, 0).UTC()
	object := func(n int) Object {
		return Object{ID: fmt.Sprint("resp_", n), Kind: "response", Target: "p/a", Credential: "c", Owner: "me", Created: at.Add(time.Duration(n) * time.Second)}
	}
	for n := range queueSize {
		if !s.QueueObject(object(n)) {
			t.Fatalf("refused after %d", n)
		}
	}
	if s.QueueObject(object(queueSize)) {
		t.Error("a full queue took another")
	}
	if got, err := s.Object(t.Context(), "resp_7"); err != nil || got != object(7) {
		t.Errorf("queued: %+v, %v", got, err)
	}
	if _, err := lock.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	_ = lock.Close()
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	if got, err := s.Object(t.Context(), "resp_7"); err != nil || got != object(7) {
		t.Errorf("after closing: %+v, %v", got, err)
	}
	if _, err := s.Object(t.Context(), fmt.Sprint("resp_", queueSize)); err != ErrNotFound {
		t.Errorf("the one that was refused: %v", err)
	}
}

// Lists show an owner's objects of one kind, the newest first, page by page.
func TestListObjects(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "ledger.db"))
	at := time.Unix(1_800_000_000, 0).UTC()
	for n := range 12 {
		o := Object{ID: fmt.Sprintf("file-%02d", n), Kind: "file", Target: "p", Owner: []string{"me", "you"}[n%2], Created: at.Add(time.Duration(n/4) * time.Second)}
		if err := s.PutObject(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	list := func(kind, owner, after string, limit int) string {
		all, err := s.Objects(t.Context(), kind, owner, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, o := range all {
			ids = append(ids, strings.TrimPrefix(o.ID, "file-"))
		}
		return strings.Join(ids, " ")
	}
	for _, c := range []struct {
		kind, owner, after string
		limit              int
		want               string
	}{
		{"file", "me", "", 100, "10 08 06 04 02 00"}, {"file", "you", "", 2, "11 09"}, {"file", "me", "file-08", 2, "06 04"},
		{"file", "me", "file-00", 9, ""}, {"file", "me", "file-11", 9, ""}, {"file", "me", "none", 9, ""}, {"batch", "me", "", 9, ""}, {"file", "", "", 9, ""},
	} {
		if got := list(c.kind, c.owner, c.after, c.limit); got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
	var nobody *Store
	if _, err := nobody.Objects(t.Context(), "file", "me", "", 1); err != ErrNoStore {
		t.Errorf("without a store: %v", err)
	}
}

// A ledger that cannot be opened says what to do.
func TestCannotOpen(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database ", 200)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, say := range map[string]string{filepath.Join(dir, "none", "l.db"): "does not exist", dir: "--data", text: text} {
		if s, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%s: got %v, %v, want an error that says %q", path, s, err, say)
		}
	}
	if _, err := OpenReadOnly(t.Context(), filepath.Join(dir, "l.db")); err == nil || !strings.Contains(err.Error(), "there is no ledger") {
		t.Errorf("reading none: %v", err)
	}
	newer := filepath.Join(dir, "newer.db")
	s := open(t, newer)
	if _, err := s.db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)"); err != nil {
		t.Fatal(err)
	}
	_ = s.Close(t.Context())
	if _, err := Open(t.Context(), newer); err == nil || !strings.Contains(err.Error(), "newer sluice") {
		t.Errorf("a newer ledger: %v", err)
	}
}

// Nothing is kept by a store that is none.
func TestNone(t *testing.T) {
	var s *Store
	if !s.Record(entry(1)) || s.Flush(t.Context()) != nil || s.Stats() != (Stats{}) || s.Close(t.Context()) != nil {
		t.Error("a nil store is not silent")
	}
}

// Every count of every request and attempt comes back, alone and in sums.
func TestCounts(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "ledger.db"))
	var want llm.Usage
	var all []*Entry
	for n := 1; n <= 30; n++ {
		e := entry(n)
		for i, c := range llm.Counts {
			if n%2 == 0 && (n+i)%3 == 0 {
				*c.Of(&e.Usage) = int64(n * (i + 1))
			}
		}
		e.Attempts[len(e.Attempts)-1].Usage = e.Usage
		want = want.Add(e.Usage)
		all = append(all, e)
		if !s.Record(e) {
			t.Fatal("the queue is full")
		}
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		got, err := s.Request(t.Context(), e.ID)
		if err != nil || got.Usage != e.Usage || len(got.Attempts) != len(e.Attempts) {
			t.Fatalf("%s: %+v, %v; want %+v", e.ID, got, err, e)
		}
		for i := range e.Attempts {
			if got.Attempts[i].Usage != e.Attempts[i].Usage {
				t.Errorf("%s, attempt %d: %+v, want %+v", e.ID, i+1, got.Attempts[i].Usage, e.Attempts[i].Usage)
			}
		}
	}
	if got := total(t, s).Tokens; got != want {
		t.Errorf("in all %+v, want %+v", got, want)
	}
	by, err := s.Usage(t.Context(), UsageQuery{By: []string{"key", "target"}})
	if err != nil || by.Total.Tokens != want {
		t.Errorf("by key and target %+v, %v; want %+v", by.Total.Tokens, err, want)
	}
	if b, err := json.Marshal(total(t, s)); err != nil || !strings.Contains(string(b), `"searches":`) {
		t.Errorf("%s, %v: no searches", b, err)
	}
}
