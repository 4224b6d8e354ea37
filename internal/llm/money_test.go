package llm

import (
	"encoding/json"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func rate(t *testing.T, usd float64) Rate {
	t.Helper()
	r, err := PerMillion(usd)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCost(t *testing.T) {
	full := &Price{Input: rate(t, 2.5), Output: rate(t, 10), CachedRead: rate(t, 1.25), CacheWrite: rate(t, 3.125), HasCached: true, HasWrite: true}
	plain := &Price{Input: rate(t, 2.5), Output: rate(t, 10)}
	free := &Price{Input: rate(t, 1), HasCached: true}
	for _, c := range []struct {
		name  string
		price *Price
		usage Usage
		want  Money
	}{
		{"unknown price", nil, Usage{Input: 1000, Output: 1000}, 0},
		{"nothing used", full, Usage{}, 0},
		{"fresh, cached, written, said", full, Usage{Input: 1000, CachedRead: 400, CacheWrite: 100, Output: 200}, 4_062_500},
		{"cached costs as input where its price is not known", plain, Usage{Input: 1000, CachedRead: 400, CacheWrite: 100, Output: 200}, 4_500_000},
		{"cached is free where that is its price", free, Usage{Input: 1000, CachedRead: 400}, 600_000},
		{"reasoning is in the output already", plain, Usage{Output: 200, Reasoning: 150}, 2_000_000},
		{"below half", &Price{Input: 499}, Usage{Input: 1}, 0},
		{"half goes up", &Price{Input: 500}, Usage{Input: 1}, 1},
		{"below one and a half", &Price{Input: 1499}, Usage{Input: 1}, 1},
		{"one and a half goes up", &Price{Input: 1500}, Usage{Input: 1}, 2},
		{"rounded once, not by part", &Price{Input: 400, Output: 400}, Usage{Input: 1, Output: 1}, 1},
		{"the largest that is believed", &Price{Input: 1e12, Output: 1e12}, Usage{Input: MaxTokens, Output: MaxTokens}, math.MaxInt64},
	} {
		if got := c.price.Cost(c.usage); got != c.want {
			t.Errorf("%s: got %d nano-USD, want %d", c.name, got, c.want)
		}
	}
}

// number draws from 0 to most, all magnitudes alike, with the bounds.
func number(rnd *rand.Rand, most int64) int64 {
	switch rnd.IntN(8) {
	case 0:
		return 0
	case 1:
		return most
	case 2:
		return min(most, 1<<30-1+rnd.Int64N(3)) // where int64 begins not to do
	}
	return min(most, rnd.Int64N(1<<(1+rnd.IntN(41))))
}

// The cost of any usage that is believed, at any price that can be
// configured, is exact but for one rounding, and never less for more tokens.
func TestCostIsExact(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		p := &Price{Input: Rate(number(rnd, 1e12)), Output: Rate(number(rnd, 1e12)), CachedRead: Rate(number(rnd, 1e12)), CacheWrite: Rate(number(rnd, 1e12)), HasCached: true, HasWrite: true}
		fresh, cached, write, out := number(rnd, MaxTokens/4), number(rnd, MaxTokens/4), number(rnd, MaxTokens/4), number(rnd, MaxTokens)
		u := Usage{Input: fresh + cached + write, CachedRead: cached, CacheWrite: write, Output: out}
		if !u.Valid() {
			t.Fatalf("%+v is not believed", u)
		}
		sum := new(big.Rat)
		for _, x := range [][2]int64{{fresh, int64(p.Input)}, {cached, int64(p.CachedRead)}, {write, int64(p.CacheWrite)}, {out, int64(p.Output)}} {
			sum.Add(sum, new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(x[0]), big.NewInt(x[1])), big.NewInt(1000)))
		}
		got := p.Cost(u)
		off := new(big.Rat).Sub(new(big.Rat).SetInt64(int64(got)), sum) // −1/2 < off ≤ 1/2
		half := big.NewRat(1, 2)
		exact := off.Cmp(half) <= 0 && off.Cmp(new(big.Rat).Neg(half)) > 0
		if got == math.MaxInt64 {
			exact = off.Cmp(half) <= 0
		}
		if !exact || got < 0 {
			t.Fatalf("%+v at %+v: got %d, exact is %s", u, p, got, sum.FloatString(3))
		}
		if more := (Usage{Input: u.Input + 1, CachedRead: cached, CacheWrite: write, Output: out + 1}); p.Cost(more) < got {
			t.Fatalf("%+v at %+v: one token more costs less", u, p)
		}
	}
}

