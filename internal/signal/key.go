package signal

import (
	"math"
	"strings"
)

// maker is a mark by which a key is known, and the shape of what follows it.
type maker struct {
	mark  string
	least int    // bytes after the mark
	most  int    // 0: any number up to maxKey
	of    string // u upper case and digits, h hexadecimal, w letters and digits, b those, '_' and '-', d those and dots
}

// maxKey bounds a key or token.
const maxKey = 4096

// makers are the marks of keys, by what their makers document or their scanners
// look for; GitHub's "Supported secret scanning patterns", 2025, lists most. What is
// meant to be public, such as Stripe's pk_, is none.
var makers = []maker{
	{"sk-", 20, 0, "b"}, // OpenAI, Anthropic, OpenRouter, DeepSeek and others
	{"gsk_", 40, 64, "w"}, {"xai-", 60, 0, "w"}, {"pplx-", 32, 0, "w"}, {"nvapi-", 40, 0, "b"}, {"hf_", 30, 40, "w"}, {"r8_", 32, 48, "w"},
	{"csk-", 32, 0, "w"}, {"tvly-", 20, 0, "b"}, {"jina_", 32, 0, "b"}, {"pa-", 40, 48, "b"}, {"fw_", 20, 32, "w"}, {"tgp_v1_", 32, 0, "b"},
	{"AIza", 35, 35, "b"}, {"ya29.", 30, 0, "d"}, {"GOCSPX-", 28, 28, "b"}, // Google
	{"AKIA", 16, 16, "u"}, {"ASIA", 16, 16, "u"}, {"ABIA", 16, 16, "u"}, {"ACCA", 16, 16, "u"}, // AWS
	{"ABSK", 100, 0, "b"},
	{"ghp_", 36, 0, "w"}, {"gho_", 36, 0, "w"}, {"ghu_", 36, 0, "w"}, {"ghs_", 36, 0, "w"}, {"ghr_", 36, 0, "w"}, {"github_pat_", 50, 0, "b"},
	{"glpat-", 20, 0, "d"}, {"gldt-", 20, 0, "b"}, {"glrt-", 20, 0, "b"},
	{"xoxb-", 20, 0, "b"}, {"xoxp-", 20, 0, "b"}, {"xoxa-", 20, 0, "b"}, {"xoxr-", 20, 0, "b"}, {"xoxs-", 20, 0, "b"}, {"xoxe-", 20, 0, "b"}, {"xapp-", 20, 0, "b"},
	{"sk_live_", 16, 0, "w"}, {"sk_test_", 16, 0, "w"}, {"rk_live_", 16, 0, "w"}, {"rk_test_", 16, 0, "w"}, {"whsec_", 24, 0, "w"}, // Stripe
	{"SG.", 60, 70, "d"}, {"npm_", 36, 36, "w"}, {"pypi-", 80, 0, "b"}, {"dop_v1_", 64, 64, "h"}, {"dckr_pat_", 20, 0, "b"},
	{"shpat_", 32, 32, "h"}, {"shpss_", 32, 32, "h"}, {"shpca_", 32, 32, "h"}, {"shppa_", 32, 32, "h"},
	{"sq0atp-", 22, 22, "b"}, {"sq0csp-", 43, 43, "b"}, {"lin_api_", 40, 0, "w"}, {"ntn_", 40, 0, "w"}, {"sntrys_", 40, 0, "b"},
	{"SK", 32, 32, "h"}, {"dapi", 32, 34, "h"}, {"hvs.", 24, 0, "b"}, {"AGE-SECRET-KEY-1", 58, 58, "u"},
}

// byFirst are the makers whose marks begin with a byte.
var byFirst = func() (t [128][]maker) {
	for _, m := range makers {
		t[m.mark[0]] = append(t[m.mark[0]], m)
	}
	return t
}()

// pairs are the first two bytes of marks: bit n of all.
var pairs = func() (t [1 << 10]uint64) {
	for _, m := range makers {
		pair := uint(m.mark[0])<<8 | uint(m.mark[1])
		t[pair>>6] |= 1 << (pair & 63)
	}
	return t
}()

