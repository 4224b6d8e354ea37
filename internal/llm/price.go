package llm

import (
	"math"
	"math/bits"
	"time"
)

// Unit is what a price is for: tokens, and from UnitRequest on pieces. A token
// is counted in one unit only.
type Unit uint8

// Units, with the unit whose rate holds where a price has none. A request is
// one of the four, by the size of its search.
const (
	UnitInput        Unit = iota
	UnitCachedRead        // UnitInput
	UnitCachedAudio       // UnitCachedRead, then UnitAudioInput
	UnitCachedImage       // UnitCachedRead, then UnitImageInput
	UnitCacheWrite        // UnitInput; kept for five minutes
	UnitCacheWrite1h      // UnitCacheWrite
	UnitAudioInput        // UnitInput
	UnitImageInput        // UnitInput
	UnitVideoInput        // UnitInput
	UnitOutput
	UnitReasoning   // UnitOutput
	UnitCitation    // UnitOutput
	UnitAudioOutput // UnitOutput
	UnitImageOutput // UnitOutput
	UnitVideoOutput // UnitOutput
	UnitRequest     // nothing
	UnitRequestLow  // UnitRequest
	UnitRequestMedium
	UnitRequestHigh
	UnitSearch // nothing
	UnitImage  // nothing: a made image
	units
)

var unitNames = [units]string{"input", "cached_read", "cached_audio", "cached_image", "cache_write", "cache_write_1h", "audio_input", "image_input",
	"video_input", "output", "reasoning", "citation", "audio_output", "image_output", "video_output", "request", "request_low", "request_medium", "request_high", "search", "image"}

// String returns the unit's name in files and answers.
func (u Unit) String() string {
	if u < units {
		return unitNames[u]
	}
	return ""
}

// PerThousand reports whether the unit is a piece, whose price is told per
// thousand; that of tokens is told per million.
func (u Unit) PerThousand() bool { return u >= UnitRequest }

// Units returns all units.
func Units() []Unit {
	all := make([]Unit, units)
	for i := range all {
		all[i] = Unit(i)
	}
	return all
}

// ParseUnit returns the unit of a name.
func ParseUnit(name string) (Unit, bool) {
	for i, n := range unitNames {
		if n == name {
			return Unit(i), true
		}
	}
	return 0, false
}

// Rate makes the rate of a price in USD per million tokens or thousand
// pieces. It fails on negative prices and on those above 1e6 USD.
func (u Unit) Rate(usd float64) (Rate, error) {
	r, err := PerMillion(usd)
	if err == nil && u.PerThousand() {
		r = Rate(math.Round(usd * 1e9))
	}
	return r, err
}

// Price is what a target charges. A nil *Price is an unknown price. It is not
// changed once it is in use.
type Price struct {
	Input      Rate
	Output     Rate
	CachedRead Rate // HasCached false: as Input
	CacheWrite Rate // HasWrite false: as Input
	HasCached  bool
	HasWrite   bool
	// More holds the rates of the other units; 0: as the unit that stands for
	// it. nil: there are none.
	More *[units]Rate
	// Long is the price of prompts of more than Above tokens, all of whose
	// tokens it is for; nil: this one. It may have a Long itself, further up.
	Long  *Price
	Above int64
	// Tiers are the prices of other service; nil: this one.
	Tiers [TierBatch + 1]*Price
	// Changes are other prices at other times; of several that hold, the last.
	Changes []Change
}

// Change is the price from a day on, or at some hours of the day.
type Change struct {
	Since      int64 // seconds of Unix time; 0: always
	Start, End int   // seconds of the day in UTC, End after Start; 0, 0: all day
	Price      *Price
}

// At returns the price that holds at a time.
func (p *Price) At(t time.Time) *Price {
	if p == nil || len(p.Changes) == 0 {
		return p
	}
	now := t.Unix()
	second := int(((now % 86400) + 86400) % 86400)
	for i := len(p.Changes) - 1; i >= 0; i-- {
		c := &p.Changes[i]
		if (c.Since == 0 || now >= c.Since) && (c.End == 0 || second >= c.Start && second < c.End) {
			return c.Price
		}
	}
	return p
}

// Set sets the rate of a unit.
func (p *Price) Set(u Unit, r Rate) {
	switch u {
	case UnitInput:
		p.Input = r
	case UnitOutput:
		p.Output = r
	case UnitCachedRead:
		p.CachedRead, p.HasCached = r, true
	case UnitCacheWrite:
		p.CacheWrite, p.HasWrite = r, true
	default:
		if p.More == nil {
			p.More = new([units]Rate)
		}
		p.More[u] = r
	}
}

// Part is one unit's part of a cost.
type Part struct {
	Unit Unit
	N    int64 // tokens or pieces, above 0
	Rate Rate
}

// Cost prices u by what the vendor charges for u's tier and prompt, rounded
// once, half up. An unknown price costs 0. Prices that change are resolved
// before, by At.
func (p *Price) Cost(u Usage) Money {
	if p == nil {
		return 0
	}
	if m, ok := p.plain(&u); ok {
		return m
	}
	p = p.of(&u)
	var n [units]int64
	count(&u, &n)
	var hi, lo uint64 // pico-USD
	for i, n := range n {
		if n <= 0 {
			continue
		}
		h, l := bits.Mul64(uint64(n), uint64(p.rate(Unit(i))))
		var carry uint64
		lo, carry = bits.Add64(lo, l, 0)
		hi += h + carry
	}
	lo, carry := bits.Add64(lo, 500, 0)
	if hi += carry; hi >= 1000 {
		return math.MaxInt64
	}
	nano, _ := bits.Div64(hi, lo, 1000)
	return Money(min(nano, math.MaxInt64))
}

