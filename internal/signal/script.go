package signal

// script is a writing.
type script uint8

const (
	scriptNone script = iota
	scriptLatin
	scriptCyrillic
	scriptArabic
	scriptDevanagari
	scriptHan
	scriptKana
	scriptHangul
	scriptGreek
	scriptHebrew
	scriptThai
	scriptArmenian
	scriptGeorgian
	scriptBengali
	scriptGurmukhi
	scriptGujarati
	scriptTamil
	scriptTelugu
	scriptKannada
	scriptMalayalam
	scriptSinhala
	scriptLao
	scriptBurmese
	scriptKhmer
	scriptEthiopic
	scripts
)

// sole is the language of a script that hardly another is written in.
var sole = [scripts]string{scriptHan: "zh", scriptKana: "ja", scriptHangul: "ko", scriptGreek: "el", scriptHebrew: "he", scriptThai: "th",
	scriptArmenian: "hy", scriptGeorgian: "ka", scriptBengali: "bn", scriptGurmukhi: "pa", scriptGujarati: "gu", scriptTamil: "ta",
	scriptTelugu: "te", scriptKannada: "kn", scriptMalayalam: "ml", scriptSinhala: "si", scriptLao: "lo", scriptBurmese: "my",
	scriptKhmer: "km", scriptEthiopic: "am"}

// block is a range of characters of one script.
type block struct {
	first, last rune
	script      script
}

// blocks are in order. Marks that belong to letters are letters here. Source:
// Unicode 16, Blocks.txt.
var blocks = []block{
	{0x00c0, 0x00d6, scriptLatin}, {0x00d8, 0x00f6, scriptLatin}, {0x00f8, 0x024f, scriptLatin}, {0x0300, 0x036f, scriptLatin},
	{0x0370, 0x03ff, scriptGreek}, {0x0400, 0x052f, scriptCyrillic}, {0x0531, 0x0587, scriptArmenian}, {0x05b0, 0x05ea, scriptHebrew},
	{0x0620, 0x065f, scriptArabic}, {0x066e, 0x06d3, scriptArabic}, {0x06fa, 0x06ff, scriptArabic}, {0x0750, 0x077f, scriptArabic},
	{0x0900, 0x0963, scriptDevanagari}, {0x0970, 0x097f, scriptDevanagari}, {0x0980, 0x09e5, scriptBengali}, {0x0a00, 0x0a65, scriptGurmukhi},
	{0x0a80, 0x0ae5, scriptGujarati}, {0x0b80, 0x0be5, scriptTamil}, {0x0c00, 0x0c65, scriptTelugu}, {0x0c80, 0x0ce5, scriptKannada},
	{0x0d00, 0x0d65, scriptMalayalam}, {0x0d80, 0x0df3, scriptSinhala}, {0x0e01, 0x0e3a, scriptThai}, {0x0e40, 0x0e4e, scriptThai},
	{0x0e80, 0x0ecf, scriptLao}, {0x1000, 0x103f, scriptBurmese}, {0x10a0, 0x10ff, scriptGeorgian}, {0x1100, 0x11ff, scriptHangul},
	{0x1200, 0x137f, scriptEthiopic}, {0x1780, 0x17dd, scriptKhmer}, {0x1e00, 0x1eff, scriptLatin}, {0x1f00, 0x1fff, scriptGreek},
	{0x3041, 0x30ff, scriptKana}, {0x3400, 0x4dbf, scriptHan}, {0x4e00, 0x9fff, scriptHan}, {0xac00, 0xd7a3, scriptHangul},
	{0xf900, 0xfaff, scriptHan}, {0xfb50, 0xfdff, scriptArabic}, {0xfe70, 0xfefc, scriptArabic}, {0x20000, 0x323af, scriptHan},
}

// pages tells of each 64 characters below U+3000 the block to begin looking at,
// and whether one script has all of them.
type page struct {
	from  uint8
	whole script
}

var pages = func() (t [0x3000 / 64]page) {
	for p := range t {
		first, last := rune(p*64), rune(p*64+63)
		for t[p].from = 0; int(t[p].from) < len(blocks) && blocks[t[p].from].last < first; t[p].from++ {
		}
		if b := blocks[min(int(t[p].from), len(blocks)-1)]; b.first <= first && last <= b.last {
			t[p].whole = b.script
		}
	}
	return t
}()

// scriptOf returns the script of a character beyond ASCII, none for what is no
// letter.
func scriptOf(r rune) script {
	from := 0
	switch {
	case r >= 0x4e00 && r <= 0x9fff:
		return scriptHan
	case r >= 0xac00 && r <= 0xd7a3:
		return scriptHangul
	case r < 0x3000:
		p := pages[r>>6]
		if p.whole != scriptNone {
			return p.whole
		}
		from = int(p.from)
	default:
		from = int(pages[len(pages)-1].from)
	}
	for _, b := range blocks[from:] {
		if r < b.first {
			return scriptNone
		}
		if r <= b.last {
			return b.script
		}
	}
	return scriptNone
}
