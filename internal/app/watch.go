package app

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settleTime is how long a file must be left alone before it is read:
// editors write in several steps.
const settleTime = 100 * time.Millisecond

// watch reloads when the file changes and when hup fires, until ctx is done.
// The directory is watched, since editors and Kubernetes replace files.
func (a *App) watch(ctx context.Context, hup <-chan os.Signal) {
	var events chan fsnotify.Event
	if a.opts.Watch != "" {
		w, err := fsnotify.NewWatcher()
		if err == nil {
			defer w.Close()
			err = w.Add(filepath.Dir(a.opts.Watch))
			events = w.Events
			go func() {
				for range w.Errors { // an overflow; the next change is seen
				}
			}()
		}
		if err != nil {
			a.log.Warn("the file is not watched; SIGHUP reloads", "error", err.Error())
			events = nil
		}
	}
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			_ = a.reloadAndTell("SIGHUP") // it is told
		case e := <-events:
			if name := filepath.Base(e.Name); name == filepath.Base(a.opts.Watch) && !e.Has(fsnotify.Chmod) || name == "..data" {
				quiet.Reset(settleTime)
			}
		case <-quiet.C:
			if info, err := os.Stat(a.opts.Watch); err == nil && info.Size() == 0 {
				continue // it is being written: there will be another event
			}
			_ = a.reloadAndTell("file changed")
		}
	}
}
