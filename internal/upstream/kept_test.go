package upstream

import (
	"context"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// lengthy is a stream that its gates refuse, and that takes 4.4 s.
func lengthy() script {
	return script{steps: []step{say(0, "bad "), say(400*ms, "one "), say(2*time.Second, "two "), say(2*time.Second, "three"), quiet("")}}
}

// A stream that is kept may take its time: the time of the cascade is for those
// that could still be accepted.
func TestKeptStreamOutlivesDeadline(t *testing.T) {
	for name, second := range map[string]script{"fails": failing(llm.KindUpstream), "is late": hang()} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, r *rig) {
				p, _ := r.cascade(byWords(), always(lengthy()), always(second))
				p.By = 3 * time.Second
				out := r.streamed(p)
				equal(t, "answer", out.String(), "bad one two three")
				equal(t, "took", out.took, 4400*ms)
			})
		})
	}
}

// A stream that broke while it was kept is no answer.
func TestKeptStreamBreaks(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		slow := failing(llm.KindUpstream)
		slow.wait = time.Second
		p, _ := r.cascade(byWords(), always(script{steps: []step{say(0, "bad "), {after: 400 * ms, err: &llm.Error{Kind: llm.KindUpstream, Message: "cut"}}}}), always(slow))
		out := r.streamed(p)
		equal(t, "text", out.text, "")
		equal(t, "answer", out.String(), "upstream_error")
	})
}

// A vendor that falls silent after content has failed, also where an answer must be
// accepted in time.
func TestSilenceInCascadeIsFailure(t *testing.T) {
	for _, by := range []time.Duration{0, 20 * time.Second} {
		virtual(t, func(t *testing.T, r *rig) {
			p, _ := r.cascade(byWords(), always(script{steps: []step{say(0, "good"), {after: forever}}}))
			p.By = by
			for range defaultBreaker.Failures {
				r.streamed(p)
			}
			equal(t, "breaker", phase(p.Options[0].Pool.Options[0].Target), Open)
		})
	}
}

// When an attempt ended may be asked while it ends.
func TestSpanOfHeldAttempt(t *testing.T) {
	r := &rig{t: t, reg: NewRegistry()}
	p, _ := r.cascade(byWords(), always(script{steps: []step{say(0, "good"), {after: 160 * ms, err: io.EOF}}}))
	req := r.request(true)
	resp, err := p.Do(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = resp.Next()
	for ended := false; !ended; {
		_, end := req.Trail.Attempts()[0].Span()
		ended = !end.IsZero()
		runtime.Gosched()
	}
	_, _ = resp.Next()
	_ = resp.Close()
	req.Trail.Close(time.Now())
}
