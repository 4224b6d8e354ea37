package config

import (
	"encoding/json"
	"math"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of texts.
const (
	maxName   = 256  // characters of a name
	maxText   = 4096 // characters of any other text
	maxSecret = 64 << 10
	minKey    = 8 // characters of a key that opens the gateway
)

// number is JSON's, with a sign and an open end allowed as in YAML.
var number = regexp.MustCompile(`^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?$`)

func isNumber(s string) bool  { return number.MatchString(s) }
func isLetter(b byte) bool    { return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' }
func isDigit(b byte) bool     { return b >= '0' && b <= '9' }
func isAlnum(b byte) bool     { return isLetter(b) || isDigit(b) }
func of[T any](x T) *T        { return &x }
func format(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
func isGraphic(b byte) bool { return b > ' ' && b < 0x7f }
func allBytes(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

// text is a text that check accepts; check returns what is wrong with it and
// what to write, or "".
func text(doc schema, check func(string) string) spec[string] {
	doc.Type = "string"
	return spec[string]{doc: doc, read: func(d *decoder, v value, dst *string) {
		s, ok := d.line(v)
		if !ok {
			return
		}
		if msg := check(s); msg != "" {
			d.failf(v, "%s is %s: %s", subject(v.path), v.show(), msg)
			return
		}
		*dst = s
	}}
}

// line is text that is bounded and on one line.
func (d *decoder) line(v value) (string, bool) {
	s, ok := d.text(v)
	if ok && (len(s) > maxText || !printable(s)) {
		d.failf(v, "%s is longer than %d bytes or holds control characters: write a shorter text on one line", subject(v.path), maxText)
		return "", false
	}
	return s, ok
}

// oneOf is a text among names.
func oneOf(names ...string) spec[string] {
	s := text(schema{}, func(s string) string {
		if slices.Contains(names, s) {
			return ""
		}
		return "write one of " + strings.Join(names, ", ")
	})
	s.doc = orEnv(schema{Enum: literals(names)})
	return s
}

// whole is a whole number from low to high.
func whole[T int | int64](low, high T) spec[T] {
	doc := schema{Type: "integer", Minimum: of(float64(low)), Maximum: of(float64(high))}
	return spec[T]{doc: orEnv(doc), read: func(d *decoder, v value, dst *T) {
		s, ok := d.text(v)
		if !ok {
			return
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < int64(low) || n > int64(high) {
			d.failf(v, "%s is %s: write a whole number from %d to %d", subject(v.path), v.show(), low, high)
			return
		}
		*dst = T(n)
	}}
}

// decimal is a number from low to high.
func decimal(low, high float64) spec[float64] {
	doc := schema{Type: "number", Minimum: of(low), Maximum: of(high)}
	return spec[float64]{doc: orEnv(doc), read: func(d *decoder, v value, dst *float64) {
		s, ok := d.text(v)
		if !ok {
			return
		}
		x, err := strconv.ParseFloat(s, 64)
		if err != nil || !isNumber(s) || math.IsInf(x, 0) || x < low || x > high {
			d.failf(v, "%s is %s: write a number from %s to %s", subject(v.path), v.show(), format(low), format(high))
			return
		}
		*dst = x
	}}
}

// boolean is true or false.
func boolean() spec[bool] {
	return spec[bool]{doc: orEnv(schema{Type: "boolean"}), read: func(d *decoder, v value, dst *bool) {
		s, ok := d.text(v)
		switch {
		case !ok:
		case strings.EqualFold(s, "true"):
			*dst = true
		case strings.EqualFold(s, "false"):
			*dst = false
		default:
			d.failf(v, "%s is %s: write true or false", subject(v.path), v.show())
		}
	}}
}

// span is a duration in Go's notation, from low to high.
func span(low, high time.Duration) spec[time.Duration] {
	doc := schema{Type: "string", Description: "a duration such as 800ms, 1.5s or 10m"}
	return spec[time.Duration]{doc: doc, read: func(d *decoder, v value, dst *time.Duration) {
		s, ok := d.text(v)
		if !ok {
			return
		}
		x, err := time.ParseDuration(s)
		switch {
		case err != nil && isNumber(s):
			d.failf(v, "%s is %s, which has no unit: write it with ms, s, m or h, such as 1.5s", subject(v.path), v.show())
		case err != nil:
			d.failf(v, "%s is %s: write a duration such as 800ms, 1.5s or 10m", subject(v.path), v.show())
		case x < low || x > high:
			d.failf(v, "%s is %s: write a duration from %s to %s", subject(v.path), v.show(), low, high)
		default:
			*dst = x
		}
	}}
}

var units = []struct {
	name string
	size int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, // before those that end alike
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1},
}

// size is a number of bytes from low to high.
func size(low, high int64) spec[int64] {
	doc := schema{AnyOf: []*schema{
		{Type: "integer", Minimum: of(float64(low)), Maximum: of(float64(high))},
		{Type: "string", Pattern: `^[0-9]+ ?(B|KB|MB|GB|KiB|MiB|GiB)?$`},
		{Ref: "#/$defs/env"},
	}}
	return spec[int64]{doc: doc, read: func(d *decoder, v value, dst *int64) {
		s, ok := d.text(v)
		if !ok {
			return
		}
		for _, u := range units {
			digits, ok := strings.CutSuffix(s, u.name)
			if !ok {
				continue
			}
			n, err := strconv.ParseInt(strings.TrimSuffix(digits, " "), 10, 64)
			if err == nil && n >= 0 && n <= high/u.size && n*u.size >= low {
				*dst = n * u.size
				return
			}
			break
		}
		d.failf(v, "%s is %s: write a size such as 64KiB, 10MB or 32MiB, from %d to %d bytes", subject(v.path), v.show(), low, high)
	}}
}

// secret is a text that is never shown and may stand in a header.
func secret(least int) spec[Secret] {
	doc := schema{Type: "string", MinLength: least, MaxLength: maxSecret, Description: `a secret: write "${NAME}" or "${file:/path}"`}
	if least > 1 {
		doc.MinLength = 0 // ${X} is shorter than what it stands for may be
	}
	return spec[Secret]{doc: doc, read: func(d *decoder, v value, dst *Secret) {
		s, ok := d.text(v)
		if !ok {
			return
		}
		if msg := headerText(s); msg != "" {
			d.failf(v, "%s %s", subject(v.path), msg)
			return
		}
		switch {
		case s == "":
			d.failf(v, "%s is empty: write a value", subject(v.path))
		case len(s) < least:
			d.failf(v, "%s is too short: write at least %d characters", subject(v.path), least)
		default:
			*dst = Secret(s)
		}
	}}
}

// headerText returns what keeps s from being the value of a header, without
// showing it.
func headerText(s string) string {
	switch {
	case len(s) > maxSecret:
		return "is longer than 65536 bytes: write a shorter one"
	case strings.TrimSpace(s) != s:
		return "begins or ends with a space or line break: remove it"
	case !allBytes(s, func(b byte) bool { return b >= ' ' && b < 0x7f }):
		return "holds a line break, a control character or one outside ASCII: write it on one line in ASCII"
	}
	return ""
}

// operatorKey is a key that may be left empty in the file, but not by a
// variable that turns out to be empty.
func operatorKey() spec[Secret] {
	s := secret(minKey)
	read := s.read
	s.read = func(d *decoder, v value, dst *Secret) {
		if v.kind == kindText && v.node.text == "" {
			return
		}
		read(d, v, dst)
	}
	return s
}

// address is where to listen.
func address(check func(string) string) spec[string] {
	return text(schema{Description: "HOST:PORT", MaxLength: maxText}, check)
}

func checkAddress(s string) string {
	const want = "write HOST:PORT, such as 127.0.0.1:8080, [::1]:8080 or :8080"
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return want
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return "the port is a number from 0 to 65535: " + want
	}
	if host != "" && !isHost(host) {
		return "the host is a name or an IP address: " + want
	}
	return ""
}

// isHost reports whether s is an IP address or a name for DNS.
func isHost(s string) bool {
	if addr, _, _ := strings.Cut(s, "%"); net.ParseIP(addr) != nil {
		return printable(s) && allBytes(s, isGraphic)
	}
	return s != "" && len(s) <= 253 && isAlnum(s[0]) && allBytes(s, func(b byte) bool {
		return isAlnum(b) || b == '-' || b == '.' || b == '_'
	})
}

// checkURL accepts the base of a vendor's API.
func checkURL(s string) string {
	const want = "write a URL such as https://api.example.com/v1"
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "" || !allBytes(s, isGraphic):
		return want
	case u.User != nil:
		return "a URL must not hold credentials: put them into api_key or headers"
	case !isHost(u.Hostname()) || strings.HasSuffix(u.Host, ":"):
		return "the host is missing or not valid: " + want
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(s, "#"):
		return "a base URL ends with its path: remove what begins with ? or #"
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return "the port is a number from 1 to 65535: " + want
		}
	}
	return ""
}

// jsonText is the JSON of a text.
func jsonText(s string) json.RawMessage {
	b, _ := json.Marshal(s) // a string always encodes
	return b
}
