package app

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// posted answers requests in turn with statuses; 0: it cannot be reached.
type posted struct {
	statuses []int
	bodies   []string
	at       []time.Time
}

func (p *posted) RoundTrip(r *http.Request) (*http.Response, error) {
	b, _ := io.ReadAll(r.Body)
	p.bodies, p.at = append(p.bodies, string(b)), append(p.at, time.Now())
	status := p.statuses[min(len(p.bodies), len(p.statuses))-1]
	if status == 0 {
		return nil, errors.New("dial https://secret.example: refused")
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("ok")), Request: r}, nil
}

// News is posted once, tried again where that may help, and lost with a word that
// tells no URL.
func TestHerald(t *testing.T) {
	for name, c := range map[string]struct {
		statuses []int
		calls    int
		lost     string
	}{
		"taken":              {[]int{204}, 1, ""},
		"taken at last":      {[]int{503, 0, 200}, 3, ""},
		"slow down":          {[]int{429, 200}, 2, ""},
		"never":              {[]int{0}, 3, "it cannot be reached"},
		"refused":            {[]int{404}, 1, "it answered with status 404"},
		"leads elsewhere":    {[]int{302}, 1, "it answered with status 302"},
		"always unavailable": {[]int{500}, 3, "it answered with status 500"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var lost []string
				h := newHerald(func(why error) { lost = append(lost, why.Error()) })
				p := &posted{statuses: c.statuses}
				h.client.Transport = p
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go h.run(ctx)
				h.post("", "nobody is told")
				h.post("https://secret.example/hook", map[string]int{"n": 1})
				time.Sleep(time.Minute)
				synctest.Wait()
				if len(p.bodies) != c.calls || p.bodies[0] != `{"n":1}` || strings.Join(lost, "; ") != c.lost {
					t.Errorf("bodies = %q, lost = %q, want %d calls and %q", p.bodies, lost, c.calls, c.lost)
				}
				if c.calls == 3 && (p.at[1].Sub(p.at[0]) != postPause || p.at[2].Sub(p.at[1]) != 4*postPause) {
					t.Errorf("tried at %v", p.at)
				}
			})
		})
	}
}

// Who has news never waits, and the end of the gateway ends the tries.
func TestHeraldBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lost []string
		h := newHerald(func(why error) { lost = append(lost, why.Error()) })
		h.client.Transport = &posted{statuses: []int{0}}
		for range maxNews + 3 {
			h.post("https://secret.example/hook", 1)
		}
		if len(lost) != 3 {
			t.Errorf("lost = %q, want 3", lost)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { h.run(ctx); close(ended) }()
		synctest.Wait()
		cancel()
		<-ended
	})
}
