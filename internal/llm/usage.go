package llm

import "fmt"

// Usage counts the tokens of one answer, and what else it is billed by.
type Usage struct {
	Input        int64 `json:"input"` // whole prompt, with what was cached
	CachedRead   int64 `json:"cached_read,omitempty"`
	CachedAudio  int64 `json:"cached_audio,omitempty"`   // part of CachedRead and of AudioInput
	CachedImage  int64 `json:"cached_image,omitempty"`   // part of CachedRead and of ImageInput
	CacheWrite   int64 `json:"cache_write,omitempty"`    // of all durations
	CacheWrite1h int64 `json:"cache_write_1h,omitempty"` // part of CacheWrite
	AudioInput   int64 `json:"audio_input,omitempty"`    // part of Input
	ImageInput   int64 `json:"image_input,omitempty"`    // part of Input, with documents
	VideoInput   int64 `json:"video_input,omitempty"`    // part of Input
	ToolInput    int64 `json:"tool_input,omitempty"`     // part of Input: what the vendor's own tools put in
	Output       int64 `json:"output"`                   // with reasoning
	Reasoning    int64 `json:"reasoning,omitempty"`      // part of Output
	Citation     int64 `json:"citation,omitempty"`       // part of Output
	AudioOutput  int64 `json:"audio_output,omitempty"`   // part of Output
	ImageOutput  int64 `json:"image_output,omitempty"`   // part of Output
	VideoOutput  int64 `json:"video_output,omitempty"`   // part of Output
	Searches     int64 `json:"searches,omitempty"`       // of the web by the vendor, or of documents by a reranker
	Images       int64 `json:"images,omitempty"`         // made, where they are not counted in tokens
	// SearchSize is how much of the web the vendor says it took in.
	SearchSize SearchSize `json:"search_size,omitzero"`
	// Tier is the service the vendor says it gave.
	Tier Tier `json:"tier,omitzero"`
	// Estimated: counted by the gateway, since the vendor did not say.
	Estimated bool `json:"estimated,omitempty"`
}

// Count is a count that few requests have.
type Count struct {
	Name string
	Of   func(u *Usage) *int64
}

// Counts are those beside input, output, cached_read, cache_write and
// reasoning, which all requests have. The table is never changed.
var Counts = [...]Count{
	{"cached_audio", func(u *Usage) *int64 { return &u.CachedAudio }},
	{"cached_image", func(u *Usage) *int64 { return &u.CachedImage }},
	{"cache_write_1h", func(u *Usage) *int64 { return &u.CacheWrite1h }},
	{"audio_input", func(u *Usage) *int64 { return &u.AudioInput }},
	{"image_input", func(u *Usage) *int64 { return &u.ImageInput }},
	{"video_input", func(u *Usage) *int64 { return &u.VideoInput }},
	{"tool_input", func(u *Usage) *int64 { return &u.ToolInput }},
	{"citation", func(u *Usage) *int64 { return &u.Citation }},
	{"audio_output", func(u *Usage) *int64 { return &u.AudioOutput }},
	{"image_output", func(u *Usage) *int64 { return &u.ImageOutput }},
	{"video_output", func(u *Usage) *int64 { return &u.VideoOutput }},
	{"searches", func(u *Usage) *int64 { return &u.Searches }},
	{"images", func(u *Usage) *int64 { return &u.Images }},
}

// Plain reports whether u has none of Counts.
func (u *Usage) Plain() bool {
	return u.CachedAudio|u.CachedImage|u.CacheWrite1h|u.AudioInput|u.ImageInput|u.VideoInput|u.ToolInput|u.Citation|u.AudioOutput|
		u.ImageOutput|u.VideoOutput|u.Searches|u.Images == 0
}

// MaxTokens bounds every token count that is believed.
const MaxTokens = 1 << 40

// Valid reports whether all counts are in range 0 to MaxTokens and what is
// cached does not exceed the prompt.
func (u Usage) Valid() bool {
	for _, n := range [...]int64{u.Input, u.CachedRead, u.CachedAudio, u.CachedImage, u.CacheWrite, u.CacheWrite1h, u.AudioInput, u.ImageInput,
		u.VideoInput, u.ToolInput, u.Output, u.Reasoning, u.Citation, u.AudioOutput, u.ImageOutput, u.VideoOutput, u.Searches, u.Images} {
		if n < 0 || n > MaxTokens {
			return false
		}
	}
	return u.CachedRead+u.CacheWrite <= u.Input
}

