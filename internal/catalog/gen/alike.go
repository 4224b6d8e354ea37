package main

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/sluicegate/sluice/internal/catalog"
)

var (
	region  = regexp.MustCompile(`^(us|eu|au|jp|apac|global|ca|sa|in|uk)\.`)
	maker   = regexp.MustCompile(`^(ai21|amazon|anthropic|cohere|deepseek|google|meta|minimax|mistral|moonshot|moonshotai|nvidia|openai|qwen|writer|zai)\.`)
	release = regexp.MustCompile(`(-v\d+)?(:\d+)$|-v\d+$|@.*$|-(\d{8}|\d{4}-\d{2}-\d{2}|00\d|latest)$|-maas$`)
)

// bare is a model's id without what vendors put around it: the maker, a
// region, a variant, a date or version.
func bare(id string) string {
	id = strings.ToLower(id)
	id = id[strings.LastIndexByte(id, '/')+1:]
	id = maker.ReplaceAllString(region.ReplaceAllString(id, ""), "")
	id = release.ReplaceAllString(id, "")
	id, _, _ = strings.Cut(id, ":")
	return release.ReplaceAllString(id, "")
}

// borrow gives e what it does not have of what the source has most often of
// the same model elsewhere. A family that is told nowhere is the longest whose
// name the id begins with.
func (s *source) borrow(e *entry, vendor, id string) {
	name := bare(id)
	if same := s.alike[name]; len(same) > 0 {
		e.fill(&entry{
			context: most(same, func(e *entry) int { return e.context }), output: most(same, func(e *entry) int { return e.output }),
			kind: most(same, func(e *entry) string { return e.kind }), family: most(same, func(e *entry) string { return e.family }),
		})
		if s.entries[vendor][id] == nil { // else it is known what the vendor's can
			e.can |= most(same, func(e *entry) catalog.Ability { return e.can })
		}
	}
	if e.family == "" {
		for _, f := range s.families {
			if rest, ok := strings.CutPrefix(name, f); ok && len(f) > len(e.family) && (rest == "" || rest[0] < 'a' || rest[0] > 'z') {
				e.family = f
			}
		}
	}
}

// most is the value that is there most often, of several the smallest; its
// zero does not count.
func most[T cmp.Ordered](entries []*entry, get func(*entry) T) T {
	n := map[T]int{}
	for _, e := range entries {
		n[get(e)]++
	}
	var best, none T
	delete(n, none)
	for _, v := range slices.Sorted(maps.Keys(n)) {
		if n[v] > n[best] {
			best = v
		}
	}
	return best
}
