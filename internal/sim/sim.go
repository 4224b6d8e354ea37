// Package sim is a vendor simulator: it speaks the vendors' protocols, takes
// its time like them, limits, remembers prompts, and fails on demand. What it
// answers is repeatable from a seed.
package sim

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of what one Server remembers and accepts.
const (
	maxBody     = 64 << 20 // bytes of a request
	maxModels   = 1024     // listed and met through AnyModel
	maxName     = 200      // bytes of a model name
	maxTokens   = 32768    // of one answer
	maxJournal  = 1 << 20
	defJournal  = 1000
	defTokens   = 40
	defVector   = 256
	maxVector   = 4096
	maxMoods    = 16      // of a model
	cacheBlocks = 1 << 17 // blocks of all prompt caches together, about 12 MiB
)

// Config is what is simulated. The zero value of each field is its default.
type Config struct {
	Seed uint64 `yaml:"seed"`
	// Speed divides every simulated duration: 10 is ten times as fast.
	// 0 means 1.
	Speed  float64 `yaml:"speed"`
	Models []Model `yaml:"-"`
	// Default are the settings of models that are met through AnyModel.
	Default Model `yaml:"default"`
	// AnyModel: names that are not listed are answered too, up to 1,024.
	AnyModel bool `yaml:"any_model"`
	// Keys that are accepted; none: every credential, and none at all.
	Keys []string `yaml:"keys"`
	// Control serves /sim, to everybody who can connect.
	Control bool `yaml:"control"`
	// Journal is the number of calls that are remembered; 0 means 1,000.
	Journal int `yaml:"journal"`
	// OnRequest sees each request whose body was read, before it is
	// answered. It is called from many goroutines and must not keep or change
	// its arguments.
	OnRequest func(r *http.Request, body []byte) `yaml:"-"`
}

// Model is one simulated model.
type Model struct {
	Name string `yaml:"-"`
	// Latency is the median time to the first token, and Sigma the standard
	// deviation of its logarithm; 0: always Latency.
	Latency time.Duration `yaml:"latency"`
	Sigma   float64       `yaml:"sigma"`
	// TokensPerSecond after the first token; 0: all at once.
	TokensPerSecond float64 `yaml:"tokens_per_second"`
	// Tokens is the mean length of an answer, Spread its standard deviation.
	// Tokens 0 means 40.
	Tokens int `yaml:"tokens"`
	Spread int `yaml:"spread"`
	// Thinking is the number of tokens that the model thinks before it
	// answers. 0: 16 where the request asks for thinking, and none elsewhere.
	Thinking int `yaml:"thinking"`
	// Context is the number of tokens that a prompt may have; 0: any.
	Context int `yaml:"context"`
	// Cache is how long a prompt's prefix is remembered after its last use,
	// per credential; 0: not at all.
	Cache time.Duration `yaml:"cache"`
	// Errors is the share of calls that fail with ErrorStatus after Latency.
	// ErrorStatus 0 means 500.
	Errors      float64 `yaml:"errors"`
	ErrorStatus int     `yaml:"error_status"`
	// RPM is the number of requests a minute that each credential has; 0:
	// no limit.
	RPM int `yaml:"rpm"`
	// Dimensions of an embedding where the request names none; 0 means 256.
	Dimensions int `yaml:"dimensions"`
	// Fault is a scripted failure; nil: none.
	Fault *Fault `yaml:"fault"`
	// Moods are ways to answer badly; the first that comes counts.
	Moods []Mood `yaml:"moods"`
	// Outcomes and Answers are what the model answers by where a prompt was
	// recorded; nil: nothing was. Only models that are listed have them, and
	// they do not change.
	Outcomes *Outcomes `yaml:"outcomes"`
	Answers  *Answers  `yaml:"answers"`
}

// FaultKind is a way to fail.
type FaultKind string

// The faults. "Content" is content events of a stream; where an answer is
// unary, the faults that come after content come after half of its body.
const (
	FaultRefuse    FaultKind = "refuse"        // TCP reset with no more of the body read than its model name
	FaultReset     FaultKind = "reset"         // TCP reset after the request was read
	FaultHang      FaultKind = "hang"          // nothing is ever sent
	FaultHangMid   FaultKind = "hang_mid"      // silence after After content events
	FaultCut       FaultKind = "cut"           // the connection ends inside an event after After content events
	FaultError200  FaultKind = "error_200"     // 200 with an error object: the body, or the first event
	FaultErrorMid  FaultKind = "error_mid"     // an error event after After content events; unary: as error_200
	FaultSlowBody  FaultKind = "slow_body"     // one byte each Every
	FaultMalformed FaultKind = "malformed_sse" // after After content events a line that is no JSON and no event's end; unary: half a JSON document
	FaultHTML      FaultKind = "html"          // 200 with a web page
	FaultStatus    FaultKind = "status"        // Status with Headers and an error object
)

