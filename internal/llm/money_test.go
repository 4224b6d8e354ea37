package llm

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
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
