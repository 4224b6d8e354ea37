package sim

import (
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// Bounds of what is stored for all callers together. The oldest is forgotten
// first.
const (
	maxStored      = 1024
	maxStoredBytes = 64 << 20
)

// stored is a response that can be asked for again.
type stored struct {
	owner  uint64 // the credential's hash
	size   int
	ready  time.Time // before it the response is in progress
	answer response  // once it is ready
	items  []json.RawMessage
	before []json.RawMessage // the conversation up to its items
}

// shelf holds the stored responses. It is safe for concurrent use.
type shelf struct {
	mu    sync.Mutex
	byID  map[string]*stored
	order []string // ids, the oldest first
	bytes int
}

func (s *shelf) put(r *stored) {
	for _, all := range [][]json.RawMessage{r.items, r.before, r.answer.Output, {r.answer.Tools, r.answer.Text}} {
		for _, b := range all {
			r.size += len(b)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID == nil {
		s.byID = make(map[string]*stored)
	}
	if r.size > maxStoredBytes || s.byID[r.answer.ID] != nil {
		return
	}
	s.byID[r.answer.ID] = r
	s.order = append(s.order, r.answer.ID)
	s.bytes += r.size
	for len(s.order) > maxStored || s.bytes > maxStoredBytes {
		s.drop(s.order[0])
	}
}

// drop forgets a response. The caller holds mu.
func (s *shelf) drop(id string) {
	s.bytes -= s.byID[id].size
	delete(s.byID, id)
	s.order = slices.DeleteFunc(s.order, func(o string) bool { return o == id })
}

// find returns a response of that owner. The caller holds mu.
func (s *shelf) find(owner uint64, id string) (*stored, bool) {
	r, ok := s.byID[id]
	if !ok || r.owner != owner {
		return nil, false
	}
	return r, true
}

// get returns a response as it is now.
func (s *shelf) get(owner uint64, id string) (response, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.find(owner, id)
	if !ok {
		return response{}, false
	}
	if time.Now().Before(r.ready) {
		return r.answer.begun("in_progress"), true
	}
	return r.answer, true
}

func (s *shelf) remove(owner uint64, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.find(owner, id)
	if ok {
		s.drop(id)
	}
	return ok
}

// cancel stops a response that runs in the background. why is empty where it
// is stopped, or had ended before.
func (s *shelf) cancel(owner uint64, id string) (r response, why string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.find(owner, id)
	if !ok {
		return response{}, "", false
	}
	if !st.answer.Background {
		return response{}, "Cannot cancel a synchronous response.", true
	}
	if time.Now().Before(st.ready) {
		st.answer = st.answer.begun("cancelled")
		st.ready = time.Time{}
	}
	return st.answer, "", true
}

// inputs returns the items of a response's input, the conversation's first.
func (s *shelf) inputs(owner uint64, id string) ([]json.RawMessage, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.find(owner, id)
	if !ok {
		return nil, false
	}
	return slices.Concat(r.before, r.items), true
}

// conversation returns the items of a response: what went in and what came
// out.
func (s *shelf) conversation(owner uint64, id string) ([]json.RawMessage, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.find(owner, id)
	if !ok {
		return nil, false
	}
	return slices.Concat(r.before, r.items, r.answer.Output), true
}

// has reports whether an item came out of a response that is stored.
func (s *shelf) has(owner uint64, item string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.byID {
		if r.owner != owner {
			continue
		}
		for _, raw := range slices.Concat(r.items, r.answer.Output) {
			var it struct{ ID string }
			if json.Unmarshal(raw, &it) == nil && it.ID == item && item != "" {
				return true
			}
		}
	}
	return false
}

func (s *shelf) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.byID)
	s.order, s.bytes = nil, 0
}
