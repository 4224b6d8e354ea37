package scan

import "bytes"

// After returns what follows the member called key (quotes included) and its
// colon, wherever in b it stands; nil if it does not. A quoted name that is
// followed by a colon cannot stand inside a JSON string, where quotes are
// escaped.
func After(b, key []byte) []byte {
	for {
		i := bytes.Index(b, key)
		if i < 0 {
			return nil
		}
		b = b[i+len(key):]
		if v := bytes.TrimLeft(b, " \t\r\n"); len(v) > 0 && v[0] == ':' {
			return bytes.TrimLeft(v[1:], " \t\r\n")
		}
	}
}

// TextLen is the length of the JSON string that b begins with, escapes counted
// as they stand.
func TextLen(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i - 1
		}
	}
	return len(b) - 1
}
