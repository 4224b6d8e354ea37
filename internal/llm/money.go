package llm

import (
	"fmt"
	"math"
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

// Rate is a price in pico-USD (10⁻¹² USD) per token or piece: 1 USD per million
// tokens is 1e6, 1 USD per thousand searches is 1e9.
type Rate int64

// PerMillion makes a Rate from a price in USD per million tokens. It fails
// on negative prices and on those above 1e6 USD.
func PerMillion(usd float64) (Rate, error) {
	if math.IsNaN(usd) || usd < 0 || usd > 1e6 {
		return 0, fmt.Errorf("price %s USD is out of range 0 to 1,000,000", strconv.FormatFloat(usd, 'g', -1, 64))
	}
	return Rate(math.Round(usd * 1e6)), nil
}
