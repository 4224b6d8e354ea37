package route

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/upstream"
)

// arms are options of a split with these weights.
func arms(weights ...float64) []*upstream.Option {
	all := options(upstream.NewRegistry(), weights, nil, nil)
	for i, o := range all {
		o.Arm = &llm.Arm{Split: "chat", Model: fmt.Sprint("arm-", i)}
	}
	return all
}

// drawn is the arm that a request draws.
func drawn(order upstream.Order, all []*upstream.Option, req *llm.Request, turn uint64) string {
	opts := slices.Clone(all)
	order(opts, upstream.Ask{Req: req, Now: 1, Turn: turn})
	return opts[0].Arm.Model
}

func userRequest(n int) *llm.Request { return request(body{user: fmt.Sprint("user-", n)}, "", "k") }

// Whatever the weights, the shares of users and those of requests that nobody is
// told of converge to them: within four standard deviations.
func TestSplitSharesConverge(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 9))
	n := 20_000
	if raced {
		n = 2_000
	}
	for range 12 {
		weights := make([]float64, 2+rnd.IntN(4))
		sum := 0.0
		for i := range weights {
			weights[i] = math.Exp2(rnd.Float64() * 7)
			sum += weights[i]
		}
		all := arms(weights...)
		for _, sticky := range [...]string{"user", "session", "key", "tag", "tag:team", "off"} {
			order := Split{Model: fmt.Sprint("chat-", rnd.Uint64()), Sticky: sticky}.Order()
			got := map[string]int{}
			for i := range n {
				req := request(body{user: fmt.Sprint("u", i)}, fmt.Sprint("s", i), fmt.Sprint("k", i))
				req.Caller.Tags = fmt.Sprintf("env=prod, team=t%d", i)
				got[drawn(order, all, req, uint64(i))]++
			}
			for i, w := range weights {
				p := w / sum
				if have := float64(got[all[i].Arm.Model]) / float64(n); math.Abs(have-p) > 4*math.Sqrt(p*(1-p)/float64(n)) {
					t.Errorf("sticky %s, weights %.3v: arm %d has a share of %.4f, want %.4f", sticky, weights, i, have, p)
				}
			}
		}
	}
}

// Who is the same draws the same arm, in whatever order the file has them, on
// whatever machine and after whatever restart; by another split, independently.
func TestSplitIsSticky(t *testing.T) {
	all := arms(3, 1)
	other := slices.Clone(all)
	slices.Reverse(other)
	same, n := 0, 2000
	for i := range n {
		a := drawn(Split{Model: "chat", Sticky: "user"}.Order(), all, userRequest(i), uint64(i))
		if b := drawn(Split{Model: "chat", Sticky: "user"}.Order(), other, userRequest(i), uint64(7*i+1)); a != b {
			t.Fatalf("user %d went from %s to %s", i, a, b)
		}
		if a == drawn(Split{Model: "talk", Sticky: "user"}.Order(), all, userRequest(i), 0) {
			same++
		}
	}
	if want := (0.75*0.75 + 0.25*0.25) * float64(n); math.Abs(float64(same)-want) > 100 {
		t.Errorf("%d of %d users have the same arm in two splits, want %.0f", same, n, want)
	}
}

