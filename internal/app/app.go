package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicegate/sluice/internal/config"
	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/load"
	"github.com/sluicegate/sluice/internal/route"
	"github.com/sluicegate/sluice/internal/server"
	"github.com/sluicegate/sluice/internal/store"
	"github.com/sluicegate/sluice/internal/telemetry"
	"github.com/sluicegate/sluice/internal/upstream"
)

const (
	// lameDuck is how long a stopping gateway still accepts, so that load
	// balancers see that it is not ready before connections are refused.
	lameDuck = time.Second
	// farewell is how long streams that outlived the drain have to be told.
	farewell = time.Second
	// headTime is how long a client may take to send a header and to begin
	// its body.
	headTime = 10 * time.Second
	// remembered is how many requests GET /gateway/requests/{id} knows.
	remembered = 2048
)

// Options make an App.
type Options struct {
	// Load reads the configuration, at the start and at each reload.
	Load func() (*config.Config, error)
	// Watch is the file whose change reloads, "" for none.
	Watch string
	Env   Env
	// Listen replaces the configuration's address, "" keeps it.
	Listen string
	// Data is the state directory; see StateDir.
	Data string
	// Sockets are used in place of listeners of its own, as far as they fit.
	Sockets *Sockets
	// Notify is systemd's socket for news of the service, "" for none.
	Notify  string
	Log     io.Writer // access log and messages
	Version string
}

// App is a running gateway.
type App struct {
	opts    Options
	shared  *Shared
	current atomic.Pointer[generation]
	reload  sync.Mutex
	log     *slog.Logger
	access  *telemetry.AccessLog
	metrics *telemetry.Metrics
	ledger  *store.Store
	recent  *gateway.Ring
	replays *gateway.Replays
	kept    *gateway.Kept
	shedder *load.Shedder
	server  *server.Server
	certs   *certificates
	main    *socket
	admin   *socket // nil: none
	// relist holds one: look at the engines' models now.
	relist   chan struct{}
	herald   *herald
	opinions sync.Mutex // held to note a client's word
	rotating sync.Mutex // held to move targets out of rotation, and back
	news     sync.Mutex
	ending   bool // under news: the last of them was told
	// retired: another process serves in this one's place.
	retired atomic.Bool
}

// generation is one configuration in force.
type generation struct {
	cfg     *config.Config
	gw      *gateway.Gateway
	listers []lister
	engines []*engine
	care    care
	splits  []split
	alone   []*upstream.Pool // models that no file names, as many as the catalog knows
	router  *route.Router
	stamp   stamp // of the router's file
}

