package config

import "strings"

// Names begin with a letter or a digit, and a pattern may begin with "*".
// They hold no character that would have to be escaped in a URL path or a
// metric label.

const nameSigns = "._-:@+~="

func isName(s, signs string) bool {
	return s != "" && len(s) <= maxName && (isAlnum(s[0]) || s[0] == '*' && strings.Contains(signs, "*")) &&
		allBytes(s, func(b byte) bool { return isAlnum(b) || strings.IndexByte(signs, b) >= 0 })
}

const wantName = "a name has at most 256 characters, begins with a letter or digit and goes on with those or . _ - : @ + ~ ="

// checkProvider accepts the name of a provider or a vendor.
func checkProvider(s string) string {
	if !isName(s, nameSigns) {
		return wantName
	}
	return ""
}

// checkModel accepts the name of a model. One that holds a slash can be asked
// for, but not named as a target: there it is provider/vendor-model.
func checkModel(s string) string {
	switch {
	case !isName(s, nameSigns+"/*"):
		return wantName + " or /, and one * in a pattern"
	case strings.Count(s, "*") > 1:
		return "a pattern has one *: write one"
	case strings.HasSuffix(s, "/") || strings.Contains(s, "//"):
		return "a part of the name is empty: remove a /"
	}
	return ""
}

// checkAlias accepts another name of a model.
func checkAlias(s string) string {
	if strings.Contains(s, "*") {
		return "an alias is no pattern: make the pattern a model of its own"
	}
	return checkModel(s)
}

// checkTarget accepts provider/vendor-model, or the name of a model or alias.
func checkTarget(s string) string {
	provider, model, ok := strings.Cut(s, "/")
	switch {
	case !ok:
		if strings.Contains(s, "*") {
			return "a pattern cannot be a target: write provider/vendor-model or the name of a model"
		}
		return checkModel(s)
	case checkProvider(provider) != "":
		return "the part before the first / names a provider: write provider/vendor-model"
	case model == "" || len(s) > 2*maxName || !allBytes(model, isGraphic):
		return "the part after the first / is the vendor's name for the model, without spaces: write provider/vendor-model"
	case strings.Count(model, "*") > 1:
		return "* stands for what the pattern's * matched: write it once"
	}
	return ""
}

// checkGlob accepts a name that a key may ask for.
func checkGlob(s string) string {
	if s == "" || len(s) > 2*maxName || !allBytes(s, isGraphic) {
		return "write the name of a model, or a pattern such as claude-* or openai/*"
	}
	return ""
}

// checkKeyName accepts the name of a client key.
func checkKeyName(s string) string {
	if !isName(s, nameSigns+"/") {
		return wantName + " or /"
	}
	return ""
}

// Match reports whether pattern, with at most one "*" for any text, matches
// name, and what the "*" stands for.
func Match(pattern, name string) (star string, ok bool) {
	before, after, found := strings.Cut(pattern, "*")
	if !found {
		return "", pattern == name
	}
	if len(name) < len(before)+len(after) || !strings.HasPrefix(name, before) || !strings.HasSuffix(name, after) {
		return "", false
	}
	return name[len(before) : len(name)-len(after)], true
}