// What keeps requests together, and what they fall back on.
func TestSticky(t *testing.T) {
	tagged := func(tags string) *llm.Request {
		r := request(body{}, "", "k")
		r.Caller.Tags = tags
		return r
	}
	guarded := func(user string) *llm.Request {
		r := request(body{user: "[EMAIL_1]"}, "s1", "k")
		r.User = user
		return r
	}
	for _, x := range []struct {
		sticky string
		a, b   *llm.Request
		same   bool // have the same owner
	}{
		{"user", request(body{user: "u"}, "s1", "k"), request(body{user: "u"}, "s2", "k"), true},
		{"user", request(body{user: "u"}, "s", "k1"), request(body{user: "u"}, "s", "k2"), false},
		{"user", guarded("u"), request(body{user: "u"}, "s2", "k"), true},
		{"user", guarded("u1"), guarded("u2"), false},
		{"user", request(body{}, "s", "k"), request(body{hash: 4}, "s", "k"), true},
		{"user", request(body{hash: 4}, "", "k"), request(body{hash: 4}, "", "k"), true},
		{"session", request(body{user: "u1"}, "s", "k"), request(body{user: "u2"}, "s", "k"), true},
		{"key", request(body{user: "u1"}, "s1", "k"), request(body{user: "u2"}, "s2", "k"), true},
		{"tag", tagged("a=1,b=2"), tagged("a=1,b=2"), true},
		{"tag", tagged("a=1,b=2"), tagged("a=1,b=3"), false},
		{"tag:a", tagged("a=1,b=2"), tagged("b=3; a=1"), true},
		{"tag:a", tagged("a=1"), tagged("a=2"), false},
	} {
		who := sticky(x.sticky)
		a, b := who(x.a), who(x.b)
		if a == 0 || b == 0 || (a == b) != x.same {
			t.Errorf("%s: %x and %x, want the same: %v", x.sticky, a, b, x.same)
		}
	}
	for name, req := range map[string]*llm.Request{
		"user": request(body{}, "", "k"), "session": request(body{user: "u"}, "", "k"), "key": request(body{user: "u"}, "s", ""),
		"tag": tagged(""), "tag:a": tagged("b=1"), "off": request(body{user: "u", hash: 2}, "s", "k"),
	} {
		if h := sticky(name)(req); h != 0 {
			t.Errorf("%s: a request of nobody has the owner %x", name, h)
		}
	}
}

// As a canary grows users move to it and nowhere else, in shares that are its
// steps; with nothing it comes last, with everything first.
func TestCanaryOnlyTakes(t *testing.T) {
	share := 0.0
	all := arms(6, 1, 3)
	order := Split{Model: "chat", Sticky: "user", Canary: "arm-1", Share: func() float64 { return share }}.Order()
	const n = 20_000
	home := make([]string, n)
	for i := range n {
		opts := slices.Clone(all)
		order(opts, upstream.Ask{Req: userRequest(i), Now: 1})
		if opts[2].Arm.Model != "arm-1" {
			t.Fatal("a canary with no share is not last")
		}
		home[i] = opts[0].Arm.Model
	}
	for _, share = range []float64{0.01, 0.05, 0.25, 0.5, 1} {
		got := map[string]int{}
		for i := range n {
			now := drawn(order, all, userRequest(i), uint64(i))
			if now != home[i] && now != "arm-1" {
				t.Fatalf("at %v a user moved from %s to %s", share, home[i], now)
			}
			home[i] = now
			got[now]++
		}
		for arm, p := range map[string]float64{"arm-0": (1 - share) * 2 / 3, "arm-1": share, "arm-2": (1 - share) / 3} {
			if have := float64(got[arm]) / n; math.Abs(have-p) > 4*math.Sqrt(p*(1-p)/n) {
				t.Errorf("at %v: %s has a share of %.4f, want %.4f", share, arm, have, p)
			}
		}
	}
}

// A weight that grows takes users from the others and moves none between them.
func TestWeightsMoveFew(t *testing.T) {
	order := Split{Model: "chat", Sticky: "user"}.Order()
	before, after := arms(5, 3, 2), arms(5, 6, 2)
	moved := 0
	for i := range 5000 {
		a, b := drawn(order, before, userRequest(i), 0), drawn(order, after, userRequest(i), 0)
		if a != b {
			moved++
			if b != "arm-1" {
				t.Fatalf("user %d moved from %s to %s", i, a, b)
			}
		}
	}
	if want := 5000 * (6./13 - 3./10); math.Abs(float64(moved)-want) > 150 {
		t.Errorf("%d users moved, want %.0f", moved, want)
	}
}

func TestTag(t *testing.T) {
	for _, x := range []struct{ tags, name, want string }{
		{"", "a", ""}, {"a", "a", "a"}, {"a=", "a", ""}, {"a=1", "a", "1"}, {"b=2,a=1", "a", "1"}, {"b=2; a = 1 ;c", "a", "1"},
		{"ab=1", "a", ""}, {"a=1,a=2", "a", "1"}, {",,;=x,a=y=z", "a", "y=z"},
	} {
		if got := Tag(x.tags, x.name); got != x.want {
			t.Errorf("Tag(%q, %q): got %q, want %q", x.tags, x.name, got, x.want)
		}
	}
}

func FuzzTag(f *testing.F) {
	f.Add("a=1,b=2;c", "a")
	f.Fuzz(func(t *testing.T, tags, name string) {
		if got := Tag(tags, name); len(got) > len(tags) {
			t.Errorf("Tag(%q, %q) grew: %q", tags, name, got)
		}
	})
}
