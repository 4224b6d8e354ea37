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
		case "promptTokenCount":
			u.Input += n
		case "toolUsePromptTokenCount":
			u.Input += n
			u.ToolInput = n
		case "candidatesTokenCount", "responseTokenCount":
			u.Output += n
		case "thoughtsTokenCount":
			u.Output += n
			u.Reasoning = n
		case "cachedContentTokenCount":
			u.CachedRead = n
		case "totalTokenCount":
		case "promptTokensDetails", "promptTokenDetails", "toolUsePromptTokensDetails": // the second of embeddings
			m := modalities(v)
			u.AudioInput, u.ImageInput, u.VideoInput = u.AudioInput+m.audio, u.ImageInput+m.image, u.VideoInput+m.video
			continue
		case "cacheTokensDetails":
			m := modalities(v)
			u.CachedAudio, u.CachedImage = m.audio, m.image
			continue
		case "candidatesTokensDetails", "responseTokensDetails":
			m := modalities(v)
			u.AudioOutput, u.ImageOutput, u.VideoOutput = m.audio, m.image, m.video
			continue
		case "serviceTier":
			tier, _ := scan.String(v)
			u.Tier = llm.ParseTier(strings.ToLower(tier))
			continue
		case "trafficType": // of Vertex: ON_DEMAND, ON_DEMAND_FLEX, ON_DEMAND_PRIORITY
			traffic, _ := scan.String(v)
			u.Tier = llm.ParseTier(strings.ToLower(strings.TrimPrefix(traffic, "ON_DEMAND_")))
			continue
		default:
			continue
		}
		ok = ok || is
	}
	u.CachedRead = min(u.CachedRead, u.Input)
	u.AudioInput, u.ImageInput, u.VideoInput = min(u.AudioInput, u.Input), min(u.ImageInput, u.Input), min(u.VideoInput, u.Input)
	u.CachedAudio, u.CachedImage = min(u.CachedAudio, u.CachedRead), min(u.CachedImage, u.CachedRead)
	u.AudioOutput, u.ImageOutput, u.VideoOutput = min(u.AudioOutput, u.Output), min(u.ImageOutput, u.Output), min(u.VideoOutput, u.Output)
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

// modes are the tokens of the modalities that are not text.
type modes struct{ audio, image, video int64 }

// modalities sums tokens by modality, told by its name or its number.
// Documents are seen as images.
func modalities(details []byte) (m modes) {
	_ = scan.Elements(details, func(e []byte) bool {
		v := scan.Get(e, "tokenCount")
		if v == nil {
			v = scan.Get(e, "token_count")
		}
		n, _ := count(v)
		switch string(scan.Get(e, "modality")) {
		case `"IMAGE"`, "2", `"DOCUMENT"`, "5":
			m.image += n
		case `"VIDEO"`, "3":
			m.video += n
		case `"AUDIO"`, "4":
			m.audio += n
		}
		return max(m.audio, m.image, m.video) < llm.MaxTokens
	})
	return m
}

// appendUsage appends u as usageMetadata.
func appendUsage(b []byte, u *llm.Usage) []byte {
	member := func(name string, n int64) {
		if n > 0 {
			b = append(append(append(b, `,"`...), name...), `":`...)
			b = strconv.AppendInt(b, n, 10)
		}
	}
	b = append(b, `{"promptTokenCount":`...)
	b = strconv.AppendInt(b, u.Input-min(u.ToolInput, u.Input), 10)
	member("toolUsePromptTokenCount", min(u.ToolInput, u.Input))
	member("cachedContentTokenCount", u.CachedRead)
	b = append(b, `,"candidatesTokenCount":`...)
	b = strconv.AppendInt(b, max(0, u.Output-u.Reasoning), 10)
	member("thoughtsTokenCount", u.Reasoning)
	b = append(b, `,"totalTokenCount":`...)
	b = strconv.AppendInt(b, u.Input+u.Output, 10)
	b = appendDetails(b, "promptTokensDetails", u.Input, modes{u.AudioInput, u.ImageInput, u.VideoInput})
	b = appendDetails(b, "cacheTokensDetails", u.CachedRead, modes{u.CachedAudio, u.CachedImage, 0})
	b = appendDetails(b, "candidatesTokensDetails", u.Output-u.Reasoning, modes{u.AudioOutput, u.ImageOutput, u.VideoOutput})
	if u.Tier != llm.TierStandard {
		b = append(append(append(b, `,"serviceTier":"`...), u.Tier.String()...), '"')
	}
	return append(b, '}')
}

// appendDetails appends tokens by modality, nothing where all are text.
func appendDetails(b []byte, name string, all int64, m modes) []byte {
	if m == (modes{}) {
		return b
	}
	b = append(append(append(b, `,"`...), name...), `":[{"modality":"TEXT","tokenCount":`...)
	b = append(strconv.AppendInt(b, max(0, all-m.audio-m.image-m.video), 10), '}')
	for _, d := range [...]struct {
		name string
		n    int64
	}{{"IMAGE", m.image}, {"VIDEO", m.video}, {"AUDIO", m.audio}} {
		if d.n > 0 {
			b = append(append(append(b, `,{"modality":"`...), d.name...), `","tokenCount":`...)
			b = append(strconv.AppendInt(b, d.n, 10), '}')
		}
	}
	return append(b, ']')
}
