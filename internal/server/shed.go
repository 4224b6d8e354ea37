package server

import (
	"math/rand/v2"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/load"
)

// What callers are told who come when there is too much.
const (
	fullHouse = "the gateway has all the requests it can hold; try again in 1 s"
	busyHouse = "the gateway is busy and serves what is more important first; try again in 1 s"
	ownShare  = "this key has as many requests under way as leave room for others; wait for some to end, or try again in 1 s"
	noRoom    = "the gateway has no room for a body of this size now; try again in 1 s"
)

// bigBody is the size in bytes above which a body is refused while memory is
// scarce: what is smaller goes through buffers that are there anyway.
const bigBody = 1 << 20

// shed turns a request away that should make room for others, before its body is
// read; n are under way with it.
func (x *exchange) shed(n int64, caps *load.Caps) bool {
	p := x.grant.Priority
	if u := x.grant.Use; u != nil && !u.Take(caps.Limit()-n+1) && p != llm.PriorityCritical {
		x.s.limited("share")
		x.unread()
		x.fail(&llm.Error{Kind: llm.KindRateLimited, RetryAfter: time.Second, Message: ownShare})
		return true
	}
	switch {
	case n > caps.Of(p), x.s.deps.Load.Refuses(p, rand.Float64):
		x.turnAway("shed", busyHouse)
	case x.r.ContentLength > bigBody && x.s.deps.Load.Tight():
		x.turnAway("shed", noRoom)
	default:
		return false
	}
	return true
}

// turnAway answers a request for which there is no room.
func (x *exchange) turnAway(reason, message string) {
	x.s.limited(reason)
	x.unread()
	x.fail(&llm.Error{Kind: llm.KindOverloaded, RetryAfter: time.Second, Message: message})
}
