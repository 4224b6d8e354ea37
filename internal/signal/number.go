package signal

import "strings"

// groups is a number as it is written: groups of digits with one space, hyphen
// or dot between them.
type groups struct {
	digits [20]byte // '0' to '9', of all groups
	n      int      // of digits
	size   [5]uint8 // digits of each group
	end    [5]int   // where each group ends in the text
	sep    [5]byte  // what follows each group, where that is a separator
	count  int
}

// maxNumber is the longest number of a card: ISO/IEC 7812-1.
const maxNumber = 19

// group reads the number at i. What is longer than a card's has no groups.
func group(text string, i int) (g groups) {
	for g.count < len(g.size) {
		from := i
		for i < len(text) && isDigit(text[i]) && i-from <= maxNumber {
			i++
		}
		n := i - from
		if n == 0 || n > maxNumber || g.n+n > len(g.digits) || within(text, i) {
			break
		}
		g.n += copy(g.digits[g.n:], text[from:i])
		g.size[g.count], g.end[g.count] = uint8(n), i
		g.count++
		if i == len(text) || text[i] != ' ' && text[i] != '-' && text[i] != '.' {
			break
		}
		g.sep[g.count-1] = text[i]
		i++
	}
	return g
}

// layout tells where a number ends that is written in groups of these sizes,
// with the same separator between all, and which that is: 0 for one group.
func (g *groups) layout(text string, sizes ...uint8) (end int, sep byte, ok bool) {
	if g.count < len(sizes) {
		return 0, 0, false
	}
	for i, n := range sizes {
		if g.size[i] != n || i > 0 && g.sep[i-1] != g.sep[0] {
			return 0, 0, false
		}
	}
	if len(sizes) > 1 {
		sep = g.sep[0]
	}
	end = g.end[len(sizes)-1]
	return end, sep, ends(text, end)
}

// ends reports whether a number may end at i: what stands there makes it no part
// of a longer one, or of a name.
func ends(text string, i int) bool {
	if within(text, i) {
		return false
	}
	if i+1 >= len(text) {
		return true
	}
	switch text[i] {
	case '-':
		return !within(text, i+1)
	case '.':
		return !isDigit(text[i+1])
	case '@':
		return false
	}
	return true
}

// network is a range of card numbers by their first six digits, and a set of
// lengths: bit n for n digits.
type network struct {
	low, high int
	lengths   uint32
}

const (
	n14to19 = 1<<14 | 1<<15 | n16to19
	n16to19 = 1<<16 | 1<<17 | 1<<18 | 1<<19
)

// networks are the ranges that the networks publish: Visa, Mastercard, American
// Express, Discover, Diners Club, JCB, UnionPay, Maestro, Mir, RuPay, Elo,
// Verve, Troy. Source: ISO/IEC 7812 as the networks use it, collected in
// Wikipedia, "Payment card number", 2025.
var networks = []network{
	{400000, 499999, 1<<16 | 1<<19},
	{510000, 559999, 1 << 16}, {222100, 272099, 1 << 16},
	{340000, 349999, 1 << 15}, {370000, 379999, 1 << 15},
	{601100, 601199, n16to19}, {644000, 659999, n16to19},
	{300000, 305999, n14to19}, {309500, 309599, n14to19}, {360000, 369999, n14to19}, {380000, 399999, n14to19},
	{352800, 358999, n16to19},
	{620000, 629999, n16to19}, {810000, 817199, n16to19},
	{500000, 509999, n16to19}, {560000, 589999, n16to19}, {630400, 630499, n16to19}, {639000, 639099, n16to19}, {670000, 679999, n16to19},
	{220000, 220499, n16to19},
	{606985, 608999, 1 << 16}, {820000, 829999, 1 << 16},
	{636297, 636369, 1 << 16},
	{979200, 979289, 1 << 16},
}

// cards are the ways in which a card's number is grouped.
var cards = [][]uint8{{16}, {4, 4, 4, 4}, {15}, {4, 6, 5}, {14}, {4, 6, 4}, {19}, {4, 4, 4, 4, 3}, {17}, {18}}

// card tells where a card's number ends that begins with the first group.
func (g *groups) card(text string) (int, bool) {
	if g.n < 14 {
		return 0, false
	}
	for _, sizes := range cards {
		end, sep, ok := g.layout(text, sizes...)
		if !ok || sep == '.' {
			continue
		}
		n := 0
		for _, s := range sizes {
			n += int(s)
		}
		if number := g.digits[:n]; known(number) && luhn(number) {
			return end, true
		}
	}
	return 0, false
}

func known(number []byte) bool {
	first := 0
	for _, c := range number[:6] {
		first = first*10 + int(c-'0')
	}
	for _, n := range networks {
		if first >= n.low && first <= n.high && n.lengths>>len(number)&1 != 0 {
			return true
		}
	}
	return false
}

