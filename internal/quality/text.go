package quality

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/signal"
)

const (
	// maxWords bounds the words of an answer that are compared with each other,
	// maxPrompt the bytes of a prompt that are compared with it.
	maxWords  = 1 << 14
	maxPrompt = 4 << 10
	// leastEcho is how many bytes of a prompt an answer must repeat to be an echo.
	leastEcho = 48
	// gram words in a row are what is looked for again, in at least leastWords,
	// and looped of them in a hundred may be there again.
	gram       = 8
	leastWords = 48
	looped     = 20
	// sameLines in a row are a loop, of leastLine bytes or more each.
	sameLines = 4
	leastLine = 12
	// sameBytes of one character, or of two to four in turn, are one too.
	sameBytes = 240
)

// prompt is the text of the last message of a user that has one.
func prompt(c *llm.Chat) string {
	if c == nil {
		return ""
	}
	for i := len(c.Messages) - 1; i >= 0; i-- {
		if c.Messages[i].Role != llm.RoleUser {
			continue
		}
		text := ""
		for j := range c.Messages[i].Blocks {
			if b := &c.Messages[i].Blocks[j]; b.Kind == llm.BlockText && b.Text != "" {
				if text != "" {
					text += "\n"
				}
				text += b.Text
			}
		}
		if text != "" {
			return text
		}
	}
	return ""
}

// plainly appends text in lower case, with one blank for each run of what is no
// letter or digit, up to most bytes.
func plainly(dst []byte, text string, most int) []byte {
	blank := true
	for _, r := range text {
		if len(dst) >= most {
			break
		}
		if unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) {
			dst = utf8.AppendRune(dst, unicode.ToLower(r))
			blank = false
		} else if !blank {
			dst = append(dst, ' ')
			blank = true
		}
	}
	return slices.Clip(dst)
}

// noEcho: the answer does not begin by saying the prompt again.
func noEcho(a *Answer) (llm.Flags, string) {
	asked := prompt(a.Chat)
	if len(asked) < leastEcho || len(a.Text) < leastEcho {
		return 0, ""
	}
	p := strings.TrimSpace(string(plainly(nil, asked, maxPrompt)))
	t := strings.TrimSpace(string(plainly(nil, a.Text, maxPrompt)))
	n := min(len(p), len(t))
	if n < leastEcho || p[:n] != t[:n] || a.Whole && len(t) < len(p)*9/10 {
		return 0, ""
	}
	return llm.FlagEcho, "the answer repeats the prompt"
}

// noLoops: the answer does not say the same again and again.
func noLoops(a *Answer) (llm.Flags, string) {
	if n := lines(a.Text); n >= sameLines {
		return llm.FlagLoop, fmt.Sprintf("the answer has the same line %d times in a row", n)
	}
	if stuck(a.Text) {
		return llm.FlagLoop, "the answer has the same few characters again and again"
	}
	words := hashes(nil, a.Text)
	if len(words) < leastWords {
		return 0, ""
	}
	seen := make(map[uint64]struct{}, len(words))
	again := 0
	for i := gram; i <= len(words); i++ {
		h := uint64(0)
		for _, w := range words[i-gram : i] {
			h = (h ^ w) * 0x9e3779b97f4a7c15
			h ^= h >> 32
		}
		if _, ok := seen[h]; ok {
			again++
		}
		seen[h] = struct{}{}
	}
	if share := again * 100 / (len(words) - gram + 1); share > looped {
		return llm.FlagLoop, fmt.Sprintf("%d %% of the answer's runs of %d words were there before", share, gram)
	}
	return 0, ""
}

// hashes appends the hashes of a text's words; where words have no blanks between
// them, those of its characters.
func hashes(dst []uint64, text string) []uint64 {
	h := uint64(0)
	for _, r := range text {
		switch {
		case r >= 0x2e80 && unicode.IsLetter(r): // Chinese, Japanese, Korean
			if h != 0 {
				dst = append(dst, h)
			}
			dst, h = append(dst, uint64(r)), 0
		case unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r):
			h = (h ^ uint64(unicode.ToLower(r))) * 0x100000001b3
		case h != 0:
			dst, h = append(dst, h), 0
		}
		if len(dst) >= maxWords {
			return dst
		}
	}
	if h != 0 {
		dst = append(dst, h)
	}
	return dst
}

