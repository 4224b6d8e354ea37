package sim

import (
	"math/rand/v2"
	"strings"
	"unicode/utf8"
)

// words are common English words.
var words = strings.Fields(`
the of and to in is you that it he was for on are as with his they at be this have from or one had by word
but not what all were we when your can said there use an each which she do how their if will up other about
out many then them these so some her would make like him into time has look two more write go see number no
way could people my than first water been call who oil its now find long down day did get come made may part
over new sound take only little work know place year live me back give most very after thing our just name
good sentence man think say great where help through much before line right too mean old any same tell boy
follow came want show also around form three small set put end does another well large must big even such
because turn here why ask went men read need land different home us move try kind hand picture again change
off play spell air away animal house point page letter mother answer found study still learn should world`)

// prose returns n tokens of text that begin with who speaks: a token is a
// word, with the space before it and the sentence's end after it.
func prose(r *rand.Rand, speaker string, n int) []string {
	pieces := []string{"This", " is", " " + speaker, " (simulated)."}
	left := 0 // words until the sentence ends
	for len(pieces) < n {
		w := words[r.IntN(len(words))]
		if left == 0 {
			left = 6 + r.IntN(9)
			w = strings.ToUpper(w[:1]) + w[1:]
		}
		if left--; left == 0 || len(pieces) == n-1 {
			w += "."
		}
		pieces = append(pieces, " "+w)
	}
	return pieces[:n]
}

// shred cuts a text into tokens of about four bytes, never inside a rune.
func shred(s string) []string {
	pieces := make([]string, 0, len(s)/tokenBytes+1)
	for len(s) > 0 {
		n := min(tokenBytes, len(s))
		for n < len(s) && !utf8.RuneStart(s[n]) {
			n++
		}
		pieces = append(pieces, s[:n])
		s = s[n:]
	}
	return pieces
}
