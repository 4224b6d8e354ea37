package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

const (
	// startTime is how long a new process may take until it serves.
	startTime = time.Minute
	// handOver is how long a process whose listeners another one has answers
	// what comes on its connections and asks to close them, before idle ones
	// are closed. 1.5 s lost none of 627,752 requests in 100 restarts
	// (measured on loopback).
	handOver = 1500 * time.Millisecond
	// maxReason bounds what is read of why a new process does not serve.
	maxReason = 4 << 10
)

// start starts the binary anew, with this process's arguments, environment and
// listeners and the operator's drains, and returns when it serves. On error there is no new process. The
// end of ctx ends one that does not serve yet.
func (a *App) start(ctx context.Context) (*os.Process, error) {
	if os.Getpid() == 1 {
		return nil, errors.New("this is the first process of a container, which ends with it; start another container instead")
	}
	path, err := binary()
	if err != nil {
		return nil, fmt.Errorf("finding the binary: %w", err)
	}
	a.keepCanaries(ctx) // the new process goes on with them
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	var names []string
	defer func() {
		for _, f := range files[firstSocket:] {
			_ = f.Close()
		}
	}()
	for _, s := range a.sockets() {
		f, err := share(s.Listener)
		if err != nil {
			return nil, fmt.Errorf("passing the listener on: %w", err)
		}
		name := mainSocket
		if s == a.admin {
			name = adminSocket
		}
		files, names = append(files, f), append(names, s.passAs(name))
	}
	ready, told, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	defer ready.Close()
	files, names = append(files, told), append(names, readyPipe)
	p, err := os.StartProcess(path, os.Args, &os.ProcAttr{Files: files, Env: append(os.Environ(), socketsEnv+"="+strings.Join(names, ","), drainedEnv+"="+strings.Join(a.drained(), "\n"))})
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	_ = told.Close() // the new process has the other end
	if err := served(ctx, ready); err != nil {
		_ = p.Kill()
		if state, _ := p.Wait(); errors.Is(err, io.EOF) {
			err = errors.New(state.String())
		}
		return nil, fmt.Errorf("the new process does not serve: %w", err)
	}
	return p, nil
}

// served waits until a new process says that it serves. io.EOF: it ended.
func served(ctx context.Context, ready *os.File) error {
	_ = ready.SetReadDeadline(time.Now().Add(startTime))
	stop := context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	b := make([]byte, maxReason)
	n, err := ready.Read(b)
	switch {
	case string(b[:n]) == serving:
		return nil
	case n > 0:
		return errors.New(string(b[:n]))
	case ctx.Err() != nil:
		return errors.New("this one was told to stop")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("nothing was heard of it for %s", startTime)
	}
	return err
}

// binary is the file of this command: as it was called, so that a link to a new
// one is followed, else where it lies.
func binary() (string, error) {
	if path, err := exec.LookPath(os.Args[0]); err == nil {
		return path, nil
	}
	return os.Executable()
}

// drained are the ids of the targets that the operator drains.
func (a *App) drained() (ids []string) {
	for _, t := range a.current.Load().gw.Targets {
		if t.Drained() {
			ids = append(ids, t.ID)
		}
	}
	return ids
}

// sockets are the listeners of this process.
func (a *App) sockets() []*socket {
	return slices.DeleteFunc([]*socket{a.main, a.admin}, func(s *socket) bool { return s == nil })
}

// restart starts the process that takes the place of this one. The channel gets
// it, or nil where that failed, of which the log tells.
func (a *App) restart(ctx context.Context) <-chan *os.Process {
	began := time.Now()
	c := make(chan *os.Process, 1)
	a.log.Info("restarting")
	go func() {
		p, err := a.start(ctx)
		if err != nil {
			a.log.Error("restart failed; this process goes on", "error", err.Error())
		} else {
			a.log.Info("another process serves", "pid", p.Pid, "after_ms", time.Since(began).Milliseconds())
		}
		c <- p
	}()
	return c
}

// retire leaves the listeners to the process p: it and this one shared them so
// far.
func (a *App) retire(p *os.Process) {
	a.lastNews(newsMain(p.Pid))
	go func() { _, _ = p.Wait() }() // it may end before this one does
	for _, s := range a.sockets() {
		_ = s.Close()
	}
	a.server.Retire()
	a.retired.Store(true)
}