// New builds everything and binds the listeners. Nothing is served before
// Run; whoever does not run the app closes it.
func New(ctx context.Context, o Options) (*App, error) {
	a := &App{opts: o, shared: NewShared(), recent: gateway.NewRing(remembered), replays: gateway.NewReplays(memoryLimit()), shedder: &load.Shedder{}, relist: make(chan struct{}, 1)}
	if o.Sockets != nil {
		a.main, a.admin = o.Sockets.main, o.Sockets.admin
	}
	cfg, err := a.load()
	if err != nil {
		return nil, err
	}
	gen, err := build(cfg, o.Env, a.shared)
	if err != nil {
		return nil, err
	}
	a.log = logger(o.Log, cfg.Log)
	for _, w := range warnings(cfg) {
		a.log.Warn(w)
	}
	if a.ledger, err = openLedger(ctx, cfg.Store, o.Data); err != nil {
		return nil, err
	}
	if err := a.recallEvidence(ctx); err != nil {
		a.log.Warn("what was learned of answers is lost", "error", err.Error())
	}
	a.herald = newHerald(func(why error) { a.log.Warn("a webhook was not told", "why", why.Error()) })
	a.shared.Sampler.Tell(a.gradedAnswer)
	a.recallCanaries(ctx)
	a.kept = gateway.NewKept(a.ledger)
	a.access = telemetry.NewAccessLog(o.Log, cfg.Log.Format)
	if cfg.Telemetry.Metrics {
		a.metrics = telemetry.NewMetrics(o.Version)
	}
	a.server = server.New(a.deps(), inFlightLimit(cfg.Limits.InFlight))
	a.install(gen)
	if o.Sockets != nil {
		for _, t := range gen.gw.Targets {
			if slices.Contains(o.Sockets.drained, t.ID) {
				t.Drain()
			}
		}
	}
	if err := a.listen(cfg); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// load reads the configuration, with the addresses that others have chosen.
func (a *App) load() (*config.Config, error) {
	cfg, err := a.opts.Load()
	if err != nil {
		return nil, err
	}
	if a.opts.Listen != "" {
		cfg.Listen = a.opts.Listen
	}
	if a.main.fixed() { // who may ask depends on it
		cfg.Listen = a.main.Addr().String()
	}
	if a.admin.fixed() {
		cfg.Admin.Listen = a.admin.Addr().String()
	}
	return cfg, nil
}

func (a *App) deps() server.Deps {
	d := server.Deps{
		Current: func() *gateway.Gateway { return a.current.Load().gw },
		Settle:  a.settle, Recent: a.recent, Replays: a.replays, Status: a.status, Order: a.order, OrderSplit: a.orderSplit, Feedback: a.feedback, Load: a.shedder, Version: a.opts.Version,
		Reload: func() error { return a.reloadAndTell("POST /admin/v1/reload") },
	}
	if a.metrics != nil {
		d.Metrics, d.Limited = a.metrics.Handler(), a.metrics.Limited
		a.metrics.Targets = a.observe
		a.metrics.LedgerDropped = func() uint64 { return a.ledger.Stats().Dropped }
		a.metrics.LogDropped = a.access.Dropped
		a.metrics.Alarms = a.shared.Monitor.Alarmed
		a.metrics.Unjudged = func() uint64 { _, n := a.shared.Sampler.Stats(); return n }
		a.metrics.Arms = a.arms
		a.metrics.Shed = func() float64 { return float64(a.shedder.Level()) }
	}
	return d
}

// install puts a configuration in force.
func (a *App) install(gen *generation) {
	cfg, gw := gen.cfg, gen.gw
	gen.care.welcome()
	a.shared.commit(gen)
	a.adoptSplits(gen)
	a.shared.Evidence.SetHalf(cfg.Quality.HalfLife)
	critical := slices.ContainsFunc(cfg.Keys, func(k config.Key) bool { return k.Priority == llm.PriorityCritical.String() })
	a.server.SetLimit(inFlightLimit(cfg.Limits.InFlight), critical)
	if old := a.current.Load(); old != nil {
		gw.Keys.Continue(old.gw.Keys)
	}
	if a.metrics != nil {
		models, targets := map[string]bool{}, map[string]bool{}
		for _, n := range gw.Labels() {
			models[n] = true
		}
		for _, t := range gw.Targets {
			targets[t.ID] = true
		}
		a.metrics.Known(models, targets)
		guards := map[string]bool{}
		for _, g := range cfg.Guards {
			guards[g.Name] = true
		}
		a.metrics.Guards(guards)
	}
	gw.Kept = a.kept
	a.current.Store(gen)
	select {
	case a.relist <- struct{}{}:
	default: // it will look anyway
	}
}

// settle is the one place where a request ends: metrics, log, ledger and the
// ring of recent requests.
func (a *App) settle(t *llm.Trail) {
	if a.metrics != nil {
		a.metrics.Record(t)
	}
	a.access.Record(t)
	if t.Err != nil && t.Err.Kind == llm.KindInvalidKey {
		return // strangers leave no rows
	}
	a.shared.Book.Settle(t)
	a.settleQuality(t)
	a.recent.Add(t)
	a.ledger.Record(entry(t))
}

// Addr is the address that clients reach.
func (a *App) Addr() net.Addr { return a.main.Addr() }

// Reload reads the configuration again and puts it in force. On error nothing
// has changed.
func (a *App) Reload() error {
	a.reload.Lock()
	defer a.reload.Unlock()
	cfg, err := a.load()
	if err != nil {
		return err
	}
	gen, err := build(cfg, a.opts.Env, a.shared)
	if err != nil {
		return err
	}
	old := a.current.Load().cfg
	if a.certs != nil && cfg.TLS != nil {
		if err := a.certs.use(*cfg.TLS); err != nil {
			return err
		}
	}
	if cfg.Listen != old.Listen || cfg.Admin.Listen != old.Admin.Listen || (cfg.TLS == nil) != (old.TLS == nil) || cfg.Store != old.Store || cfg.Log != old.Log || cfg.Telemetry != old.Telemetry {
		a.log.Warn("listen, tls on or off, store, log and telemetry change at the next start")
	}
	a.install(gen)
	return nil
}

// reloadAndTell is a reload of which the log tells.
func (a *App) reloadAndTell(why string) error {
	a.notify(newsReloading)
	defer a.notify(newsReady)
	err := a.Reload()
	if err != nil {
		a.log.Error("reload failed; nothing has changed", "why", why, "error", err.Error())
	} else {
		a.log.Info("reloaded", "why", why)
	}
	return err
}

func (a *App) listen(cfg *config.Config) error {
	var err error
	if a.main, err = a.main.at(cfg.Listen); err != nil {
		return fmt.Errorf("listening: %w; is another gateway running? --listen takes another address", err)
	}
	if cfg.TLS != nil {
		if a.certs, err = newCertificates(*cfg.TLS); err != nil {
			return err
		}
	}
	if a.admin, err = a.admin.at(cfg.Admin.Listen); err != nil {
		return fmt.Errorf("listening on admin.listen: %w", err)
	}
	return nil
}

// Run serves until ctx is done, then drains: not ready at once, accepting for
// another second, then finishing what is under way within the drain time.
// force ends the drain early. hup reloads; usr2 starts the binary anew, and once
// the new process serves, this one finishes what it has. It returns nil after a
// drain.
func (a *App) Run(ctx, force context.Context, hup, usr2 <-chan os.Signal) error {
	base, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	if of := a.current.Load().listers; a.opts.Sockets.awaited() && len(of) > 0 {
		a.shared.Listed.look(ctx, of) // nobody may miss a model that was there
	}
	if a.opts.Sockets.awaited() {
		a.takeOver(ctx)
	}
	watched, cancelWatch := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { a.watch(watched, hup) })
	watching.Go(func() { a.watchLists(watched) })
	watching.Go(func() { a.watchEngines(watched) })
	watching.Go(func() { a.watchHealth(watched) })
	watching.Go(func() { a.watchQuality(watched) })
	watching.Go(func() { a.herald.run(watched) })
	watching.Go(func() { a.watchRouter(watched) })
	loaded, cancelLoad := context.WithCancel(context.Background()) // to the end: what drains takes memory
	watching.Go(func() { a.judge(loaded) })
	watching.Go(func() { a.shedder.Watch(loaded, memoryLimit(), a.server.InFlight, a.tellLoad) })
	defer func() { cancelWatch(); cancelLoad(); waitFor(farewell, watching.Wait) }() // a reload may take longer
	main := a.httpServer(a.server, base)
	failed := make(chan error, 2)
	go func() { failed <- serve(main, bound(a.main, connLimit(maxFiles()), main, a.log), a.certs) }()
	var admin *http.Server
	if a.admin != nil {
		admin = a.httpServer(a.server.Admin(), base)
		go func() { failed <- serve(admin, bound(a.admin, adminConns, admin, a.log), nil) }()
	}
	a.notify(newsReady)
	a.opts.Sockets.tell(serving) // last: who waits for it ends

	next, err := a.until(ctx, failed, usr2)
	if err != nil {
		a.Close()
		return fmt.Errorf("serving: %w", err)
	}
	cancelWatch()
	still := lameDuck
	if next != nil {
		a.retire(next)
		still = handOver
	} else {
		a.lastNews(newsStopping)
		a.server.Drain()
	}
	a.log.Info("stopping", "in_flight", a.server.InFlight())
	pause(force, still)
	a.drain(force, stop, main)
	if admin != nil { // it told of the drain
		_ = admin.Close()
	}
	a.close(force)
	return nil
}