// apiKey takes the key at i.
func apiKey(text string, i int) (Span, bool) {
	if goesOn(text, i) {
		return Span{}, false
	}
	for _, m := range byFirst[text[i]&0x7f] {
		if !strings.HasPrefix(text[i:], m.mark) {
			continue
		}
		from := i + len(m.mark)
		end, most := from, maxKey
		if m.most > 0 {
			most = m.most + 1
		}
		for end < len(text) && end-from < most && m.has(text[end]) {
			end++
		}
		for end > from && (text[end-1] == '.' || text[end-1] == '-') {
			end--
		}
		if n := end - from; n >= m.least && (m.most == 0 || n <= m.most) && !within(text, end) && drawn(text[from:end], m.of == "u") {
			return Span{APIKey, i, end}, true
		}
	}
	return Span{}, false
}

// goesOn reports whether the word at i goes on with a name or key before it, so
// that none begins here; and that what was read once is not read again.
func goesOn(text string, i int) bool {
	return i > 0 && (text[i-1] == '-' || text[i-1] == '_' || text[i-1] == '.') && within(text, i-2)
}

func (m *maker) has(c byte) bool {
	switch m.of {
	case "u":
		return isDigit(c) || c >= 'A' && c <= 'Z'
	case "h":
		return isHex(c)
	case "w":
		return isAlnum(c)
	case "d":
		return isAlnum(c) || c == '_' || c == '-' || c == '.'
	}
	return isAlnum(c) || c == '_' || c == '-'
}

// leastEntropy is in bits for each byte, of the bytes of a key as they are
// distributed in it. Sixteen drawn from 32 have less than this once in ten
// thousand; words and rows of x have no such mix of digits and letters.
const leastEntropy = 2.6

// drawn reports whether a key was drawn by chance, and is no example of one. large:
// it has no small letters, and may have no digits.
func drawn(secret string, large bool) bool {
	var count [128]uint8
	var digits, upper, lower, n int
	for j := 0; j < len(secret) && n < 128; j++ {
		c := secret[j]
		switch {
		case isDigit(c):
			digits++
		case c >= 'a' && c <= 'z':
			lower++
		case c >= 'A' && c <= 'Z':
			upper++
		default:
			continue
		}
		count[c&0x7f]++
		n++
	}
	if large && strings.Contains(secret, "EXAMPLE") || !large && digits < 2 && (upper < 4 || lower < 4) {
		return false
	}
	bits := 0.0
	for _, k := range count {
		if k > 0 {
			p := float64(k) / float64(n)
			bits -= p * math.Log2(p)
		}
	}
	return bits >= leastEntropy
}

// token takes the JSON Web Token at i: two objects and a signature in base64url
// with dots between them, as RFC 7519 has it.
func token(text string, i int) (Span, bool) {
	if goesOn(text, i) {
		return Span{}, false
	}
	at := i
	for part := range 3 {
		from := at
		for at < len(text) && at-i < maxKey && (isAlnum(text[at]) || text[at] == '_' || text[at] == '-') {
			at++
		}
		if n := at - from; n < 12 || part == 1 && text[from:from+2] != "ey" {
			return Span{}, false
		}
		if part < 2 {
			if at >= len(text) || text[at] != '.' {
				return Span{}, false
			}
			at++
		}
	}
	return Span{JWT, i, at}, true
}

// private takes the private key in PEM at i, or what there is of it.
func private(text string, i int) (Span, bool) {
	const begin, end = "-----BEGIN ", "PRIVATE KEY-----"
	if !strings.HasPrefix(text[i:], begin) {
		return Span{}, false
	}
	head := text[i+len(begin) : min(len(text), i+len(begin)+40)]
	n := strings.Index(head, end)
	if n < 0 || strings.IndexByte(head[:n], '\n') >= 0 {
		return Span{}, false
	}
	body := i + len(begin) + n + len(end)
	if stop := strings.Index(text[body:], "-----END "); stop >= 0 {
		to := body + stop + len("-----END ")
		if last := strings.Index(text[to:min(len(text), to+40)], "-----"); last >= 0 {
			return Span{APIKey, i, to + last + len("-----")}, true
		}
	}
	return Span{APIKey, i, len(text)}, true
}
