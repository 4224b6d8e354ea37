package app

import (
	"fmt"
	"net"
	"strconv"
)

// News of the service, in the words of sd_notify(3).
const (
	newsReady     = "READY=1"
	newsReloading = "RELOADING=1"
	newsStopping  = "STOPPING=1"
)

// newsMain tells that another process is the service's main one.
func newsMain(pid int) string { return "MAINPID=" + strconv.Itoa(pid) }

// notify tells systemd, where it listens, news of the service; nothing after
// lastNews.
func (a *App) notify(news string) {
	a.news.Lock()
	defer a.news.Unlock()
	if !a.ending {
		a.tell(news)
	}
}

// lastNews tells what no other news may follow: a reload that is still under way
// would say that the service is ready.
func (a *App) lastNews(news string) {
	a.news.Lock()
	defer a.news.Unlock()
	a.ending = true
	a.tell(news)
}

func (a *App) tell(news string) {
	if a.opts.Notify == "" {
		return
	}
	if err := send(a.opts.Notify, news); err != nil {
		a.log.Warn("systemd cannot be told how the service is", "error", err.Error())
	}
}

// send sends a datagram to a Unix socket; "@" begins the name of an abstract
// one.
func send(path, text string) error {
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("connecting to NOTIFY_SOCKET: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(text)); err != nil {
		return fmt.Errorf("writing to NOTIFY_SOCKET: %w", err)
	}
	return nil
}
