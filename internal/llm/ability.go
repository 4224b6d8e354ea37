package llm

// Ability is a set of what a model can do.
type Ability uint16

// The abilities.
const (
	CanTools      Ability = 1 << iota
	CanStructured         // answers of a given JSON schema
	CanReason
	CanImage // in the prompt, as the three that follow
	CanAudio
	CanVideo
	CanDocument
	CanDrawImage // in the answer, as the next
	CanSpeak
)

var abilityNames = [...]string{"tools", "json", "reasoning", "image", "audio", "video", "pdf", "image_output", "audio_output"}

// Names returns the names of the set, as the catalog's table writes them.
func (a Ability) Names() []string {
	var out []string
	for i, n := range abilityNames {
		if a&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return out
}

// AbilityByName returns the ability of a name.
func AbilityByName(name string) (Ability, bool) {
	for i, n := range abilityNames {
		if n == name {
			return 1 << i, true
		}
	}
	return 0, false
}

// AbilityNames returns all names.
func AbilityNames() []string { return abilityNames[:] }
