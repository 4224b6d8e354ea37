package quality

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
)

// complete: there is an answer, no filter took it away, and it says why it ends.
func complete(a *Answer) (llm.Flags, string) {
	switch {
	case a.Stop == llm.StopFilter:
		return llm.FlagFiltered, "a filter of the vendor's cut the answer"
	case a.nothing():
		return llm.FlagEmpty, "the answer has no text and calls no tool"
	case a.Stop == llm.StopNone:
		return llm.FlagTruncated, "the answer does not say why it ends"
	}
	return 0, ""
}

// notTruncated: the answer did not end at a bound, nor within a code block or
// what brackets hold.
func notTruncated(a *Answer) (llm.Flags, string) {
	switch {
	case a.Stop == llm.StopLength:
		return llm.FlagTruncated, "the answer ends at the bound of output tokens"
	case a.Stop == llm.StopContext:
		return llm.FlagTruncated, "the answer ends at the end of the model's context"
	case a.Stop == llm.StopSequence:
		return 0, ""
	case openFence(a.Text):
		return llm.FlagTruncated, "the answer ends within a code block"
	case openBracket(a.Text):
		return llm.FlagTruncated, "the answer ends within brackets"
	}
	return 0, ""
}

// openFence reports whether a text ends within a fenced block, by the rules of
// CommonMark 0.31 §4.5: a fence is closed by one of its kind that is as long.
func openFence(text string) bool {
	var mark byte
	long := 0
	for line := range strings.Lines(text) {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		s := strings.TrimRight(line[indent:], " \t\r\n")
		if len(s) < 3 || s[0] != '`' && s[0] != '~' {
			continue
		}
		n := len(s) - len(strings.TrimLeft(s, s[:1]))
		switch {
		case n < 3:
		case long == 0 && (s[0] == '~' || strings.IndexByte(s[n:], '`') < 0):
			mark, long = s[0], n
		case long > 0 && s[0] == mark && n >= long && n == len(s):
			long = 0
		}
	}
	return long > 0
}

// openBracket reports whether a text that is JSON to look at lacks brackets at
// its end, or any text ends with an opening one.
func openBracket(text string) bool {
	text = strings.TrimSpace(text)
	if text == "" {
		return false
	}
	switch text[len(text)-1] {
	case '{', '[', '(':
		return !strings.HasSuffix(text, ":(") && !strings.HasSuffix(text, ":[") // faces
	}
	if text[0] != '{' && text[0] != '[' {
		return false
	}
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 && strings.TrimSpace(text[i+1:]) != "" {
				return false // it is no JSON, but a text that begins with brackets
			}
		}
	}
	return depth > 0
}

// validJSON: where JSON was asked for, or always, the text is one JSON value and
// nothing else.
func validJSON(o Options) (judge, error) {
	return func(a *Answer) (llm.Flags, string) {
		if !o.Always && (a.Chat == nil || a.Chat.Format.Kind == llm.FormatText) || !said(a) {
			return 0, ""
		}
		if err := checkJSON(a.Text, a.Whole); err != nil {
			return llm.FlagJSON, err.Error()
		}
		return 0, ""
	}, nil
}

// said reports whether there is a text to judge, or nothing in its place: an
// answer that only calls tools, or has not begun, has none.
func said(a *Answer) bool {
	return strings.TrimSpace(a.Text) != "" || a.Whole && a.nothing()
}

// checkJSON returns why text is no JSON value; where it is not whole, why it
// cannot become one.
func checkJSON(text string, whole bool) error {
	d := jsontext.NewDecoder(strings.NewReader(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for depth, n := 0, 0; ; n++ {
		tok, err := d.ReadToken()
		switch {
		case err == nil && n > 0 && depth == 0:
			return fmt.Errorf("the answer goes on after its JSON value, from byte %d", d.InputOffset())
		case err == nil:
			switch tok.Kind() {
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
		case err == io.EOF && n > 0:
			return nil
		case err == io.EOF && !whole, errors.Is(err, io.ErrUnexpectedEOF) && !whole:
			return nil
		case err == io.EOF:
			return errors.New("the answer has no JSON value")
		case errors.Is(err, io.ErrUnexpectedEOF):
			return errors.New("the answer's JSON value does not end")
		default:
			return fmt.Errorf("the answer is no JSON, from byte %d", d.InputOffset())
		}
	}
}

// pattern: the text has what the expression describes.
func pattern(o Options) (judge, error) {
	if o.Pattern == "" {
		return nil, errors.New("it needs a pattern, a regular expression in RE2")
	}
	re, err := regexp.Compile(o.Pattern)
	if err != nil {
		return nil, fmt.Errorf("the pattern is no regular expression in RE2: %w", err)
	}
	return func(a *Answer) (llm.Flags, string) {
		if !said(a) || re.MatchString(a.Text) {
			return 0, ""
		}
		return llm.FlagPattern, "the answer has nothing that fits the required pattern"
	}, nil
}
