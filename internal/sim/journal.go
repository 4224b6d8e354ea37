package sim

import "time"

// Outcome is how a call ended.
type Outcome string

// The outcomes.
const (
	OutcomeOpen     Outcome = ""             // it has not ended
	OutcomeOK       Outcome = "ok"           // answered whole
	OutcomeInvalid  Outcome = "invalid"      // the request's fault: 400, 401, 404, 413
	OutcomeLimited  Outcome = "rate_limited" // 429 of RPM
	OutcomeError    Outcome = "error"        // drawn by Errors
	OutcomeFault    Outcome = "fault"        // struck by Fault and not whole
	OutcomeCanceled Outcome = "canceled"     // the client left first
	OutcomeClosed   Outcome = "closed"       // the Server was closed
)

// Call is what the journal remembers of one call. Texts are cut to 200
// bytes.
type Call struct {
	ID         string    `json:"id"` // x-request-id of the answer
	Number     uint64    `json:"number"`
	Model      string    `json:"model"`
	Path       string    `json:"path"`
	Credential string    `json:"credential"` // the last 4 characters; "" of one shorter than 8
	Stream     bool      `json:"stream"`
	Fault      FaultKind `json:"fault,omitempty"` // what struck it
	Mood       MoodKind  `json:"mood,omitempty"`  // how it answered
	Status     int       `json:"status"`          // 0: none was sent
	Outcome    Outcome   `json:"outcome"`
	BytesIn    int64     `json:"bytes_in"`      // of the body, as far as it was read
	Bytes      int64     `json:"bytes"`         // of the body that was sent
	Events     int       `json:"events"`        // content events that were sent
	Input      int       `json:"input_tokens"`  // of the whole prompt; 0: it was not read
	Output     int       `json:"output_tokens"` // of all answers, with what was thought
	Reasoning  int       `json:"reasoning_tokens"`
	Cached     int       `json:"cached_tokens"`
	Seals      int       `json:"seals"` // of earlier thinking that came back as they were made
	Start      time.Time `json:"start"`
	End        time.Time `json:"end,omitzero"` // with OutcomeCanceled: when the client's leaving was seen
}

// Canceled reports whether the client left before the answer was whole.
func (c *Call) Canceled() bool { return c.Outcome == OutcomeCanceled }

// ring holds the last size calls. Guarded by Server.mu, as are the calls in
// it.
type ring struct {
	size int
	last []*Call
	next int // the oldest, once the ring is full
}

func (r *ring) add(c *Call) {
	if len(r.last) < r.size {
		r.last = append(r.last, c)
		return
	}
	r.last[r.next] = c
	r.next = (r.next + 1) % r.size
}

func (r *ring) calls() []Call {
	all := make([]Call, 0, len(r.last))
	for i := range r.last {
		all = append(all, *r.last[(r.next+i)%len(r.last)])
	}
	return all
}
