package telemetry

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sluicegate/sluice/internal/llm"
)

// format is a way to write the access log. Both functions append whole lines.
type format struct {
	line    func(b []byte, t *llm.Trail) []byte
	missing func(b []byte, now time.Time, lines uint64) []byte
}

var (
	jsonFormat = format{jsonLine, jsonMissing}
	textFormat = format{textLine, textMissing}
)

// maxName bounds what one name takes in a line, in bytes before escaping;
// clients choose some of them.
const maxName = 256

// jsonLine appends t as one flat JSON object. Empty fields are left out.
func jsonLine(b []byte, t *llm.Trail) []byte {
	level := "info"
	if t.Status >= 500 {
		level = "warn"
	}
	b = jsonHead(b, t.End, level, "request")
	b = field(b, "id", t.ID)
	b = field(b, "key", t.Caller.Key)
	b = field(b, "session", t.Caller.Session)
	if t.Op != 0 {
		b = field(b, "op", t.Op.String())
	}
	b = field(b, "model", t.Model)
	b = field(b, "answered", t.Answered)
	b = field(b, "target", t.Target)
	b = field(b, "strategy", t.Strategy)
	b = field(b, "arm", t.Arm)
	b = field(b, "task", t.Task)
	b = yes(b, "stream", t.Stream)
	b = count(b, "status", int64(t.Status))
	b = field(b, "outcome", t.Outcome)

	attempts := t.Attempts()
	u, cost := total(attempts)
	b = count(b, "attempts", int64(len(attempts)))
	b = count(b, "input_tokens", u.Input)
	b = count(b, "cached_read_tokens", u.CachedRead)
	b = count(b, "output_tokens", u.Output)
	if cost != 0 {
		b = cost.Append(key(b, "cost_usd"))
	}
	b = yes(b, "estimated", u.Estimated)
	b = field(b, "lossy", strings.Join(t.Lossy, ", "))
	b = millis(key(b, "duration_ms"), t.End.Sub(t.Start))
	if !t.First.IsZero() {
		b = millis(key(b, "first_token_ms"), t.First.Sub(t.Start))
	}
	if t.Queued > 0 {
		b = millis(key(b, "queued_ms"), t.Queued)
	}
	if len(attempts) > 0 {
		b = millis(key(b, "gateway_ms"), t.End.Sub(t.Start)-busy(t, attempts)-t.Queued)
	}
	if len(attempts) > 1 {
		b = tried(b, attempts)
		b = yes(b, "hedged", noted(attempts, llm.NoteHedge))
		b = yes(b, "resumed", noted(attempts, llm.NoteResume))
		b = yes(b, "shadowed", noted(attempts, llm.NoteShadow))
	}
	b = count(b, "degraded", int64(t.Degraded))
	b = field(b, "risk", t.Risk)
	if len(t.Guards) > 0 {
		b = said(b, t.Guards)
	}
	if t.Err != nil {
		b = field(b, "error", t.Err.Kind.String())
	}
	return append(b, "}\n"...)
}

// noted reports whether one of the attempts has a note.
func noted(attempts []*llm.Attempt, note string) bool {
	return slices.ContainsFunc(attempts, func(a *llm.Attempt) bool { return a.Note == note })
}

// tried appends the attempts in order, each as "target:outcome".
func tried(b []byte, attempts []*llm.Attempt) []byte {
	b = append(key(b, "tried"), '[')
	for i, a := range attempts {
		if i > 0 {
			b = append(b, ',')
		}
		b = escape(append(b, '"'), a.Target)
		b = escape(append(b, ':'), a.Outcome)
		b = append(b, '"')
	}
	return append(b, ']')
}

// said appends what guards said in order, each as "guard:stage:action".
func said(b []byte, guards []llm.Verdict) []byte {
	b = append(key(b, "guards"), '[')
	for i, v := range guards {
		if i > 0 {
			b = append(b, ',')
		}
		b = escape(append(b, '"'), v.Guard)
		b = escape(append(b, ':'), v.Stage)
		b = escape(append(b, ':'), v.Action)
		b = append(b, '"')
	}
	return append(b, ']')
}

func jsonMissing(b []byte, now time.Time, lines uint64) []byte {
	b = jsonHead(b, now, "warn", "access log lines dropped")
	b = strconv.AppendUint(key(b, "lines"), lines, 10)
	return append(b, "}\n"...)
}

// jsonHead appends the fields that every line has; level and msg are constants.
func jsonHead(b []byte, at time.Time, level, msg string) []byte {
	b = append(b, `{"time":"`...)
	b = stamp(b, at.UTC())
	b = append(b, `Z","level":"`...)
	b = append(b, level...)
	b = append(b, `","msg":"`...)
	b = append(b, msg...)
	return append(b, '"')
}

// key appends ,"name": for a constant name.
func key(b []byte, name string) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	return append(b, `":`...)
}

func field(b []byte, name, s string) []byte {
	if s == "" {
		return b
	}
	b = append(key(b, name), '"')
	return append(escape(b, s), '"')
}

func count(b []byte, name string, n int64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendInt(key(b, name), n, 10)
}

func yes(b []byte, name string, set bool) []byte {
	if !set {
		return b
	}
	return append(key(b, name), "true"...)
}