// tellLoad says when the process begins to refuse what is least important, and
// when it has ended.
func (a *App) tellLoad(shedding bool) {
	if shedding {
		a.log.Warn("shedding load: memory or processors are short", "in_flight", a.server.InFlight())
	} else {
		a.log.Info("no longer shedding load")
	}
}

// until returns when ctx is done, and when another process serves in this one's
// place: that one, nil for none.
func (a *App) until(ctx context.Context, failed <-chan error, usr2 <-chan os.Signal) (*os.Process, error) {
	var next <-chan *os.Process // nil: none is starting
	for {
		select {
		case err := <-failed:
			return nil, err
		case <-ctx.Done():
			if next != nil {
				return <-next, nil
			}
			return nil, nil
		case <-usr2:
			if next == nil {
				next = a.restart(ctx)
			}
		case p := <-next:
			if p != nil {
				return p, nil
			}
			next = nil
		}
	}
}

// drain finishes what is under way within the drain time; then what is left is
// told and cut.
func (a *App) drain(force context.Context, stop context.CancelCauseFunc, s *http.Server) {
	limit, cancel := context.WithTimeout(force, a.current.Load().cfg.Drain)
	defer cancel()
	if a.finish(limit, s) == nil {
		return
	}
	stop(server.ErrStopping)
	last, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	if a.finish(last, s) == nil {
		return
	}
	_ = s.Close()
	cut, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	_ = a.idle(cut)
}