// lines returns how often a line is there in a row at most, of those that are
// long enough to say something.
func lines(text string) int {
	last, n, most := "", 0, 0
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if line != last {
			last, n = line, 0
		}
		if n++; len(line) >= leastLine && strings.IndexFunc(line, unicode.IsLetter) >= 0 {
			most = max(most, n)
		}
	}
	return most
}

// stuck reports whether a text has a run of up to four characters that repeat, of
// which one is a letter or digit.
func stuck(text string) bool {
	for period := 1; period <= 4; period++ {
		run := 0
		for i := period; i < len(text); i++ {
			if text[i] != text[i-period] {
				run = 0
				continue
			}
			if run++; run >= sameBytes && strings.IndexFunc(text[i-period:i], func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == utf8.RuneError }) >= 0 {
				return true
			}
		}
	}
	return false
}

// rightLanguage: the answer is in the language that is required, asked for, or
// that of the prompt. It is silent where one of both is not clear.
func rightLanguage(o Options) (judge, error) {
	if o.Language != "" && !signal.Knows(o.Language) {
		return nil, fmt.Errorf("%q is no language that is told apart; name one as ISO 639-1 has it, such as en", o.Language)
	}
	return func(a *Answer) (llm.Flags, string) {
		got, sure := signal.Language(a.Text[:min(len(a.Text), maxPrompt)])
		if got == "" || sure < leastSure {
			return 0, ""
		}
		want := []string{o.Language}
		if o.Language == "" {
			want = wanted(a.Chat)
		}
		if len(want) == 0 || slices.ContainsFunc(want, func(w string) bool { return akin(w, got) }) {
			return 0, ""
		}
		return llm.FlagLanguage, fmt.Sprintf("the answer is in %q, not in %q", got, want[0])
	}, nil
}

// leastSure is how sure an answer's language must be.
const leastSure = 0.35

// akin reports whether two languages are one, or so near that a text can be of
// either.
func akin(a, b string) bool {
	if a == b {
		return true
	}
	for _, group := range []string{"da no sv", "hr sl sr", "cs sk", "nl af", "es ca pt", "ru be uk bg mk sr", "hi mr ne", "ar fa ur", "zh ja"} {
		if strings.Contains(group, a) && strings.Contains(group, b) {
			return true
		}
	}
	return false
}

// wanted are the languages that the answer to a request may be in; none where
// that is not clear. A request that tells in which to answer wants that one;
// where one is only named, it and the prompt's own will do.
func wanted(c *llm.Chat) []string {
	if c == nil {
		return nil
	}
	ends := prompt(c)
	if len(ends) > maxPrompt {
		ends = ends[:maxPrompt/2] + "\n" + ends[len(ends)-maxPrompt/2:]
	}
	w := spoken(ends)
	if w.told && len(w.named) == 1 {
		return w.named
	}
	for i := range c.Messages {
		if c.Messages[i].Role != llm.RoleSystem {
			continue
		}
		for j := range c.Messages[i].Blocks {
			text := c.Messages[i].Blocks[j].Text
			s := spoken(text[:min(len(text), maxPrompt)])
			if s.told && len(s.named) == 1 && len(w.named) == 0 {
				return s.named
			}
			w.named = append(w.named, s.named...)
			w.translate = w.translate || s.translate
		}
	}
	code, sure := signal.Language(ends)
	if code == "" || sure < leastSure || w.translate && len(w.named) == 0 || slices.Contains(w.named, "") {
		return nil
	}
	return append(w.named, code)
}