// Add returns the sum of two usages. Its tier is that of u, or v's where u was
// served in the standard one.
func (u Usage) Add(v Usage) Usage {
	tier := u.Tier
	if tier == TierStandard {
		tier = v.Tier
	}
	return Usage{
		Input: u.Input + v.Input, CachedRead: u.CachedRead + v.CachedRead, CachedAudio: u.CachedAudio + v.CachedAudio,
		CachedImage: u.CachedImage + v.CachedImage, CacheWrite: u.CacheWrite + v.CacheWrite, CacheWrite1h: u.CacheWrite1h + v.CacheWrite1h,
		AudioInput: u.AudioInput + v.AudioInput, ImageInput: u.ImageInput + v.ImageInput, VideoInput: u.VideoInput + v.VideoInput,
		ToolInput: u.ToolInput + v.ToolInput, Output: u.Output + v.Output, Reasoning: u.Reasoning + v.Reasoning, Citation: u.Citation + v.Citation,
		AudioOutput: u.AudioOutput + v.AudioOutput, ImageOutput: u.ImageOutput + v.ImageOutput, VideoOutput: u.VideoOutput + v.VideoOutput,
		Searches: u.Searches + v.Searches, Images: u.Images + v.Images, SearchSize: max(u.SearchSize, v.SearchSize), Tier: tier, Estimated: u.Estimated || v.Estimated,
	}
}

// Max returns the larger of each count: of the same answer told twice, the later
// telling completes the first.
func (u Usage) Max(v Usage) Usage {
	for _, c := range Counts {
		*c.Of(&u) = max(*c.Of(&u), *c.Of(&v))
	}
	u.Input, u.CachedRead, u.CacheWrite = max(u.Input, v.Input), max(u.CachedRead, v.CachedRead), max(u.CacheWrite, v.CacheWrite)
	u.Output, u.Reasoning, u.SearchSize = max(u.Output, v.Output), max(u.Reasoning, v.Reasoning), max(u.SearchSize, v.SearchSize)
	if u.Tier == TierStandard {
		u.Tier = v.Tier
	}
	return u
}

// SearchSize is a vendor's search_context_size: 0 where it does not tell one,
// else SearchLow to SearchHigh.
type SearchSize uint8

// Sizes.
const (
	SearchLow SearchSize = 1 + iota
	SearchMedium
	SearchHigh
)

var searchSizes = [...]string{"", "low", "medium", "high"}

// String returns the vendors' name of the size, "" for 0.
func (s SearchSize) String() string { return searchSizes[int(s)%len(searchSizes)] }

// MarshalText returns the size's name.
func (s SearchSize) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a size's name; others are 0.
func (s *SearchSize) UnmarshalText(b []byte) error {
	*s = ParseSearchSize(string(b))
	return nil
}

// ParseSearchSize reads "low", "medium" or "high"; 0 for anything else.
func ParseSearchSize(name string) SearchSize {
	for i, n := range searchSizes {
		if n == name {
			return SearchSize(i)
		}
	}
	return 0
}

// Tier is a level of service with prices of its own.
type Tier uint8

// Tiers. Vendors' names for them are read by ParseTier.
const (
	TierStandard Tier = iota
	TierFlex          // slower, cheaper
	TierPriority      // faster, dearer
	TierBatch         // within a day
)

var tierNames = [...]string{"standard", "flex", "priority", "batch"}

// ParseTier reads a vendor's name of a tier; names without a price of their
// own ("default", "auto", "on_demand", "") are the standard one.
func ParseTier(name string) Tier {
	for t, n := range tierNames {
		if n == name {
			return Tier(t)
		}
	}
	return TierStandard
}

// String returns the tier's name.
func (t Tier) String() string { return tierNames[int(t)%len(tierNames)] }

// MarshalText returns the tier's name.
func (t Tier) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads the tier's own name.
func (t *Tier) UnmarshalText(b []byte) error {
	if *t = ParseTier(string(b)); t.String() != string(b) {
		return fmt.Errorf("no service tier %q", b)
	}
	return nil
}
