package signal

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// forge makes values of each kind, and what only looks like them.
type forge struct{ *rand.Rand }

func (f forge) pick(of string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = of[f.IntN(len(of))]
	}
	return string(b)
}

const (
	digits = "0123456789"
	small  = "abcdefghijklmnopqrstuvwxyz"
	large  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	hexes  = "0123456789abcdef"
	alnum  = digits + small + large
)

func (f forge) of(choices ...string) string { return choices[f.IntN(len(choices))] }

// grouped writes a number in groups.
func grouped(s, sep string, sizes ...int) string {
	var parts []string
	for _, n := range sizes {
		if n = min(n, len(s)); n == 0 {
			break
		}
		parts = append(parts, s[:n])
		s = s[n:]
	}
	if s != "" {
		parts = append(parts, s)
	}
	return strings.Join(parts, sep)
}

func (f forge) card(valid bool) string {
	first := f.of("4", "51", "52", "55", "2221", "2720", "34", "37", "6011", "65", "36", "38", "3528", "3589", "62")
	n := 16
	switch first {
	case "34", "37":
		n = 15
	case "36", "38":
		n = 14
	}
	s := []byte(first + f.pick(digits, n-len(first)))
	for c := byte('0'); c <= '9'; c++ {
		if s[n-1] = c; luhn(s) {
			break
		}
	}
	if !valid {
		s[n-1] = '0' + (s[n-1]-'0'+1+byte(f.IntN(9)))%10
	}
	switch {
	case f.IntN(2) == 0:
		return string(s)
	case n == 16:
		return grouped(string(s), f.of(" ", "-"), 4, 4, 4, 4)
	case n == 15:
		return grouped(string(s), f.of(" ", "-"), 4, 6, 5)
	}
	return grouped(string(s), f.of(" ", "-"), 4, 6, 4)
}

func (f forge) iban(valid bool) string {
	row := registry[f.IntN(len(registry))]
	rest := ""
	for s := row[5:]; s != ""; {
		n := 0
		for isDigit(s[0]) {
			n, s = n*10+int(s[0]-'0'), s[1:]
		}
		rest += f.pick(map[byte]string{'n': digits, 'a': large, 'c': digits + large}[s[0]], n)
		s = s[1:]
	}
	for check := 2; check < 99; check++ {
		code := []byte(fmt.Sprintf("%s%02d%s", row[:2], check, rest))
		if !mod97(code) {
			continue
		}
		if !valid {
			code[2], code[3] = code[3], code[2]
			if mod97(code) {
				code[3] = '0' + (code[3]-'0'+1)%10
			}
		}
		if f.IntN(2) == 0 {
			return string(code)
		}
		return grouped(string(code), " ", 4, 4, 4, 4, 4, 4, 4, 4)
	}
	panic("no check digits")
}