// languages are the names of languages in the languages in which they are asked
// for.
var languages = map[string]string{
	"english": "en", "englisch": "en", "englischer": "en", "anglais": "en", "inglés": "en", "inglês": "en", "inglese": "en", "engels": "en", "английском": "en", "英文": "en", "英语": "en", "英語": "en",
	"german": "de", "deutsch": "de", "deutscher": "de", "allemand": "de", "alemán": "de", "alemão": "de", "tedesco": "de", "немецком": "de", "德语": "de", "ドイツ語": "de",
	"french": "fr", "französisch": "fr", "français": "fr", "francés": "fr", "francês": "fr", "francese": "fr", "французском": "fr", "法语": "fr", "フランス語": "fr",
	"spanish": "es", "spanisch": "es", "espagnol": "es", "español": "es", "espanhol": "es", "spagnolo": "es", "испанском": "es", "西班牙语": "es",
	"italian": "it", "italienisch": "it", "italien": "it", "italiano": "it", "итальянском": "it", "portuguese": "pt", "portugiesisch": "pt", "portugais": "pt", "portugués": "pt", "português": "pt", "portoghese": "pt",
	"dutch": "nl", "niederländisch": "nl", "nederlands": "nl", "swedish": "sv", "schwedisch": "sv", "svenska": "sv", "danish": "da", "dänisch": "da", "dansk": "da", "norwegian": "no", "norsk": "no", "finnish": "fi", "suomeksi": "fi",
	"polish": "pl", "polnisch": "pl", "polsku": "pl", "czech": "cs", "tschechisch": "cs", "česky": "cs", "slovak": "sk", "hungarian": "hu", "magyarul": "hu", "romanian": "ro", "turkish": "tr", "türkisch": "tr", "türkçe": "tr",
	"russian": "ru", "russisch": "ru", "russe": "ru", "ruso": "ru", "русском": "ru", "русски": "ru", "俄语": "ru", "ukrainian": "uk", "українською": "uk", "bulgarian": "bg", "serbian": "sr", "croatian": "hr", "greek": "el", "griechisch": "el",
	"arabic": "ar", "arabisch": "ar", "arabe": "ar", "العربية": "ar", "hebrew": "he", "hindi": "hi", "persian": "fa", "farsi": "fa", "urdu": "ur", "bengali": "bn", "tamil": "ta", "thai": "th", "vietnamese": "vi", "indonesian": "id", "swahili": "sw", "catalan": "ca",
	"chinese": "zh", "mandarin": "zh", "chinesisch": "zh", "chinois": "zh", "chino": "zh", "中文": "zh", "汉语": "zh", "中国語": "zh", "japanese": "ja", "japanisch": "ja", "japonais": "ja", "japonés": "ja", "日本語": "ja", "日语": "ja", "日文": "ja",
	"korean": "ko", "koreanisch": "ko", "coréen": "ko", "coreano": "ko", "한국어": "ko", "韩语": "ko", "latin": "", "klingon": "", "esperanto": "",
}

// translators and tellers are the beginnings of words by which a request is for a
// translation, or tells how to answer.
var (
	translators = []string{"translat", "übersetz", "tradui", "traduct", "traduz", "traduc", "tradur", "vertaal", "перевед", "перевод", "переклад", "översätt", "oversæt", "oversett",
		"przetłumacz", "翻译", "翻訳", "번역", "ترجم", "अनुवाद", "çevir", "terjemah"}
	tellers = []string{"answer", "respond", "repl", "write", "speak", "antwort", "schreib", "répond", "écri", "escrib", "respuesta", "rispond", "scriv", "antwoord", "schrijf", "svar", "skriv",
		"ответ", "отвеч", "напиш", "odpowiedz", "napisz", "回答", "回复", "用", "答え", "で書"}
	// into stands before the language that is told.
	into = []string{"in", "into", "auf", "ins", "en", "em", "em", "på", "på", "na", "на", "po", "по", "op", "only", "nur"}
)

// speech is what a text says of languages.
type speech struct {
	named     []string // of which some may be "": one that is not told apart
	told      bool     // it tells in which to answer
	translate bool
}

func spoken(text string) (s speech) {
	tells, placed, last := false, false, ""
	for word := range strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) }) {
		named, ok := languages[word]
		if !ok && word[0] >= utf8.RuneSelf {
			named, ok = inside(word)
		}
		if ok && !slices.Contains(s.named, named) && len(s.named) < 8 {
			s.named = append(s.named, named)
			placed = placed || slices.Contains(into, last) || word[0] >= utf8.RuneSelf
		}
		s.translate = s.translate || begins(word, translators)
		tells = tells || begins(word, tellers)
		last = word
	}
	s.told = tells && placed && !s.translate
	return s
}

func begins(word string, list []string) bool {
	return slices.ContainsFunc(list, func(t string) bool {
		return strings.HasPrefix(word, t) || word[0] >= utf8.RuneSelf && t[0] >= 0xe0 && strings.Contains(word, t)
	})
}

// inside looks for a language's name in a run of characters without blanks.
func inside(word string) (string, bool) {
	for _, name := range []string{"英文", "英语", "英語", "德语", "ドイツ語", "法语", "フランス語", "西班牙语", "俄语", "中文", "汉语", "中国語", "日本語", "日语", "日文", "한국어", "韩语"} {
		if strings.Contains(word, name) {
			return languages[name], true
		}
	}
	return "", false
}