// stamp appends at as 2006-01-02T15:04:05.000 in at's own zone.
func stamp(b []byte, at time.Time) []byte {
	year, month, day := at.Date()
	b = digits(b, year, 4)
	b = digits(append(b, '-'), int(month), 2)
	b = digits(append(b, '-'), day, 2)
	return clock(append(b, 'T'), at)
}

// clock appends at as 15:04:05.000 in at's own zone.
func clock(b []byte, at time.Time) []byte {
	hour, minute, sec := at.Clock()
	b = digits(b, hour, 2)
	b = digits(append(b, ':'), minute, 2)
	b = digits(append(b, ':'), sec, 2)
	return digits(append(b, '.'), at.Nanosecond()/1e6, 3)
}

// digits appends the last width digits of n, which is not negative.
func digits(b []byte, n, width int) []byte {
	b = append(b, "0000"[:width]...)
	for i := len(b) - 1; width > 0; i, width = i-1, width-1 {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}

// millis appends d in milliseconds, cut to microseconds, without trailing
// zeros. A negative d, from a clock that was set back, is 0.
func millis(b []byte, d time.Duration) []byte {
	us := max(0, d.Microseconds())
	b = strconv.AppendInt(b, us/1000, 10)
	frac := us % 1000
	if frac == 0 {
		return b
	}
	b = append(b, '.')
	for div := int64(100); frac > 0; div /= 10 {
		b = append(b, byte('0'+frac/div))
		frac %= div
	}
	return b
}

// plain tells of each byte whether it may stand in a JSON string as it is.
var plain = func() (t [256]bool) {
	for c := ' '; c <= '~'; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// escape appends s as the inside of a JSON string, cut after maxName bytes
// with an ellipsis. Whatever cannot be seen, bidirectional controls and line
// separators among it, becomes \uXXXX; what is not UTF-8, U+FFFD.
func escape(b []byte, s string) []byte {
	cut := ""
	if len(s) > maxName {
		s, cut = clip(s), "…"
	}
	for i := 0; i < len(s); {
		from := i
		for i < len(s) && plain[s[i]] {
			i++
		}
		b = append(b, s[from:i]...)
		if i == len(s) {
			break
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case unicode.IsPrint(r):
			b = utf8.AppendRune(b, r)
		default:
			b = unicodeEscape(b, r)
		}
		i += n
	}
	return append(b, cut...)
}

func unicodeEscape(b []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	if r > 0xffff {
		r -= 0x10000
		b = unicodeEscape(b, 0xd800+r>>10)
		r = 0xdc00 + r&0x3ff
	}
	return append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// clip cuts s to maxName bytes, not inside a rune.
func clip(s string) string {
	n := maxName
	for n > maxName-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// textLine appends t as one line for people: time, status, model → target,
// attempts and why some failed, tokens in+out, cost, milliseconds.
func textLine(b []byte, t *llm.Trail) []byte {
	b = clock(b, t.End)
	b = strconv.AppendInt(append(b, ' '), int64(t.Status), 10)
	if t.Model != "" {
		b = word(append(b, ' '), t.Model)
	}
	if t.Target != "" {
		b = word(append(b, " → "...), t.Target)
	}
	if t.Outcome != "" && t.Outcome != ok {
		b = word(append(b, ' '), t.Outcome)
	}
	attempts := t.Attempts()
	b = textAttempts(b, attempts)
	u, cost := total(attempts)
	if u.Input != 0 || u.Output != 0 {
		b = append(b, ' ')
		if u.Estimated {
			b = append(b, '~')
		}
		b = strconv.AppendInt(b, u.Input, 10)
		b = strconv.AppendInt(append(b, '+'), u.Output, 10)
		b = append(b, " tokens"...)
	}
	if cost != 0 {
		b = cost.Append(append(b, " $"...))
	}
	b = millis(append(b, ' '), t.End.Sub(t.Start).Round(time.Millisecond/10))
	return append(b, " ms\n"...)
}

// textAttempts appends how many attempts there were and, in brackets, the
// outcomes of those that failed.
func textAttempts(b []byte, attempts []*llm.Attempt) []byte {
	if len(attempts) == 0 {
		return b
	}
	b = strconv.AppendInt(append(b, ' '), int64(len(attempts)), 10)
	b = append(b, " attempt"...)
	if len(attempts) > 1 {
		b = append(b, 's')
	}
	sep := " ("
	for _, a := range attempts {
		if a.Outcome != ok {
			b = word(append(b, sep...), a.Outcome)
			sep = ", "
		}
	}
	if sep == ", " {
		b = append(b, ')')
	}
	return b
}

func textMissing(b []byte, now time.Time, lines uint64) []byte {
	b = append(clock(b, now), " access log lines dropped: "...)
	return append(strconv.AppendUint(b, lines, 10), '\n')
}

// word appends s cut after maxName bytes, with ? for spaces and for whatever
// cannot be seen or is not UTF-8: it stays one word of one line.
func word(b []byte, s string) []byte {
	cut := ""
	if len(s) > maxName {
		s, cut = clip(s), "…"
	}
	for _, r := range s {
		if r == utf8.RuneError || r == ' ' || !unicode.IsPrint(r) {
			r = '?'
		}
		b = utf8.AppendRune(b, r)
	}
	return append(b, cut...)
}
