package llm

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
)

// Money is an amount in nano-USD (10⁻⁹ USD).
type Money int64

// USD returns the amount in dollars, for display only.
func (m Money) USD() float64 { return float64(m) / 1e9 }

// String returns the amount in dollars, exactly, without trailing zeros.
func (m Money) String() string {
	return string(m.Append(nil))
}

// Append appends String's form to b.
func (m Money) Append(b []byte) []byte {
	u := uint64(m)
	if m < 0 {
		b = append(b, '-')
		u = -u
	}
	b = strconv.AppendUint(b, u/1e9, 10)
	frac := u % 1e9
	if frac == 0 {
		return b
	}
	b = append(b, '.')
	for div := uint64(1e8); frac > 0; div /= 10 {
		b = append(b, byte('0'+frac/div))
		frac %= div
	}
	return b
}

// add returns the sum of two amounts that are not negative, at most what Money
// can hold.
func (m Money) add(n Money) Money {
	if n > math.MaxInt64-m {
		return math.MaxInt64
	}
	return m + n
}

// Rate is a price in pico-USD (10⁻¹² USD) per token: a price of 1 USD per
// million tokens is 1e6.
type Rate int64

// PerMillion makes a Rate from a price in USD per million tokens. It fails
// on negative prices and on those above 1e6 USD.
func PerMillion(usd float64) (Rate, error) {
	if math.IsNaN(usd) || usd < 0 || usd > 1e6 {
		return 0, fmt.Errorf("price %s USD per million tokens is out of range 0 to 1,000,000", strconv.FormatFloat(usd, 'g', -1, 64))
	}
	return Rate(math.Round(usd * 1e6)), nil
}

// Price is what a target charges per token. A nil *Price is an unknown price.
type Price struct {
	Input      Rate
	Output     Rate
	CachedRead Rate // HasCached false: as Input
	CacheWrite Rate // HasWrite false: as Input
	HasCached  bool
	HasWrite   bool
}

// Cost prices u, rounded once, half up. An unknown price costs 0.
func (p *Price) Cost(u Usage) Money {
	if p == nil {
		return 0
	}
	cached, write := p.Input, p.Input
	if p.HasCached {
		cached = p.CachedRead
	}
	if p.HasWrite {
		write = p.CacheWrite
	}
	fresh := max(0, u.Input-u.CachedRead-u.CacheWrite)
	parts := [...]struct {
		n int64
		r Rate
	}{{fresh, p.Input}, {u.CachedRead, cached}, {u.CacheWrite, write}, {u.Output, p.Output}}
	var pico int64
	for _, x := range parts {
		if x.n >= 1<<30 || x.r >= 1<<30 {
			return bigCost(parts[:])
		}
		pico += x.n * int64(x.r)
	}
	return Money((pico + 500) / 1000)
}

// bigCost is Cost for sums that int64 could not hold (above about 9 million
// USD).
func bigCost(parts []struct {
	n int64
	r Rate
}) Money {
	sum := new(big.Int)
	for _, x := range parts {
		n := big.NewInt(x.n)
		sum.Add(sum, n.Mul(n, big.NewInt(int64(x.r))))
	}
	sum.Add(sum, big.NewInt(500)).Quo(sum, big.NewInt(1000))
	if !sum.IsInt64() {
		return math.MaxInt64
	}
	return Money(sum.Int64())
}

// Usage counts the tokens of one answer.
type Usage struct {
	Input        int64 `json:"input"` // whole prompt, with what was cached
	CachedRead   int64 `json:"cached_read,omitempty"`
	CacheWrite   int64 `json:"cache_write,omitempty"`    // of all durations
	CacheWrite1h int64 `json:"cache_write_1h,omitempty"` // part of CacheWrite
	AudioInput   int64 `json:"audio_input,omitempty"`    // part of Input
	Output       int64 `json:"output"`                   // with reasoning
	Reasoning    int64 `json:"reasoning,omitempty"`
	AudioOutput  int64 `json:"audio_output,omitempty"` // part of Output
	ImageOutput  int64 `json:"image_output,omitempty"` // part of Output
	Searches     int64 `json:"searches,omitempty"`     // of the web by the vendor
	// Estimated: counted by the gateway, since the vendor did not say.
	Estimated bool `json:"estimated,omitempty"`
}

// MaxTokens bounds every token count that is believed.
const MaxTokens = 1 << 40

// Valid reports whether all counts are in range 0 to MaxTokens and the parts
// do not exceed the whole.
func (u Usage) Valid() bool {
	for _, n := range [...]int64{u.Input, u.CachedRead, u.CacheWrite, u.CacheWrite1h, u.AudioInput, u.Output, u.Reasoning, u.AudioOutput, u.ImageOutput, u.Searches} {
		if n < 0 || n > MaxTokens {
			return false
		}
	}
	return u.CachedRead+u.CacheWrite <= u.Input
}

// Add returns the sum of two usages.
func (u Usage) Add(v Usage) Usage {
	return Usage{
		Input: u.Input + v.Input, CachedRead: u.CachedRead + v.CachedRead, CacheWrite: u.CacheWrite + v.CacheWrite,
		CacheWrite1h: u.CacheWrite1h + v.CacheWrite1h, AudioInput: u.AudioInput + v.AudioInput,
		Output: u.Output + v.Output, Reasoning: u.Reasoning + v.Reasoning,
		AudioOutput: u.AudioOutput + v.AudioOutput, ImageOutput: u.ImageOutput + v.ImageOutput,
		Searches: u.Searches + v.Searches, Estimated: u.Estimated || v.Estimated,
	}
}
