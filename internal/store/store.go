// Package store keeps durable records: the ledger of requests and attempts,
// and the objects that vendors keep for us.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/sluicegate/sluice/internal/llm"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Entry is one client request as the ledger keeps it.
type Entry struct {
	ID       string
	Time     time.Time
	Key      string
	Team     string
	Session  string
	Model    string // asked for
	Answered string // model that answered
	Target   string
	Op       string
	Stream   bool
	Strategy string
	Arm      string // of a split, what was drawn; "": nothing was
	Degraded int    // level of degradation that answered, 0 none
	Status   int
	Outcome  string
	Usage    llm.Usage
	Cost     llm.Money
	Duration time.Duration
	First    time.Duration // to the first byte, 0 if none was sent
	Attempts []Attempt
	Guards   []llm.Verdict // without what they found
	Task     string        // what was asked for, where the model was chosen by it
	Decision string        // how it was chosen, as JSON; "": nobody chose
	one      [1]Attempt
}

// Room returns room for the attempts of an entry that had n, empty. Most have
// one, which needs none of its own.
func (e *Entry) Room(n int) []Attempt {
	if n <= len(e.one) {
		return e.one[:0]
	}
	return make([]Attempt, 0, n)
}

// Attempt is one call of an Entry. Times are from the entry's Time.
type Attempt struct {
	Model      string
	Target     string
	Credential string
	Note       string // llm.NoteHedge, llm.NoteResume, "" for none
	Start      time.Duration
	First      time.Duration // 0: no content came
	End        time.Duration
	Status     int
	Outcome    string
	Detail     string
	Usage      llm.Usage
	Cost       llm.Money
	Flags      llm.Flags // what gates found wrong with the answer
	Score      int       // what a judge gave it, 1 to 1001; 0: nobody did. See ScoreOf
}

// ScoreOf is a score from 0 to 1 as an Attempt has it; 0 for NaN, which is none.
func ScoreOf(x float64) int {
	if math.IsNaN(x) {
		return 0
	}
	return 1 + int(math.Round(x*1000))
}

// Scored is a score as it was; false: there is none.
func (a *Attempt) Scored() (float64, bool) { return float64(a.Score-1) / 1000, a.Score > 0 }

// Store is a ledger on SQLite. It is safe for concurrent use. A nil *Store
// keeps nothing: Record, Flush, Stats and Close may be called on it.
type Store struct {
	db     *sql.DB // readers
	writer *writer // nil: read only
	// unmarked: it is of a gateway that knows no marks yet.
	unmarked bool
	// undecided: of one that knows no decisions.
	undecided bool
}

// Open opens the ledger at path for writing, making it where it is missing.
// The caller closes it.
func Open(ctx context.Context, path string) (*Store, error) {
	if err := touch(path); err != nil {
		return nil, err
	}
	db, err := connect(path, "rwc")
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, db); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("opening the ledger %s: %w", path, err)
	}
	w, err := newWriter(ctx, path)
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("opening the ledger %s: %w", path, err)
	}
	return &Store{db: db, writer: w}, nil
}

// OpenReadOnly opens the ledger of a gateway that may be running. The caller
// closes it.
func OpenReadOnly(ctx context.Context, path string) (*Store, error) {
	if _, err := os.Stat(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no ledger at %s; give -c and --data as serve has them", path)
		}
		return nil, fmt.Errorf("opening the ledger: %w", err)
	}
	db, err := connect(path, "rw") // readers of a WAL need its index
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, "SELECT 1 FROM requests LIMIT 1"); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("%s is no ledger: %w", path, err)
	}
	var marks, decisions int
	const tables = "SELECT count(*) FILTER (WHERE name = 'marks'), count(*) FILTER (WHERE name = 'decisions') FROM sqlite_master WHERE type = 'table'"
	if err := db.QueryRowContext(ctx, tables).Scan(&marks, &decisions); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("opening the ledger %s: %w", path, err)
	}
	return &Store{db: db, unmarked: marks == 0, undecided: decisions == 0}, nil
}

// touch makes the file with its mode: it holds who asked for what.
func touch(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		if dir := filepath.Dir(path); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("opening the ledger: the directory %s does not exist; make it, or give another store", dir)
		}
		return fmt.Errorf("opening the ledger: %w; give --data DIR, or write store: none", err)
	}
	return f.Close()
}

// dsn names the file for the driver. FULL syncs each commit, which group
// commits make cheap (39,600 rows/s against 299 one by one, measured).
func dsn(path, mode string) string {
	q := url.Values{"mode": {mode}, "_txlock": {"immediate"}, "_pragma": {"busy_timeout(5000)", "journal_mode(wal)", "synchronous(full)"}}
	return (&url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: q.Encode()}).String()
}

func connect(path, mode string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn(path, mode))
	if err != nil {
		return nil, fmt.Errorf("opening the ledger %s: %w", path, err)
	}
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(1)
	return db, nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, dir)
	if err != nil {
		return fmt.Errorf("reading the migrations: %w", err)
	}
	has, err := p.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("reading its version: %w", err)
	}
	all := p.ListSources()
	if newest := all[len(all)-1].Version; has > newest {
		return fmt.Errorf("it was made by a newer sluice (schema %d, this one knows %d)", has, newest)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bringing it up to date: %w", err)
	}
	return nil
}

// Stats tells how the ledger is doing.
type Stats struct {
	Written   uint64 // entries on disk
	Dropped   uint64 // entries lost because the queue was full
	Batches   uint64
	Queued    int
	LastError error // of the writer, nil when the last batch was written
}

// Record queues an entry. It never waits; false means that the queue was full
// and the entry is counted as dropped. The entry must not change afterwards.
func (s *Store) Record(e *Entry) bool {
	if s == nil {
		return true
	}
	return s.writer.record(e)
}

// Flush returns when all that was recorded before is on disk.
func (s *Store) Flush(ctx context.Context) error {
	if s == nil || s.writer == nil {
		return nil
	}
	return s.writer.flush(ctx)
}

// Stats tells how the writer is doing.
func (s *Store) Stats() Stats {
	if s == nil || s.writer == nil {
		return Stats{}
	}
	return s.writer.stats()
}

// Close writes what is queued and closes the files. It may be called again.
func (s *Store) Close(ctx context.Context) error {
	if s == nil {
		return nil
	}
	var err error
	if s.writer != nil {
		err = s.writer.close(ctx)
	}
	return errors.Join(err, s.db.Close())
}

// ErrNotFound is returned where no such row exists.
var ErrNotFound = errors.New("not found")

// queueSize bounds the entries that wait to be written.
const queueSize = 8192

// pending is the queue between recorders and the writer: two slices that are
// swapped, and the objects.
type pending struct {
	mu      sync.Mutex
	entries []*Entry
	dropped uint64
	objects map[string]Object // by id
}
