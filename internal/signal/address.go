package signal

// address4 takes the IPv4 address at i, unless it is of no machine: this one, any
// one, many (0/8, 127/8, 224/3).
func address4(text string, i int) (Span, bool) {
	at, first := i, 0
	for octet := range 4 {
		n, from := 0, at
		for at < len(text) && isDigit(text[at]) && at-from < 3 {
			n = n*10 + int(text[at]-'0')
			at++
		}
		if at == from || n > 255 || at-from > 1 && text[from] == '0' {
			return Span{}, false
		}
		if octet == 0 {
			first = n
		}
		if octet < 3 {
			if at >= len(text) || text[at] != '.' {
				return Span{}, false
			}
			at++
		}
	}
	if !ends(text, at) || first == 0 || first == 127 || first >= 224 {
		return Span{}, false
	}
	return Span{IP, i, at}, true
}

// address6 takes the IPv6 address at i that a machine may have: of 2000::/3 and
// with four digits in the first group, unique local (fc00::/7) or of a link
// (fe80::/10). Others look like names of programs: a::b.
func address6(text string, i int) (Span, bool) {
	if i+5 > len(text) || text[i+4] != ':' || !prefix6(text[i:i+4]) || i > 0 && text[i-1] == ':' {
		return Span{}, false
	}
	groups, short, at := 0, false, i
	for at < len(text) {
		from := at
		for at < len(text) && isHex(text[at]) && at-from < 4 {
			at++
		}
		if from == at || within(text, at) {
			return Span{}, false
		}
		groups++
		if at+1 >= len(text) || text[at] != ':' || groups == 8 {
			break
		}
		if text[at+1] == ':' {
			if short {
				break
			}
			short = true
			at += 2
			if at == len(text) || !isHex(text[at]) {
				break // it ends with the short form
			}
			continue
		}
		if !isHex(text[at+1]) {
			break
		}
		at++
	}
	if groups != 8 && !short || groups > 7 && short || within(text, at) {
		return Span{}, false
	}
	return Span{IP, i, at}, true
}

func prefix6(s string) bool {
	for j := range 4 {
		if !isHex(s[j]) {
			return false
		}
	}
	switch a, b := s[0], s[1]|0x20; {
	case a == '2' || a == '3':
		return true
	case a|0x20 == 'f':
		return b == 'c' || b == 'd' || b == 'e' && (s[2] >= '8' && s[2] <= '9' || s[2]|0x20 == 'a' || s[2]|0x20 == 'b')
	}
	return false
}

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }
