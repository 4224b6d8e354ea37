package learned

import (
	"math/bits"
	"slices"
	"unicode"
	"unicode/utf8"
)

const (
	// maxEnd is how much of each end of a text is read, in bytes: what is asked
	// stands at the beginning or at the end.
	maxEnd = 2 << 10
	// maxFeatures bounds the features of a text: two for each token, and no
	// token is shorter than a byte; two for the ends.
	maxFeatures = 2*2*maxEnd + 2
)

// reader makes features of a text.
type reader struct {
	features []uint32
	last     uint64         // the last token
	seen     [recent]uint32 // features by their lowest bits: what is repeated counts once
}

// recent bounds the features of which a repetition is noticed for certain.
const recent = 1 << 10

// read leaves in r.features hashes of the words and pairs of words of text, once
// each, in the order in which they stand; then of how it ends and begins. Letters
// are lower case; a number is its length; what is no letter, digit or space
// stands for itself. It allocates only while r is new.
func (r *reader) read(text string) {
	r.features = slices.Grow(r.features[:0], maxFeatures)
	if text == "" {
		return
	}
	clear(r.seen[:])
	r.last = offset
	if len(text) > 2*maxEnd {
		r.tokens(text[:maxEnd])
		r.tokens(text[len(text)-maxEnd:])
	} else {
		r.tokens(text)
	}
	begins := uint64(class[text[0]])
	if 'A' <= text[0] && text[0] <= 'Z' {
		begins = 255
	}
	r.add(bits.RotateLeft64(r.last, 21) ^ mix)
	r.add((offset ^ (1024 + begins)) * prime)
}

// token adds a token, and the pair of it and that before it.
func (r *reader) token(h uint64) {
	r.add(h)
	r.add(bits.RotateLeft64(r.last, 21) ^ h*mix)
	r.last = h
}

func (r *reader) add(h uint64) {
	h ^= h >> 29
	h *= 0xbf58476d1ce4e5b9
	f := max(1, uint32(h>>32)) // 0 is nothing seen
	if at := &r.seen[f%recent]; *at != f {
		*at = f
		r.features = append(r.features, f)
	}
}

const (
	offset = 14695981039346656037 // FNV-1a
	prime  = 1099511628211
	mix    = 0x9e3779b97f4a7c15 // 2^64 over the golden ratio
)

func (r *reader) tokens(text string) {
	for i := 0; i < len(text); {
		c := text[i]
		h := uint64(offset)
		switch class[c] {
		case space:
			i++
			continue
		case letter:
			for ; i < len(text) && class[text[i]] == letter; i++ {
				h = (h ^ uint64(text[i]|0x20)) * prime
			}
		case digit:
			from := i
			for i < len(text) && class[text[i]] == digit {
				i++
			}
			h = (h ^ uint64(256+min(i-from, 6))) * prime
		case wide:
			h, i = wideToken(text, i)
		default:
			h = (h ^ uint64(512+int(c))) * prime
			i++
		}
		r.token(h)
	}
}

// wideToken hashes letters beyond ASCII, at most four of them, because some
// languages write no spaces; what is no letter stands for itself. It returns
// where the token ends.
func wideToken(text string, i int) (h uint64, end int) {
	h = offset
	for n := 0; n < 4 && i < len(text) && text[i] >= utf8.RuneSelf; n++ {
		r, size := utf8.DecodeRuneInString(text[i:])
		if !unicode.IsLetter(r) && !unicode.IsMark(r) {
			if n == 0 {
				return (h ^ uint64(r)) * prime, i + size
			}
			break
		}
		h = (h ^ uint64(unicode.ToLower(r))) * prime
		i += size
	}
	return h, i
}

const (
	other = iota
	letter
	digit
	space
	wide
)

// class tells of each byte what it is.
var class = func() (t [256]uint8) {
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = letter, letter
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = digit
	}
	for _, c := range " \t\r\n\v\f" {
		t[c] = space
	}
	for c := utf8.RuneSelf; c < 256; c++ {
		t[c] = wide
	}
	return t
}()

// vocabulary finds the row of a feature. Row i has the hash hashes[i]; they rise.
type vocabulary struct {
	hashes []uint32
	at     []uint64 // open addressing: row + 1 above the hash, 0: empty
	shift  int
}

// newVocabulary keeps hashes, which rise.
func newVocabulary(hashes []uint32) vocabulary {
	size := bits.Len(uint(2*len(hashes) + 1)) // at most half full
	v := vocabulary{hashes: hashes, at: make([]uint64, 1<<size), shift: 32 - size}
	for row, h := range hashes {
		i := h >> v.shift
		for v.at[i] != 0 {
			i = (i + 1) & uint32(len(v.at)-1)
		}
		v.at[i] = uint64(row+1)<<32 | uint64(h)
	}
	return v
}

// row returns the row of a feature, -1 where it is unknown.
func (v *vocabulary) row(h uint32) int {
	for i := h >> v.shift; ; i = (i + 1) & uint32(len(v.at)-1) {
		x := v.at[i]
		if x == 0 {
			return -1
		}
		if uint32(x) == h {
			return int(x>>32) - 1
		}
	}
}