var faultKinds = []FaultKind{
	FaultRefuse, FaultReset, FaultHang, FaultHangMid, FaultCut, FaultError200,
	FaultErrorMid, FaultSlowBody, FaultMalformed, FaultHTML, FaultStatus,
}

// Fault is a scripted failure of a model.
type Fault struct {
	Kind FaultKind `yaml:"kind"`
	// Share of the calls it strikes, drawn from the seed; 0 means all.
	Share float64 `yaml:"share"`
	// Count is how often it still strikes before it heals; 0: for ever.
	Count int `yaml:"count"`
	// After is the number of content events that arrive first.
	After int `yaml:"after"`
	// Every is the time between the bytes of slow_body; 0 means 10 ms.
	Every time.Duration `yaml:"every"`
	// Status and Headers of the answer of kind status.
	Status  int               `yaml:"status"`
	Headers map[string]string `yaml:"headers"`
}

// Counters of one model since the start or the last reset.
type Counters struct {
	Calls    uint64 `json:"calls"`
	Errors   uint64 `json:"errors"`   // ended neither whole nor canceled; with Limited
	Limited  uint64 `json:"limited"`  // refused by RPM
	Canceled uint64 `json:"canceled"` // the client left first
	InFlight int64  `json:"in_flight"`
}

// Server answers like a vendor. It is safe for concurrent use.
type Server struct {
	conf   Config
	keys   map[string]bool
	mux    *http.ServeMux
	prompt *promptCache
	start  time.Time

	responses shelf

	closing sync.Once
	done    chan struct{}

	mu      sync.Mutex
	models  map[string]*model
	journal ring
}

// model is what the Server knows of a Model. Guarded by Server.mu.
type model struct {
	set      Model
	counters Counters
	limits   limiter
}

// New makes a Server. It fails on settings out of range, and on recordings that
// cannot be read. The caller closes it.
func New(c Config) (*Server, error) {
	if c.Speed == 0 {
		c.Speed = 1
	}
	if c.Journal == 0 {
		c.Journal = defJournal
	}
	if bad := c.check(); bad != nil {
		return nil, bad
	}
	if bad := c.read(""); bad != nil {
		return nil, bad
	}
	s := &Server{
		conf: c, keys: make(map[string]bool), prompt: newPromptCache(cacheBlocks), start: time.Now(),
		done: make(chan struct{}), models: make(map[string]*model), journal: ring{size: c.Journal},
	}
	for _, k := range c.Keys {
		s.keys[k] = true
	}
	for _, m := range c.Models {
		s.models[m.Name] = &model{set: m.clone()}
	}
	s.mux = s.routes()
	return s, nil
}

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for _, prefix := range []string{"/v1", ""} {
		mux.HandleFunc("POST "+prefix+"/chat/completions", s.handle(&openAI, chat))
		mux.HandleFunc("POST "+prefix+"/completions", s.handle(&openAI, complete))
		mux.HandleFunc("POST "+prefix+"/embeddings", s.handle(&openAI, embed))
		mux.HandleFunc("POST "+prefix+"/moderations", s.handle(&openAI, moderate))
		mux.HandleFunc("POST "+prefix+"/responses", s.handle(&openResponses, respond))
		mux.HandleFunc("POST "+prefix+"/responses/input_tokens", s.handle(&openResponses, countItems))
		mux.HandleFunc("GET "+prefix+"/responses/{id}", s.kept(showResponse))
		mux.HandleFunc("DELETE "+prefix+"/responses/{id}", s.kept(deleteResponse))
		mux.HandleFunc("POST "+prefix+"/responses/{id}/cancel", s.kept(cancelResponse))
		mux.HandleFunc("GET "+prefix+"/responses/{id}/input_items", s.kept(listItems))
		mux.HandleFunc("GET "+prefix+"/models", s.listModels)
		mux.HandleFunc("GET "+prefix+"/models/{id...}", s.showModel)
	}
	mux.HandleFunc("POST /v1/messages", s.handle(&anthropic, messages))
	mux.HandleFunc("POST /v1/messages/count_tokens", s.handle(&anthropic, countMessages))
	for _, version := range []string{"/v1beta", "/v1", "/v1alpha"} {
		mux.HandleFunc("POST "+version+"/models/{call...}", s.named(&gemini, geminiOps))
	}
	mux.HandleFunc("GET /v1beta/models", s.listGemini)
	mux.HandleFunc("GET /v1beta/models/{id...}", s.showGemini)
	for _, version := range []string{"/v1", "/v1beta1"} {
		publishers := version + "/projects/{project}/locations/{location}/publishers"
		mux.HandleFunc("POST "+publishers+"/google/models/{call...}", s.named(&gemini, geminiOps))
		mux.HandleFunc("POST "+publishers+"/anthropic/models/{call...}", s.named(&anthropic, claudeOps))
	}
	if s.conf.Control {
		s.control(mux)
	}
	mux.HandleFunc("/", unknownPath)
	return mux
}

