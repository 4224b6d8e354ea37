package llm

import (
	"crypto/rand"
	"time"
)

// crockford is Crockford's base 32, as in ULIDs.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// NewID returns a request id that sorts by time: a ULID, 48 bits of
// milliseconds and 80 random bits in 26 letters.
func NewID(now time.Time) string {
	var r [10]byte
	_, _ = rand.Read(r[:]) // never fails (crypto/rand)
	out := stamp(now)
	hi := uint64(r[0])<<32 | uint64(r[1])<<24 | uint64(r[2])<<16 | uint64(r[3])<<8 | uint64(r[4])
	lo := uint64(r[5])<<32 | uint64(r[6])<<24 | uint64(r[7])<<16 | uint64(r[8])<<8 | uint64(r[9])
	for i := 7; i >= 0; i-- {
		out[10+i] = crockford[hi&31]
		out[18+i] = crockford[lo&31]
		hi >>= 5
		lo >>= 5
	}
	return string(out[:])
}

// FirstID returns the least that an id made at that time, to the millisecond,
// can be.
func FirstID(at time.Time) string {
	out := stamp(at)
	return string(out[:10])
}

func stamp(t time.Time) (out [26]byte) {
	ms := uint64(max(0, t.UnixMilli()))
	for i := 9; i >= 0; i-- {
		out[i] = crockford[ms&31]
		ms >>= 5
	}
	return out
}