// plain is Cost of what most requests are: prompt, cache and answer at a price of
// those alone, in numbers that multiply without overflow. ok is false for all
// else.
func (p *Price) plain(u *Usage) (m Money, ok bool) {
	const most = 1 << 30 // tokens, and pico-USD for one
	if p.More != nil || p.Long != nil || u.Tier != TierStandard || *u != (Usage{Input: u.Input, CachedRead: u.CachedRead, Output: u.Output}) ||
		uint64(u.Input) >= most || uint64(u.CachedRead) > uint64(u.Input) || uint64(u.Output) >= most ||
		p.Input >= most || p.Output >= most || p.CachedRead >= most {
		return 0, false
	}
	pico := uint64(u.Input-u.CachedRead)*uint64(p.Input) + uint64(u.CachedRead)*uint64(p.rate(UnitCachedRead)) + uint64(u.Output)*uint64(p.Output)
	return Money((pico + 500) / 1000), true
}

// Parts returns what Cost adds up, in the order of units, without pieces that
// are free; nil for an unknown price.
func (p *Price) Parts(u Usage) []Part {
	if p == nil {
		return nil
	}
	p = p.of(&u)
	var n [units]int64
	count(&u, &n)
	var parts []Part
	for i, n := range n {
		u := Unit(i)
		if r := p.rate(u); n > 0 && (r > 0 || !u.PerThousand()) {
			parts = append(parts, Part{u, n, r})
		}
	}
	return parts
}

// of returns the price for u's tier and prompt.
func (p *Price) of(u *Usage) *Price {
	if t := int(u.Tier); t < len(p.Tiers) && p.Tiers[t] != nil {
		p = p.Tiers[t]
	}
	for p.Long != nil && u.Input > p.Above {
		p = p.Long
	}
	return p
}

// rate returns what one of a unit costs.
func (p *Price) rate(u Unit) Rate {
	switch u {
	case UnitInput:
		return p.Input
	case UnitOutput:
		return p.Output
	case UnitCachedRead:
		if p.HasCached {
			return p.CachedRead
		}
		return p.Input
	case UnitCacheWrite:
		if p.HasWrite {
			return p.CacheWrite
		}
		return p.Input
	}
	if p.More != nil && p.More[u] > 0 {
		return p.More[u]
	}
	switch u {
	case UnitCachedAudio, UnitCachedImage:
		if p.HasCached {
			return p.CachedRead
		}
		if u == UnitCachedAudio {
			return p.rate(UnitAudioInput)
		}
		return p.rate(UnitImageInput)
	case UnitCacheWrite1h:
		return p.rate(UnitCacheWrite)
	case UnitAudioInput, UnitImageInput, UnitVideoInput:
		return p.Input
	case UnitRequestLow, UnitRequestMedium, UnitRequestHigh:
		return p.rate(UnitRequest)
	case UnitReasoning, UnitCitation, UnitAudioOutput, UnitImageOutput, UnitVideoOutput:
		return p.Output
	}
	return 0
}

// count splits u into units, no token in two of them. Parts that exceed their
// whole leave nothing of it.
func count(u *Usage, n *[units]int64) {
	n[UnitCachedAudio] = min(u.CachedAudio, u.CachedRead)
	n[UnitCachedImage] = min(u.CachedImage, u.CachedRead-n[UnitCachedAudio])
	n[UnitCachedRead] = u.CachedRead - n[UnitCachedAudio] - n[UnitCachedImage]
	n[UnitCacheWrite1h] = min(u.CacheWrite1h, u.CacheWrite)
	n[UnitCacheWrite] = u.CacheWrite - n[UnitCacheWrite1h]
	n[UnitInput] = max(0, u.Input-u.CachedRead-u.CacheWrite)
	n[UnitAudioInput] = take(&n[UnitInput], u.AudioInput-n[UnitCachedAudio])
	n[UnitImageInput] = take(&n[UnitInput], u.ImageInput-n[UnitCachedImage])
	n[UnitVideoInput] = take(&n[UnitInput], u.VideoInput)
	n[UnitOutput] = u.Output
	n[UnitAudioOutput] = take(&n[UnitOutput], u.AudioOutput)
	n[UnitImageOutput] = take(&n[UnitOutput], u.ImageOutput)
	n[UnitVideoOutput] = take(&n[UnitOutput], u.VideoOutput)
	n[UnitCitation] = take(&n[UnitOutput], u.Citation)
	n[UnitReasoning] = take(&n[UnitOutput], u.Reasoning)
	n[UnitSearch] = u.Searches
	n[UnitImage] = u.Images
	if u.Input > 0 || u.Output > 0 || u.Images > 0 {
		n[UnitRequest+Unit(min(u.SearchSize, SearchHigh))] = 1
	}
}

// take takes at most want of what is left and returns how much.
func take(left *int64, want int64) int64 {
	got := max(0, min(*left, want))
	*left -= got
	return got
}