// unknownPath answers as the vendor does whose path it seems to be.
func unknownPath(w http.ResponseWriter, r *http.Request) {
	d, p := &openAI, problem{
		status: http.StatusNotFound, kind: "invalid_request_error", code: "unknown_url",
		message: "Unknown request URL: " + r.Method + " " + clip(r.URL.Path, maxName) + ". Please check the URL for typos.",
	}
	switch {
	case r.Header.Get("Anthropic-Version") != "":
		d, p.kind, p.message = &anthropic, "not_found_error", "Not found"
	case strings.HasPrefix(r.URL.Path, "/v1beta"):
		d, p.kind, p.message = &gemini, "NOT_FOUND", "Requested entity was not found."
	}
	writeJSON(w, p.status, d.body(&p, ""))
}

// ServeHTTP answers a request. It panics with http.ErrAbortHandler where a
// fault breaks an answer off.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Close ends the calls that are under way or hanging, with a broken
// connection; it does not wait for them. Calls that come later are broken off
// where they would wait.
func (s *Server) Close() { s.closing.Do(func() { close(s.done) }) }

// Set changes a model while it runs; calls under way keep their settings.
// change must not call the Server. Settings out of range change nothing.
func (s *Server) Set(name string, change func(*Model)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.find(name)
	if !ok {
		return fmt.Errorf("change model: %q is not simulated", clip(name, maxName))
	}
	next := m.set.clone()
	change(&next)
	next.Name = name
	if bad := next.check(); bad != nil {
		return fmt.Errorf("change model %q: %w", name, bad)
	}
	if !same(next.Outcomes, m.set.Outcomes) || !same(next.Answers, m.set.Answers) {
		return fmt.Errorf("change model %q: outcomes and answers are those of the start", name)
	}
	if next.RPM != m.set.RPM {
		m.limits = limiter{}
	}
	m.set = next.clone()
	return nil
}

// Counters returns the counters of a model; false if it was never met.
func (s *Server) Counters(name string) (Counters, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.models[name]
	if !ok {
		return Counters{}, false
	}
	return m.counters, true
}

// Journal returns the last calls, the oldest first; calls under way too.
func (s *Server) Journal() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.journal.calls()
}

// Reset makes the Server as new: counters, journal, prompt caches, stored
// responses, rate limits and the numbers of calls begin again, and no model has a fault.
// Other settings stay. Calls under way stay in flight.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.models {
		m.counters = Counters{InFlight: m.counters.InFlight}
		m.limits = limiter{}
		m.set.Fault = nil
	}
	s.journal = ring{size: s.journal.size}
	s.prompt.clear()
	s.responses.clear()
}

// find returns the model of that name, made on the way if AnyModel allows.
// The caller holds mu.
func (s *Server) find(name string) (*model, bool) {
	if m, ok := s.models[name]; ok {
		return m, true
	}
	if !s.conf.AnyModel || name == "" || len(name) > maxName || len(s.models) >= maxModels {
		return nil, false
	}
	m := &model{set: s.conf.Default.clone()}
	m.set.Name = name
	s.models[name] = m
	return m, true
}

// names returns the models met so far, sorted.
func (s *Server) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.models))
}

// same reports whether both are nil or hold the same.
func same[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

func (m *Model) clone() Model {
	c := *m
	c.Moods = slices.Clone(m.Moods)
	if m.Outcomes != nil {
		o := *m.Outcomes
		c.Outcomes = &o
	}
	if m.Answers != nil {
		a := *m.Answers
		c.Answers = &a
	}
	if m.Fault != nil {
		f := *m.Fault
		f.Headers = maps.Clone(f.Headers)
		c.Fault = &f
	}
	return c
}

// clip returns at most n bytes of s.
func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