// luhn reports whether the last digit checks the others: ISO/IEC 7812-1 annex B.
func luhn(number []byte) bool {
	sum := 0
	for i := range number {
		d := int(number[len(number)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

// ssn tells where a social security number ends that begins with the first
// group. With hyphens it is one by itself, written otherwise only where the text
// before it says so. Numbers that were never given out are none: areas 000, 666
// and 900 up, group 00, serial 0000, and two that advertisements used.
func (g *groups) ssn(text string, start int) (int, bool) {
	end, sep, ok := g.layout(text, 3, 2, 4)
	if !ok {
		end, sep, ok = g.layout(text, 9)
	}
	if !ok || sep == '.' || sep != '-' && !foretold(text[max(0, start-32):start]) {
		return 0, false
	}
	d := string(g.digits[:9])
	if d[:3] == "000" || d[:3] == "666" || d[0] == '9' || d[3:5] == "00" || d[5:9] == "0000" || d == "078051120" || d == "219099999" {
		return 0, false
	}
	return end, true
}

// foretold reports whether a text speaks of social security.
func foretold(before string) bool {
	for i := range before {
		if has(before[i:], "ssn") || has(before[i:], "social security") {
			return true
		}
	}
	return false
}

// has reports whether s begins with the lower-case ASCII prefix, in any case.
func has(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// american tells where a North American number ends that begins with the first
// group: 415-555-2671, 1-415-555-2671, with dots too. Source: the numbering plan,
// NXX-NXX-XXXX with N from 2 to 9, and no exchange N11.
func (g *groups) american(text string) (int, bool) {
	at := 0
	end, sep, ok := g.layout(text, 3, 3, 4)
	if !ok {
		at = 1
		if end, sep, ok = g.layout(text, 1, 3, 3, 4); !ok || g.digits[0] != '1' {
			return 0, false
		}
	}
	return end, sep != ' ' && plan(g.digits[at:at+6])
}

// plan reports whether area and exchange are of the North American plan.
func plan(d []byte) bool {
	return d[0] >= '2' && d[1] != '9' && d[3] >= '2' && (d[4] != '1' || d[5] != '1') && (d[1] != '1' || d[2] != '1')
}

// american takes the number whose area is in the parenthesis at i: (415) 555-2671.
func american(text string, i int) (Span, bool) {
	if len(text) < i+13 || text[i+4] != ')' || within(text, i-1) {
		return Span{}, false
	}
	at := i + 5
	if text[at] == ' ' {
		at++
	}
	g := group(text, at)
	end, sep, ok := g.layout(text, 3, 4)
	if !ok || sep == 0 {
		return Span{}, false
	}
	d := [6]byte{text[i+1], text[i+2], text[i+3], g.digits[0], g.digits[1], g.digits[2]}
	if !isDigit(d[0]) || !isDigit(d[1]) || !isDigit(d[2]) || !plan(d[:]) {
		return Span{}, false
	}
	return Span{Phone, i, end}, true
}

// phone takes the number in E.164 at the plus at i: a country's code and 8 to 15
// digits in all, with a space, hyphen, dot or parentheses between them.
func phone(text string, i int) (Span, bool) {
	if within(text, i-1) || i > 0 && (text[i-1] == '+' || text[i-1] == ')') {
		return Span{}, false
	}
	var digits [3]byte
	n, end := 0, i
	for at := i + 1; at < len(text); {
		if c := text[at]; isDigit(c) {
			if n == 15 {
				return Span{}, false
			}
			if n < len(digits) {
				digits[n] = c
			}
			at, n = at+1, n+1
			end = at
			continue
		}
		to := at
		for to < len(text) && to-at < 2 && n > 0 && strings.IndexByte(" -.()", text[to]) >= 0 {
			to++
		}
		if to == at || to == len(text) || !isDigit(text[to]) {
			break
		}
		if run := digitsFrom(text, to); n >= 8 && n+run > 15 || n >= 11 && run > 4 {
			break // another number begins
		}
		at = to
	}
	if n < 8 || !ends(text, end) || !country(digits) {
		return Span{}, false
	}
	return Span{Phone, i, end}, true
}

func digitsFrom(text string, i int) int {
	n := 0
	for i+n < len(text) && isDigit(text[i+n]) && n <= 15 {
		n++
	}
	return n
}

// country reports whether a number begins with a country's code that is in use.
func country(d [3]byte) bool {
	if d[0] == '1' {
		return d[1] >= '2' // an area of the North American plan
	}
	return codes[d[0]-'0'][d[1]-'0'] || codes3[int(d[0]-'0')*100+int(d[1]-'0')*10+int(d[2]-'0')]
}

// The countries' codes of two digits (Russia's and Kazakhstan's 7 is one with
// any that follows) and of three. Source: ITU-T E.164, list of assigned codes.
var codes = func() (t [10][10]bool) {
	for _, c := range strings.Fields("70 71 72 73 74 75 76 77 78 79 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 " +
		"60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98") {
		t[c[0]-'0'][c[1]-'0'] = true
	}
	return t
}()

var codes3 = func() (t [1000]bool) {
	for _, c := range strings.Fields("211 212 213 216 218 220 221 222 223 224 225 226 227 228 229 230 231 232 233 234 235 236 237 238 239 " +
		"240 241 242 243 244 245 246 247 248 249 250 251 252 253 254 255 256 257 258 260 261 262 263 264 265 266 267 268 269 290 291 297 298 299 " +
		"350 351 352 353 354 355 356 357 358 359 370 371 372 373 374 375 376 377 378 379 380 381 382 383 385 386 387 389 " +
		"420 421 423 500 501 502 503 504 505 506 507 508 509 590 591 592 593 594 595 596 597 598 599 " +
		"670 672 673 674 675 676 677 678 679 680 681 682 683 685 686 687 688 689 690 691 692 " +
		"800 808 850 852 853 855 856 870 878 880 881 882 883 886 888 " +
		"960 961 962 963 964 965 966 967 968 970 971 972 973 974 975 976 977 979 992 993 994 995 996 998") {
		t[int(c[0]-'0')*100+int(c[1]-'0')*10+int(c[2]-'0')] = true
	}
	return t
}()