func (f forge) value(k Kind) string {
	switch k {
	case Email:
		return f.pick(small+digits, 1+f.IntN(8)) + f.of("", "."+f.pick(small, 5), "+"+f.pick(small, 3), "_"+f.pick(digits, 2)) + "@" +
			f.pick(small, 3+f.IntN(8)) + f.of("", "-"+f.pick(small, 3), "."+f.pick(small, 4)) + "." + f.of("com", "de", "co.uk", "io", "museum", "org")
	case Card:
		return f.card(true)
	case IBAN:
		return f.iban(true)
	case SSN:
		return fmt.Sprintf("%03d-%02d-%04d", 1+f.IntN(665), 1+f.IntN(99), 1+f.IntN(9999))
	case Phone:
		n := f.pick(digits, 9)
		return f.of("+49 "+n[:3]+" "+n[3:], "+1 "+f.pick("23456789", 1)+"05-"+f.pick("23456789", 3)+"-"+n[:4], "+44 20 "+n[:4]+" "+n[4:8], "+33"+n,
			"+86 138 "+n[:4]+" "+n[4:8], "+7 (495) "+n[:3]+"-"+n[3:5]+"-"+n[5:7], "("+f.pick("23456789", 1)+"05) "+f.pick("23456789", 3)+"-"+n[:4],
			f.pick("23456789", 1)+"05-"+f.pick("23456789", 3)+"-"+n[:4])
	case IP:
		if f.IntN(3) == 0 {
			g := func() string { return f.pick(hexes, 4) }
			return f.of("2001:db8:"+g()+":"+g()+":"+g()+":"+g()+":"+g()+":"+g(), "2a02:"+g()+"::"+g(), "fe80::"+g()+":"+g()+":"+g(), "2001:db8::1")
		}
		return fmt.Sprintf("%d.%d.%d.%d", 1+f.IntN(126), f.IntN(256), f.IntN(256), f.IntN(256))
	case JWT:
		e := base64.RawURLEncoding
		return e.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + e.EncodeToString([]byte(`{"sub":"`+f.pick(digits, 10)+`"}`)) + "." + f.pick(alnum+"-_", 42) + "A"
	}
	return f.of("sk-proj-"+f.pick(alnum+"-_", 155)+"A", "sk-"+f.pick(alnum, 48), "sk-ant-api03-"+f.pick(alnum+"-_", 92)+"AA", "AKIA"+f.pick("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
		"ghp_"+f.pick(alnum, 36), "AIza"+f.pick(alnum, 35), "gsk_"+f.pick(alnum, 52), "hf_"+f.pick(small+large, 34), "xoxb-"+f.pick(digits, 12)+"-"+f.pick(digits, 12)+"-"+f.pick(alnum, 24),
		"sk_live_"+f.pick(alnum, 24), "glpat-"+f.pick(alnum, 20), "npm_"+f.pick(alnum, 36), "SG."+f.pick(alnum, 22)+"."+f.pick(alnum, 43))
}

// decoy looks like something and is nothing of it.
func (f forge) decoy() string {
	switch f.IntN(18) {
	case 0, 1, 2:
		return f.card(false)
	case 3, 4, 5:
		return f.iban(false)
	case 6:
		return fmt.Sprint(1600000000000 + f.Int64N(200000000000)) // milliseconds
	case 7:
		return f.pick(hexes, 8) + "-" + f.pick(hexes, 4) + "-4" + f.pick(hexes, 3) + "-a" + f.pick(hexes, 3) + "-" + f.pick(hexes, 12)
	case 8:
		return f.pick(hexes, 40)
	case 9:
		return fmt.Sprintf("20%02d-%02d-%02d %02d:%02d:%02d", f.IntN(30), 1+f.IntN(12), 1+f.IntN(28), f.IntN(24), f.IntN(60), f.IntN(60))
	case 10:
		return f.of("v1.2.3.4", "go1.26.0", "127.0.0.1", "0.0.0.0", "1.2.3", "10.256.1.1", "std::vector<int>", "a::b", "00:1b:44:11:3a:b7")
	case 11:
		return f.of("sk-your-api-key-goes-here", "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "AKIAXXXXXXXXXXXXXXXX", "task-runner-configuration-file", "eyJhbGciOi")
	case 12:
		return f.of("@alice", "git@github.com:a/b.git", "logo@2x.png", "user@localhost", "lodash@4.17.21", "a @ b.com")
	case 13:
		return f.of("000-12-3456", "666-45-6789", "912-34-5678", "123-00-4567", "123-45-0000", "12-345-6789")
	case 14:
		return f.of("3 + 4 = 7", "x+1234567", "C++11", "+5 points", "1+1234567890", "+0123456789")
	case 15:
		return "0." + f.pick(digits, 16) + f.of("", "e-10")
	case 16:
		return "ORD-" + f.card(true)[:4] + "-" + f.pick(digits, 13)
	}
	return fmt.Sprintf("%d,%03d,%03d.%02d", 1+f.IntN(9), f.IntN(1000), f.IntN(1000), f.IntN(100))
}

var frames = []string{"My number is %s, thanks.", "Bitte überweisen Sie auf %s.", "Kontakt: %s", "%s", "{\"value\": \"%s\", \"n\": 3}", "请联系%s谢谢", "a|%s|b", "Is it (%s)?\nYes.",
	"x = '%s';", "- %s\n- none", "See %s; then go on."}

// TestFind makes texts from a seed and measures what is found of what was put
// into them.
func TestFind(t *testing.T) {
	f := forge{rand.New(rand.NewPCG(5, 17))}
	var made, found, false_ [kinds]int
	for range 20_000 {
		frame := frames[f.IntN(len(frames))]
		at := strings.Index(frame, "%s")
		if f.IntN(2) == 0 {
			d := f.decoy()
			for _, s := range Find(nil, frame[:at]+d+frame[at+2:]) {
				false_[s.Kind]++
				if false_[s.Kind] < 4 {
					t.Logf("%v in %q", s.Kind, d)
				}
			}
			continue
		}
		k := Kind(f.IntN(int(kinds)))
		v := f.value(k)
		text := frame[:at] + v + frame[at+2:]
		made[k]++
		hit := false
		for _, s := range Find(nil, text) {
			if s.Kind == k && s.Start == at && s.End == at+len(v) {
				hit = true
				found[k]++
			} else {
				false_[s.Kind]++
			}
		}
		if !hit && made[k]-found[k] < 4 {
			t.Logf("%v %q in %q: %v", k, v, text, Find(nil, text))
		}
	}
	for k := range kinds {
		precision := float64(found[k]) / float64(found[k]+false_[k])
		recall := float64(found[k]) / float64(made[k])
		t.Logf("%-8v precision %.4f recall %.4f of %d", k, precision, recall, made[k])
		if recall < 0.98 || precision < 0.98 || (k == Card || k == IBAN) && precision < 0.99 {
			t.Errorf("%v: precision %.4f, recall %.4f", k, precision, recall)
		}
	}
}

func TestFindOne(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "",
		"4111 1111 1111 1111 12/26":       "[CARD] 12/26",
		"order 12 4111111111111111":       "order 12 [CARD]",
		"id,4111111111111111,x":           "id,[CARD],x",
		"41111111111111111":               "41111111111111111",
		"3.4111111111111111":              "3.4111111111111111",
		"mail a.b@c.de, or d@e.org.":      "mail [EMAIL], or [EMAIL].",
		"<mailto:müller@straße.de>":       "<mailto:[EMAIL]>",
		"邮箱test@example.com。":             "邮箱[EMAIL]。",
		"ssn 123456789":                   "ssn [SSN]",
		"number 123456789":                "number 123456789",
		"Social Security No. 123 45 6789": "Social Security No. [SSN]",
		"tel:+49-30-901820":               "tel:[PHONE]",
		"+49 30 901820 and +49 30 901821": "[PHONE] and [PHONE]",
		"http://203.0.113.7:8080/x":       "http://[IP]:8080/x",
		"[2001:db8::8a2e:370:7334]:443":   "[[IP]]:443",
		"2001:db8::/32":                   "[IP]/32",
		"Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U": "Bearer [JWT]",
		"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nok":                            "[API_KEY]\nok",
		"-----BEGIN PRIVATE KEY-----\nMIIE":                                                                   "[API_KEY]",
		"-----BEGIN CERTIFICATE-----\nMIIE":                                                                   "-----BEGIN CERTIFICATE-----\nMIIE",
		"DE89 3704 0044 0532 0130 00 and more":                                                                "[IBAN] and more",
		"de89370400440532013000":                                                                              "[IBAN]",
		"DE89 3704 0044 0532 0130 01":                                                                         "DE89 3704 0044 0532 0130 01",
		"GB29NWBK60161331926819 GB29NWBK60161331926818":                                                       "[IBAN] GB29NWBK60161331926818",
	} {
		if got := string(mask(nil, text, Find(nil, text), AllKinds)); got != want {
			t.Errorf("%q: %q, not %q", text, got, want)
		}
	}
	text := "a@b.de 203.0.113.7"
	if got := string(mask(nil, text, Find(nil, text), Kinds(0).With(IP))); got != "a@b.de [IP]" {
		t.Errorf("one kind: %q", got)
	}
	if got := KindsOf(text); got != Kinds(0).With(Email).With(IP) {
		t.Errorf("kinds: %v", got.Names())
	}
}

func FuzzFind(f *testing.F) {
	for _, s := range []string{"+", "(415) 555-2671", "a@b.cd", "1.2.3.4", "eyJhbGciOiJIUzI1NiJ9.ey", "sk-", "DE89 3704 0044 0532 0130 00", "2001:db8::", "-----BEGIN PRIVATE KEY-----", "4111-1111-1111-1111-", "é@é.é", "_A000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		spans := Find(nil, text)
		last := 0
		for _, s := range spans {
			if s.Start < last || s.End <= s.Start || s.End > len(text) {
				t.Fatalf("%v after %d in %d bytes", s, last, len(text))
			}
			last = s.End
		}
		if masked := mask(nil, text, spans, AllKinds); len(masked) > len(text)+8*len(spans) {
			t.Fatalf("%d bytes of %d", len(masked), len(text))
		}
	})
}

// mask appends text with the spans that are of one of the kinds replaced by
// their masks. spans are as Find returns them.
func mask(dst []byte, text string, spans []Span, of Kinds) []byte {
	at := 0
	for _, s := range spans {
		if of.Has(s.Kind) {
			dst = append(dst, text[at:s.Start]...)
			dst = append(dst, s.Kind.Mask()...)
			at = s.End
		}
	}
	return append(dst, text[at:]...)
}
