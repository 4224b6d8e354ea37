package route

import (
	"math"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/upstream"
)

// Split says how a model draws one of its arms.
type Split struct {
	Model string // the split's own name: two splits draw independently
	// Sticky is what keeps to an arm: "user", "session", "key", "tag" (all tags as
	// they were sent), "tag:NAME" (the value of one) or "off".
	Sticky string
	// Canary is the arm of which Share tells what part of all requests it has now,
	// 0 to 1; the others have the rest by their weights. "": there is none.
	Canary string
	Share  func() float64
}

// Order draws an arm by weight; the others follow in the order in which they
// would be drawn without it. What is sticky is drawn by weighted rendezvous (see
// rendezvous), everything else by the turn: shares follow the weights either way,
// and where a weight grows, requests move to its arm and between no others. A
// canary with all of the traffic is first, one with none last.
func (s Split) Order() upstream.Order {
	who := sticky(s.Sticky)
	return func(opts []*upstream.Option, a upstream.Ask) {
		h := who(a.Req)
		if h == 0 {
			h = a.Turn ^ uint64(a.Depth)<<48
		}
		h = upstream.Mix(h, s.Model)
		rest := 0.0
		for _, o := range opts {
			if o.Arm.Model != s.Canary {
				rest += o.Weight
			}
		}
		sortBy(opts, func(o *upstream.Option) float64 {
			w := o.Weight
			if o.Arm.Model == s.Canary {
				switch share := s.Share(); {
				case share <= 0:
					return math.Inf(1)
				case share >= 1:
					return math.Inf(-1)
				default:
					w = rest * share / (1 - share)
				}
			}
			u := (float64(upstream.Mix(h, o.Arm.Model)>>11) + 0.5) / (1 << 53)
			return w / math.Log(u)
		})
	}
}

// sticky returns what finds who a request is of, 0 for nobody.
func sticky(by string) func(*llm.Request) uint64 {
	switch by {
	case "user":
		return func(req *llm.Request) uint64 {
			if u := req.EndUser(); u != "" {
				return upstream.Mix(upstream.Mix(2, req.Caller.Key), u) | 1
			}
			return conversations["auto"](req)
		}
	case "session":
		return conversations["auto"]
	case "key":
		return func(req *llm.Request) uint64 { return named(3, req.Caller.Key) }
	case "tag":
		return func(req *llm.Request) uint64 { return named(4, req.Caller.Tags) }
	}
	if name, ok := strings.CutPrefix(by, "tag:"); ok {
		return func(req *llm.Request) uint64 { return named(4, Tag(req.Caller.Tags, name)) }
	}
	return func(*llm.Request) uint64 { return 0 }
}

func named(kind uint64, name string) uint64 {
	if name == "" {
		return 0
	}
	return upstream.Mix(kind, name) | 1
}

// Tag returns the value of one of the tags of x-sluice-tags, "" if it is not
// there: "env=prod, team=search" has env and team; semicolons separate, too, and
// what has no value is its own.
func Tag(tags, name string) string {
	for len(tags) > 0 {
		one := tags
		if i := strings.IndexAny(tags, ",;"); i >= 0 {
			one, tags = tags[:i], tags[i+1:]
		} else {
			tags = ""
		}
		key, value, has := strings.Cut(one, "=")
		if key = strings.TrimSpace(key); key != name {
			continue
		}
		if !has {
			return key
		}
		return strings.TrimSpace(value)
	}
	return ""
}
