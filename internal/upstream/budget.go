package upstream

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// budgetWindow is how far back requests pay for retries.
	budgetWindow = 10 // seconds
	// budgetFloor is how many retries a second are free (Finagle and Envoy
	// keep such a floor so that quiet services can retry at all).
	budgetFloor = 3

	// hedgeUnit is a hedge in the account of a Budget; what quiet times save up
	// is at most hedgeMost, ten hedges: at 5 % the last 200 requests.
	hedgeUnit = 1e9
	hedgeMost = 10 * hedgeUnit
)

// Budget bounds the retries of one model to a share of its recent requests,
// and apart from them its hedges. Safe for concurrent use.
type Budget struct {
	hedges atomic.Int64 // saved up, in parts of hedgeUnit

	mu     sync.Mutex
	asked  [budgetWindow]int32
	spent  [budgetWindow]int32
	second int64
}

func (b *Budget) advance(now int64) int {
	s := now / int64(time.Second)
	for i := max(b.second+1, s-budgetWindow+1); i <= s; i++ {
		b.asked[i%budgetWindow], b.spent[i%budgetWindow] = 0, 0
	}
	b.second = max(b.second, s)
	return int(b.second % budgetWindow)
}

// Deposit counts a request.
func (b *Budget) Deposit(now int64) {
	b.mu.Lock()
	b.asked[b.advance(now)]++
	b.mu.Unlock()
}

// Withdraw takes one retry if the budget has it. share is of the requests of
// the last ten seconds.
func (b *Budget) Withdraw(now int64, share float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := b.advance(now)
	var asked, spent int32
	for i := range b.asked {
		asked += b.asked[i]
		spent += b.spent[i]
	}
	if float64(spent+1) > share*float64(asked)+budgetFloor*budgetWindow {
		return false
	}
	b.spent[at]++
	return true
}

// earn adds what a request allows of hedges: share of one.
func (b *Budget) earn(share float64) {
	for {
		old := b.hedges.Load()
		if b.hedges.CompareAndSwap(old, min(hedgeMost, old+int64(share*hedgeUnit))) {
			return
		}
	}
}

// hedge takes one hedge if there is one. It has no floor: without requests
// there are no hedges.
func (b *Budget) hedge() bool {
	for {
		old := b.hedges.Load()
		if old < hedgeUnit {
			return false
		}
		if b.hedges.CompareAndSwap(old, old-hedgeUnit) {
			return true
		}
	}
}
