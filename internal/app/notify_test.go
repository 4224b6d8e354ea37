//go:build unix

package app

import (
	"log/slog"
	"net"
	"path/filepath"
	"testing"
)

// Nothing follows the last news, whoever still has some.
func TestLastNews(t *testing.T) {
	path := filepath.Join(t.TempDir(), "news")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	a := &App{opts: Options{Notify: path}, log: slog.New(slog.DiscardHandler)}
	a.notify(newsReloading)
	a.lastNews(newsStopping)
	a.notify(newsReady)
	if err := send(path, "end"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	for _, want := range []string{newsReloading, newsStopping, "end"} {
		if n, err := systemd.Read(b); err != nil || string(b[:n]) != want {
			t.Errorf("got %q, %v, want %q", b[:n], err, want)
		}
	}
}