// finish waits until all connections are idle, and closes them, and until all
// requests are settled, sessions too, whose connections the server has given
// away.
func (a *App) finish(ctx context.Context, s *http.Server) error {
	if err := s.Shutdown(ctx); err != nil {
		return err
	}
	return a.idle(ctx)
}

// idle waits until all requests are settled.
func (a *App) idle(ctx context.Context) error {
	for a.server.InFlight() > 0 {
		if pause(ctx, 5*time.Millisecond); ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// waitFor waits for f to end, but no longer than d.
func waitFor(d time.Duration, f func()) {
	ended := make(chan struct{})
	go func() { f(); close(ended) }()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (a *App) httpServer(h http.Handler, base context.Context) *http.Server {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headTime,
		ReadTimeout:       headTime, // the server moves it on while a body arrives
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{ // streams and windows as Envoy's edge best practices
			MaxConcurrentStreams:          100,
			MaxReadFrameSize:              16 << 10, // the protocol's least; a connection holds one frame
			MaxReceiveBufferPerStream:     256 << 10,
			MaxReceiveBufferPerConnection: 1 << 20,
			SendPingTimeout:               30 * time.Second, // a client that is gone holds no streams
			PingTimeout:                   15 * time.Second,
			WriteByteTimeout:              30 * time.Second,
		},
	}
	if a.certs != nil {
		s.TLSConfig = a.certs.config()
	}
	return s
}

func serve(s *http.Server, l net.Listener, certs *certificates) error {
	var err error
	if certs != nil {
		err = s.ServeTLS(l, "", "")
	} else {
		s.TLSConfig = nil
		err = s.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close releases what New opened: rows that are queued are written first.
func (a *App) Close() { a.close(context.Background()) }

// close is Close, in a hurry once force is done.
func (a *App) close(force context.Context) {
	limit := 10 * time.Second
	if force.Err() != nil {
		limit = farewell
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for _, s := range a.sockets() {
		_ = s.Close()
	}
	waitFor(farewell, a.shared.Desk.Close) // what it cuts is settled
	if err := a.keepEvidence(ctx); err != nil {
		a.log.Warn("what was learned of answers is not on disk", "error", err.Error())
	}
	a.keepCanaries(ctx)
	if err := a.ledger.Close(ctx); err != nil {
		a.log.Error("closing the ledger", "error", err.Error())
	}
	_ = a.access.Close(ctx) // a sink that blocks has lost its lines already
	a.shared.Transports.Close()
}

func (a *App) observe(yield func(id string, s telemetry.TargetState)) {
	for _, t := range a.current.Load().gw.Targets {
		h := t.Health()
		yield(t.ID, telemetry.TargetState{InFlight: h.InFlight, Waiting: h.Waiting, Breaker: int(h.Phase), State: h.State})
	}
}

func (a *App) status(gw *gateway.Gateway) server.Status {
	s := server.Status{
		Models: len(gw.Names()), RoutingStrategy: gw.Strategy, FallbackEnabled: gw.Fallback,
		CircuitBreakers: map[string]string{}, Targets: []server.TargetStatus{}, Splits: a.splits(),
		Version: a.opts.Version, UptimeS: math.Round(time.Since(started).Seconds()*1000) / 1000,
	}
	now := time.Now()
	for _, t := range gw.Targets {
		h := t.Health()
		s.CircuitBreakers[t.ID] = h.Phase.String()
		x := targetStatus(t, h, now)
		x.Quality = a.shared.Monitor.Report(t.ID, now)
		s.Targets = append(s.Targets, x)
	}
	if a.ledger != nil {
		st := a.ledger.Stats()
		s.Ledger = &server.LedgerStatus{Written: st.Written, Dropped: st.Dropped}
		if st.LastError != nil {
			s.Ledger.Error = st.LastError.Error()
		}
	}
	return s
}

// targetStatus is a target as clients are told of it.
func targetStatus(t *upstream.Target, h upstream.Health, now time.Time) server.TargetStatus {
	x := server.TargetStatus{
		ID: t.ID, Provider: t.Provider(), Model: t.Vendor, Region: t.Region, State: h.State, Reason: h.Reason, InFlight: h.InFlight, QueueDepth: h.Waiting,
		LatencyMS: millis(h.Unary), TTFTMS: millis(h.First), ErrorRate: h.ErrorRate, CooldownUntil: after(now, h.Wait),
	}
	for _, c := range h.Credentials {
		y := server.CredentialStatus{Credential: c.Label, State: c.State, Reason: c.Reason, InFlight: c.InFlight, Slots: c.Slots, CooldownUntil: after(now, c.Wait)}
		if c.Requests >= 0 {
			y.RequestsLeft = &c.Requests
		}
		if c.Tokens >= 0 {
			y.TokensLeft = &c.Tokens
		}
		x.Credentials = append(x.Credentials, y)
	}
	return x
}

// after is the time in a while, nil for now.
func after(now time.Time, wait time.Duration) *time.Time {
	if wait <= 0 {
		return nil
	}
	at := now.Add(wait).UTC().Round(time.Millisecond)
	return &at
}

func millis(d time.Duration) float64 { return math.Round(float64(d)/1e4) / 100 }

func logger(w io.Writer, l config.Log) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(l.Level)) // config knows the names
	o := &slog.HandlerOptions{Level: level}
	if l.Format == "text" {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

// StateDir is where state is kept: flag, $STATE_DIRECTORY (systemd),
// $XDG_STATE_HOME/sluice, ~/.local/state/sluice.
func StateDir(flag string, getenv func(string) string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if d := getenv("STATE_DIRECTORY"); d != "" {
		return strings.Split(d, ":")[0], nil
	}
	if d := getenv("XDG_STATE_HOME"); d != "" {
		return filepath.Join(d, "sluice"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", errors.New("no directory for the ledger: give --data DIR, or write store: none")
	}
	return filepath.Join(home, ".local", "state", "sluice"), nil
}

// LedgerPath is the file of a store setting, "" for none.
func LedgerPath(setting, data string) (string, error) {
	if setting == "none" {
		return "", nil
	}
	path := strings.TrimPrefix(strings.TrimPrefix(setting, "sqlite"), ":")
	if path == "" {
		path = "sluice.db"
	}
	if filepath.IsAbs(path) {
		return path, nil
	}
	dir, err := StateDir(data, os.Getenv)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, path), nil
}

func openLedger(ctx context.Context, setting, data string) (*store.Store, error) {
	path, err := LedgerPath(setting, data)
	if path == "" || err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the ledger: %w; give --data DIR, or write store: none", err)
	}
	return store.Open(ctx, path)
}

// inFlightLimit is how many requests are held at a time. auto (0): half a
// MiB of the memory limit each, at least 256 and at most 50,000, and no more than
// there are descriptors for.
func inFlightLimit(n int) int {
	if n > 0 {
		return n
	}
	return min(50_000, connLimit(maxFiles()), int(max(256, memoryLimit()/(512<<10))))
}
