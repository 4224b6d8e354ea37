package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Bounds of what ${…} brings.
const (
	maxFile   = 64 << 10 // bytes of one ${file:…}
	maxExpand = 64 << 20 // bytes in one configuration
)

// expand returns the text of v with ${NAME} and ${file:/path} filled in; "$${"
// stands for "${". What they bring is text, never YAML, and no message shows
// it.
func (d *decoder) expand(v value) (string, bool) {
	var b strings.Builder
	s, good := v.node.text, true
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			b.WriteString(s)
			break
		}
		if i > 0 && s[i-1] == '$' {
			b.WriteString(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		n := strings.IndexByte(s[i:], '}')
		if n < 0 {
			d.failf(v, `%s has "${" without "}": write ${NAME} or ${file:/path}, or $${ for the two characters themselves`, subject(v.path))
			return "", false
		}
		b.WriteString(s[:i])
		text, msg := d.lookup(s[i+2 : i+n])
		if msg != "" {
			d.failf(v, "%s: %s", subject(v.path), msg)
			good = false
		}
		if d.bytes += len(text); d.bytes > maxExpand {
			d.failf(v, "%s: ${…} brings more than %d bytes in all: use smaller values", subject(v.path), maxExpand)
			return "", false
		}
		b.WriteString(text)
		s = s[i+n+1:]
	}
	return b.String(), good
}

// lookup returns what ${name} stands for, or what is wrong with it.
func (d *decoder) lookup(name string) (text, msg string) {
	if path, ok := strings.CutPrefix(name, "file:"); ok {
		if text, ok = d.files[path]; !ok {
			if text, msg = readSecret(path); msg != "" {
				return "", msg
			}
			if d.files == nil {
				d.files = map[string]string{}
			}
			d.files[path] = text
		}
		return text, ""
	}
	if !isEnvName(name) {
		return "", fmt.Sprintf("${%s} is not understood: write ${NAME} with letters, digits and _, or ${file:/path}", short(name))
	}
	if d.env != nil {
		if text, ok := d.env(name); ok {
			return text, ""
		}
	}
	return "", fmt.Sprintf("environment variable %s is not set: set it, or write the value in its place", name)
}

// readSecret reads path without its last line break. Only regular files are
// read: others may block for ever.
func readSecret(path string) (text, msg string) {
	if !filepath.IsAbs(path) {
		return "", fmt.Sprintf("${file:%s} is not an absolute path: write it from the root on", short(path))
	}
	cannot := func(why string) string {
		return fmt.Sprintf("file %s %s", quote(path), why)
	}
	info, err := os.Stat(path)
	switch {
	case os.IsNotExist(err):
		return "", cannot("does not exist: make it, or write another path")
	case err != nil:
		return "", cannot("cannot be read: check its permissions")
	case !info.Mode().IsRegular():
		return "", cannot("is not a regular file: name one")
	}
	f, err := os.Open(path)
	if err != nil {
		return "", cannot("cannot be opened: check its permissions")
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", cannot("cannot be read: check the disk")
	}
	if len(data) > maxFile {
		return "", cannot(fmt.Sprintf("is larger than %d bytes: name a smaller one", maxFile))
	}
	text = strings.TrimSuffix(string(data), "\n")
	return strings.TrimSuffix(text, "\r"), ""
}

func isEnvName(s string) bool {
	for i, r := range []byte(s) {
		if r != '_' && !isLetter(r) && (i == 0 || !isDigit(r)) {
			return false
		}
	}
	return s != ""
}

// short bounds a part of the file within a message.
func short(s string) string {
	q := quote(s)
	return q[1 : len(q)-1]
}
