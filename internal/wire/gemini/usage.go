package gemini

import (
	"strconv"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// ParseUsage reads a usageMetadata object, in either spelling of its names.
// Prompt tokens include what was cached, and here the results of the vendor's
// own tools; candidates' tokens exclude thoughts there, and here include
// them. ok is false when b is no object or has no count.
func ParseUsage(b []byte) (u llm.Usage, ok bool) {
	if len(b) == 0 || b[0] != '{' {
		return u, false
	}
	end, err := scan.End(b)
	if err != nil {
		return u, false
	}
	b = b[:end]
	var space [24]scan.Member
	ms, err := scan.Object(space[:0], b)
	if err != nil {
		return u, false
	}
	for _, m := range ms {
		name, v := string(b[m.Key+1:m.KeyEnd-1]), b[m.Start:m.End]
		if strings.IndexByte(name, '_') >= 0 {
			name = camel(name)
		}
		n, is := count(v)
		switch name {
		case "promptTokenCount", "toolUsePromptTokenCount":
			u.Input += n
		case "candidatesTokenCount", "responseTokenCount":
			u.Output += n
		case "thoughtsTokenCount":
			u.Output += n
			u.Reasoning = n
		case "cachedContentTokenCount":
			u.CachedRead = n
		case "totalTokenCount":
		case "promptTokensDetails", "toolUsePromptTokensDetails":
			u.AudioInput += modality(v, "AUDIO", "4")
			continue
		case "candidatesTokensDetails", "responseTokensDetails":
			u.AudioOutput += modality(v, "AUDIO", "4")
			u.ImageOutput += modality(v, "IMAGE", "2")
			continue
		default:
			continue
		}
		ok = ok || is
	}
	u.CachedRead = min(u.CachedRead, u.Input)
	u.AudioInput = min(u.AudioInput, u.Input)
	u.AudioOutput = min(u.AudioOutput, u.Output)
	u.ImageOutput = min(u.ImageOutput, u.Output)
	return u, ok && u.Valid()
}

// count reads a count: a number or its text.
func count(b []byte) (int64, bool) {
	if len(b) > 2 && b[0] == '"' {
		b = b[1 : len(b)-1]
	}
	return scan.Int(b)
}

// camel returns a name in snake_case in camelCase.
func camel(name string) string {
	b := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		if c := name[i]; c == '_' && i+1 < len(name) && name[i+1] >= 'a' && name[i+1] <= 'z' {
			i++
			b = append(b, name[i]-'a'+'A')
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

// modality sums the tokens of one modality, told by its name or its number.
func modality(details []byte, name, num string) (sum int64) {
	_ = scan.Elements(details, func(e []byte) bool {
		if m := scan.Get(e, "modality"); string(m) == num || len(m) > 2 && string(m[1:len(m)-1]) == name {
			v := scan.Get(e, "tokenCount")
			if v == nil {
				v = scan.Get(e, "token_count")
			}
			n, _ := count(v)
			sum += n
		}
		return sum < llm.MaxTokens
	})
	return sum
}

// appendUsage appends u as usageMetadata.
func appendUsage(b []byte, u *llm.Usage) []byte {
	member := func(name string, n int64) {
		b = append(append(append(b, `,"`...), name...), `":`...)
		b = strconv.AppendInt(b, n, 10)
	}
	b = append(b, `{"promptTokenCount":`...)
	b = strconv.AppendInt(b, u.Input, 10)
	if u.CachedRead > 0 {
		member("cachedContentTokenCount", u.CachedRead)
	}
	member("candidatesTokenCount", max(0, u.Output-u.Reasoning))
	if u.Reasoning > 0 {
		member("thoughtsTokenCount", u.Reasoning)
	}
	member("totalTokenCount", u.Input+u.Output)
	if u.AudioInput > 0 {
		b = append(b, `,"promptTokensDetails":`...)
		b = appendDetails(b, max(0, u.Input-u.AudioInput), u.AudioInput, 0)
	}
	if u.AudioOutput > 0 || u.ImageOutput > 0 {
		b = append(b, `,"candidatesTokensDetails":`...)
		b = appendDetails(b, max(0, u.Output-u.Reasoning-u.AudioOutput-u.ImageOutput), u.AudioOutput, u.ImageOutput)
	}
	return append(b, '}')
}

func appendDetails(b []byte, text, audio, image int64) []byte {
	b = append(b, `[{"modality":"TEXT","tokenCount":`...)
	b = append(strconv.AppendInt(b, text, 10), '}')
	if audio > 0 {
		b = append(b, `,{"modality":"AUDIO","tokenCount":`...)
		b = append(strconv.AppendInt(b, audio, 10), '}')
	}
	if image > 0 {
		b = append(b, `,{"modality":"IMAGE","tokenCount":`...)
		b = append(strconv.AppendInt(b, image, 10), '}')
	}
	return append(b, ']')
}