func TestPerMillion(t *testing.T) {
	for usd, want := range map[float64]Rate{0: 0, 1: 1e6, 0.15: 150_000, 0.0000005: 1, 1e6: 1e12} {
		if got := rate(t, usd); got != want {
			t.Errorf("%g USD a million: got %d pico-USD a token, want %d", usd, got, want)
		}
	}
	for _, usd := range []float64{-0.01, 1e6 + 1, math.NaN(), math.Inf(1), math.Inf(-1)} {
		if got, err := PerMillion(usd); err == nil || !strings.Contains(err.Error(), "out of range") {
			t.Errorf("%g USD a million: got %d, %v, want a refusal", usd, got, err)
		}
	}
}

// An amount in text is the amount, to the last digit.
func TestMoneyText(t *testing.T) {
	for m, want := range map[Money]string{0: "0", 1: "0.000000001", 1_000_000_000: "1", 1_500_000_000: "1.5", -1: "-0.000000001", math.MinInt64: "-9223372036.854775808"} {
		if got := m.String(); got != want {
			t.Errorf("%d: got %s, want %s", int64(m), got, want)
		}
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 5_000 {
		m := Money(rnd.Uint64() >> rnd.IntN(64))
		back, ok := new(big.Rat).SetString(m.String())
		if !ok || back.Cmp(big.NewRat(int64(m), 1e9)) != 0 {
			t.Fatalf("%d: got %s", int64(m), m)
		}
	}
}

func TestUsageValid(t *testing.T) {
	for _, c := range []struct {
		name  string
		usage Usage
		want  bool
	}{
		{"nothing", Usage{}, true},
		{"all of the prompt in parts", Usage{Input: 5, CachedRead: 3, CacheWrite: 2}, true},
		{"parts above the whole", Usage{Input: 5, CachedRead: 3, CacheWrite: 3}, false},
		{"negative input", Usage{Input: -1}, false},
		{"negative output", Usage{Output: -1}, false},
		{"a negative part that makes the sum right", Usage{Input: 5, CachedRead: 9, CacheWrite: -4}, false},
		{"negative reasoning", Usage{Reasoning: -1}, false},
		{"the bound", Usage{Input: MaxTokens, Output: MaxTokens}, true},
		{"above the bound", Usage{Output: MaxTokens + 1}, false},
		{"parts whose sum wraps", Usage{Input: MaxTokens, CachedRead: math.MaxInt64, CacheWrite: math.MaxInt64}, false},
	} {
		if got := c.usage.Valid(); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// Every token is counted in one unit, and each unit without a rate costs what
// the one that stands for it does.
func TestPartsOfCost(t *testing.T) {
	u := Usage{Input: 1000, CachedRead: 300, CachedAudio: 50, CachedImage: 20, CacheWrite: 200, CacheWrite1h: 80, AudioInput: 150, ImageInput: 60, VideoInput: 10,
		Output: 500, Reasoning: 100, Citation: 10, AudioOutput: 40, ImageOutput: 30, VideoOutput: 5, Searches: 2, Images: 3}
	want := map[Unit]int64{UnitInput: 350, UnitCachedRead: 230, UnitCachedAudio: 50, UnitCachedImage: 20, UnitCacheWrite: 120, UnitCacheWrite1h: 80, UnitAudioInput: 100,
		UnitImageInput: 40, UnitVideoInput: 10, UnitOutput: 315, UnitReasoning: 100, UnitCitation: 10, UnitAudioOutput: 40, UnitImageOutput: 30, UnitVideoOutput: 5,
		UnitRequest: 1, UnitSearch: 2, UnitImage: 3}
	plain := &Price{Input: 10, Output: 20}
	plain.Set(UnitRequest, 30)
	plain.Set(UnitSearch, 30)
	plain.Set(UnitImage, 30)
	parts := plain.Parts(u)
	if len(parts) != len(want) {
		t.Errorf("parts = %d, want %d", len(parts), len(want))
	}
	for _, p := range parts {
		rate := Rate(10)
		if p.Unit >= UnitOutput {
			rate = 20
		}
		if p.Unit.PerThousand() {
			rate = 30
		}
		if p.N != want[p.Unit] || p.Rate != rate {
			t.Errorf("%s: %d at %d, want %d at %d", p.Unit, p.N, p.Rate, want[p.Unit], rate)
		}
	}
	for _, c := range []struct {
		set  Unit
		rate Rate
		want map[Unit]Rate // what changes from plain
	}{
		{UnitCachedRead, 0, map[Unit]Rate{UnitCachedRead: 0, UnitCachedAudio: 0, UnitCachedImage: 0}},
		{UnitCacheWrite, 12, map[Unit]Rate{UnitCacheWrite: 12, UnitCacheWrite1h: 12}},
		{UnitCacheWrite1h, 16, map[Unit]Rate{UnitCacheWrite1h: 16}},
		{UnitAudioInput, 30, map[Unit]Rate{UnitAudioInput: 30, UnitCachedAudio: 30}},
		{UnitImageInput, 5, map[Unit]Rate{UnitImageInput: 5, UnitCachedImage: 5}},
		{UnitReasoning, 7, map[Unit]Rate{UnitReasoning: 7}},
		{UnitSearch, 1e10, map[Unit]Rate{UnitSearch: 1e10}},
	} {
		p, more := *plain, *plain.More
		p.More = &more
		p.Set(c.set, c.rate)
		for i, part := range p.Parts(u) {
			want, ok := c.want[part.Unit]
			if !ok {
				want = parts[i].Rate
			}
			if part.Rate != want {
				t.Errorf("with %s = %d: %s costs %d, want %d", c.set, c.rate, part.Unit, part.Rate, want)
			}
		}
	}
}

// A request is priced by the size of its search, where prices differ by it.
func TestSearchSize(t *testing.T) {
	p := &Price{}
	p.Set(UnitRequest, 12)
	p.Set(UnitRequestLow, 5)
	for size, want := range map[string]Rate{"": 12, "low": 5, "medium": 12, "high": 12, "huge": 12} {
		var got Rate
		for _, part := range p.Parts(Usage{Input: 1, SearchSize: ParseSearchSize(size)}) {
			if part.Unit >= UnitRequest {
				got += part.Rate
			}
		}
		if got != want {
			t.Errorf("%q: %d, want %d", size, got, want)
		}
	}
}

// Parts larger than their whole make nothing negative.
func TestPartsAboveTheWhole(t *testing.T) {
	u := Usage{Input: 10, CachedRead: 4, CachedAudio: 9, CachedImage: 9, CacheWrite: 3, CacheWrite1h: 9, AudioInput: 99, ImageInput: 99, VideoInput: 99,
		Output: 5, Reasoning: 9, Citation: 9, AudioOutput: 9, ImageOutput: 9, VideoOutput: 9}
	var in, out int64
	for _, p := range (&Price{}).Parts(u) {
		switch {
		case p.N < 0:
			t.Errorf("%s: %d", p.Unit, p.N)
		case p.Unit < UnitOutput:
			in += p.N
		case p.Unit < UnitRequest:
			out += p.N
		}
	}
	if in != 10 || out != 5 {
		t.Errorf("counted %d and %d tokens, want 10 and 5", in, out)
	}
}

func TestTier(t *testing.T) {
	for name, want := range map[string]Tier{"": TierStandard, "default": TierStandard, "on_demand": TierStandard, "standard": TierStandard, "flex": TierFlex, "priority": TierPriority, "batch": TierBatch} {
		if got := ParseTier(name); got != want {
			t.Errorf("ParseTier(%q) = %v, want %v", name, got, want)
		}
	}
	b, err := json.Marshal(Usage{Input: 1, Tier: TierBatch})
	if want := `{"input":1,"output":0,"tier":"batch"}`; err != nil || string(b) != want {
		t.Errorf("got %s, %v, want %s", b, err, want)
	}
	var u Usage
	if err := json.Unmarshal(b, &u); err != nil || u.Tier != TierBatch {
		t.Errorf("got %+v, %v", u, err)
	}
	if err := json.Unmarshal([]byte(`{"tier":"fast"}`), &u); err == nil {
		t.Error("a tier that is none was taken")
	}
	slow, fast := &Price{Input: 1}, &Price{Input: 10, Long: &Price{Input: 100}, Above: 5}
	p := &Price{Input: 2, Tiers: [...]*Price{TierFlex: slow, TierPriority: fast, TierBatch: nil}, Long: &Price{Input: 4}, Above: 5}
	for u, want := range map[Usage]Rate{{Input: 5}: 2, {Input: 6}: 4, {Input: 6, Tier: TierFlex}: 1, {Input: 5, Tier: TierPriority}: 10, {Input: 6, Tier: TierPriority}: 100, {Input: 6, Tier: TierBatch}: 4, {Input: 5, Tier: 77}: 2} {
		if got := p.Parts(u)[0].Rate; got != want {
			t.Errorf("%+v costs %d a token, want %d", u, got, want)
		}
	}
}

func TestPriceAt(t *testing.T) {
	first, second, night := &Price{Input: 2}, &Price{Input: 3}, &Price{Input: 1}
	p := &Price{Input: 5, Changes: []Change{{Since: 1000 * 86400, Price: first}, {Since: 2000 * 86400, Price: second}, {Since: 1000 * 86400, Start: 3600, End: 7200, Price: night}}}
	for at, want := range map[int64]*Price{0: p, 1000*86400 - 1: p, 1000 * 86400: first, 1500*86400 + 3600: night, 1500*86400 + 7200: first, 2000*86400 + 7199: night, 2000 * 86400: second, 999*86400 + 3700: p} {
		if got := p.At(time.Unix(at, 0)); got != want {
			t.Errorf("at %d: %d, want %d", at, got.Input, want.Input)
		}
	}
	if (*Price)(nil).At(time.Unix(0, 0)) != nil {
		t.Error("an unknown price has become known")
	}
}

func TestUnits(t *testing.T) {
	for _, u := range Units() {
		if got, ok := ParseUnit(u.String()); !ok || got != u {
			t.Errorf("%d: %q is %d, %v", u, u, got, ok)
		}
	}
	if _, ok := ParseUnit("tokens"); ok {
		t.Error("tokens is a unit")
	}
	for usd, want := range map[float64]Rate{10: 1e10, 0.0000005: 500, 1e6: 1e15} {
		if got, err := UnitSearch.Rate(usd); err != nil || got != want {
			t.Errorf("%g USD per thousand: %d, %v, want %d", usd, got, err, want)
		}
	}
	if _, err := UnitSearch.Rate(-1); err == nil {
		t.Error("a negative price was taken")
	}
}

func TestCostAllocates(t *testing.T) {
	p := &Price{Input: 1e12, Output: 1e12, Changes: []Change{{Price: &Price{Input: 1e12, Output: 1e12}}}}
	now := time.Now()
	if n := testing.AllocsPerRun(100, func() { p.At(now).Cost(Usage{Input: MaxTokens, CachedRead: 5, Output: MaxTokens, Searches: 3}) }); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

func BenchmarkCost(b *testing.B) {
	p := &Price{Input: 2_500_000, Output: 10_000_000, CachedRead: 1_250_000, HasCached: true}
	for b.Loop() {
		p.Cost(Usage{Input: 1000, CachedRead: 400, Output: 100})
	}
}

// TestPlainCost: the short way gives what the long one gives.
func TestPlainCost(t *testing.T) {
	p := &Price{Input: 2_500_000, Output: 10_000_001, CachedRead: 1_250_000, HasCached: true}
	long := &Price{Input: p.Input, Output: p.Output, CachedRead: p.CachedRead, HasCached: true, More: new([units]Rate)}
	for _, u := range []Usage{{}, {Input: 1}, {Output: 1}, {Input: 1234, CachedRead: 1024, Output: 77}, {Input: 1<<30 - 1, Output: 1<<30 - 1}, {Input: 1 << 31}} {
		if got, want := p.Cost(u), long.Cost(u); got != want {
			t.Errorf("%+v costs %v, want %v", u, got, want)
		}
	}
	for _, u := range []Usage{{Input: 5, CacheWrite: 3}, {Input: 5, Tier: TierFlex}, {Input: -1}, {Input: 1, CachedRead: 2}} {
		if _, ok := p.plain(&u); ok {
			t.Errorf("%+v goes the short way", u)
		}
	}
}
