package connect

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// maxFile is the largest settings file that is edited, in bytes.
const maxFile = 1 << 20

// Written is what Write did.
type Written struct {
	Path    string
	Backup  string // "": there was nothing to keep, or nothing changed
	Changed bool
}

// Write puts the gateway into a settings file, keeping everything else in it
// and a copy of it beside it. Written twice, the second time changes nothing.
// A file that cannot be read and understood is left alone; one that holds the
// key afterwards may be read by its owner only.
func (t *Tool) Write(path string, g Gateway) (Written, error) {
	w := Written{Path: path}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		w.Path = real
	}
	old, mode, err := read(w.Path)
	if err != nil {
		return w, fmt.Errorf("%s is left as it is: %w", path, err)
	}
	b, err := t.Edit(old, g)
	if err != nil {
		return w, fmt.Errorf("%s is left as it is: %w; put the settings in by hand", path, err)
	}
	if bytes.Equal(old, b) {
		return w, nil
	}
	if old != nil {
		if w.Backup, err = backup(w.Path, old); err != nil {
			return w, fmt.Errorf("%s is left as it is: keeping a copy: %w", path, err)
		}
	}
	if g.Key != "" && bytes.Contains(b, []byte(g.Key)) {
		mode &^= 0o077
	}
	if err := replace(w.Path, b, mode); err != nil {
		return w, fmt.Errorf("writing %s: %w", path, err)
	}
	w.Changed = true
	return w, nil
}

// read returns a file's content and permissions; nil where there is none.
func read(path string) ([]byte, fs.FileMode, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0o600, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, errors.New("it is not a regular file")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("it is larger than %d KiB", maxFile>>10)
	}
	if b == nil {
		b = []byte{}
	}
	return b, info.Mode().Perm(), err
}

// backup keeps content in a file of its own, which only its owner may read.
func backup(path string, content []byte) (string, error) {
	name := path + "." + time.Now().UTC().Format("20060102T150405.000") + ".bak"
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	return name, errors.Join(err, f.Close())
}

// replace writes a file whole or not at all.
func replace(path string, content []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".sluice-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
