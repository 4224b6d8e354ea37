package signal

import "strings"

// pattern is what follows country and check digits: pieces of a length and what
// they are made of, n digits, a letters, c both, as the registry writes them.
type pattern struct {
	country [2]byte
	length  uint8 // of the whole IBAN
	pieces  string
}

// registry are the countries' patterns. Source: SWIFT, IBAN Registry, release 99
// of 2024.
var registry = strings.Fields(`
AD24:4n4n12c AE23:3n16n AL28:8n16c AT20:5n11n AZ28:4a20c BA20:16n BE16:12n BG22:4a4n2n8c BH22:4a14c BI27:23n BR29:23n1a1c BY28:4c4n16c
CH21:5n12c CR22:18n CY28:8n16c CZ24:20n DE22:18n DJ27:23n DK18:14n DO28:4c20n EE20:16n EG29:25n ES24:20n FI18:14n FK18:2a12n FO18:14n
FR27:10n11c2n GB22:4a14n GE22:2a16n GI23:4a15c GL18:14n GR27:7n16c GT28:4c20c HN28:4a20n HR21:17n HU28:24n IE22:4a14n IL23:19n IQ23:4a15n
IS26:22n IT27:1a10n12c JO30:4a4n18c KW30:4a22c KZ20:3n13c LB28:4n20c LC32:4a24c LI21:5n12c LT20:16n LU20:3n13c LV21:4a13c LY25:21n
MC27:10n11c2n MD24:2c18c ME22:18n MK19:3n10c2n MN20:16n MR27:23n MT31:4a5n18c MU30:4a19n3a NI28:4a20n NL18:4a10n NO15:11n OM23:3n16c
PK24:4a16c PL28:24n PS29:4a21c PT25:21n QA29:4a21c RO24:4a16c RS22:18n RU33:14n15c SA24:2n18c SC31:4a20n3a SD18:14n SE24:20n SI19:15n
SK24:20n SM27:1a10n12c SO23:19n ST25:21n SV28:4a20n TL23:19n TN24:20n TR26:5n1n16c UA29:6n19c VA22:18n VG24:4a16n XK20:16n YE30:4a4n18c`)

// countries finds a pattern by the letters of its country; length 0: none.
var countries = func() (t [26 * 26]pattern) {
	for _, row := range registry {
		t[int(row[0]-'A')*26+int(row[1]-'A')] = pattern{[2]byte{row[0], row[1]}, (row[2]-'0')*10 + row[3] - '0', row[5:]}
	}
	return t
}()

// account takes the IBAN at i, in one piece or in groups of four with a space
// between them.
func account(text string, i int) (Span, bool) {
	p := &countries[int(text[i]&^0x20-'A')*26+int(text[i+1]&^0x20-'A')]
	if p.length == 0 {
		return Span{}, false
	}
	var code [34]byte
	n, at, spaced := 0, i, false
	for n < int(p.length) {
		if at >= len(text) {
			return Span{}, false
		}
		c := text[at]
		if c == ' ' && n > 0 && n%4 == 0 && (n == 4 || spaced) {
			spaced = true
			at++
			continue
		}
		if !isAlnum(c) || spaced && n%4 == 0 && text[at-1] != ' ' {
			return Span{}, false
		}
		if isLetter(c) {
			c &^= 0x20
		}
		code[n] = c
		n, at = n+1, at+1
	}
	if !ends(text, at) || !p.fits(code[4:n]) || !mod97(code[:n]) {
		return Span{}, false
	}
	return Span{IBAN, i, at}, true
}

// fits reports whether the rest of an IBAN is made as its country makes it.
func (p *pattern) fits(rest []byte) bool {
	for s := p.pieces; s != ""; {
		n := 0
		for isDigit(s[0]) {
			n, s = n*10+int(s[0]-'0'), s[1:]
		}
		if n > len(rest) {
			return false
		}
		for _, c := range rest[:n] {
			if s[0] == 'n' && !isDigit(c) || s[0] == 'a' && isDigit(c) {
				return false
			}
		}
		rest, s = rest[n:], s[1:]
	}
	return len(rest) == 0
}

// mod97 checks the digits of an IBAN: ISO 7064, MOD 97-10.
func mod97(code []byte) bool {
	sum := 0
	for i := range code {
		if c := code[(i+4)%len(code)]; isDigit(c) {
			sum = (sum*10 + int(c-'0')) % 97
		} else {
			sum = (sum*100 + int(c-'A') + 10) % 97
		}
	}
	return sum == 1
}
