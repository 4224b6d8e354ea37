//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	swaps      = 10
	swapWait   = 30 * time.Second // for the old process to end
	reloads    = 100
	swapUnary  = 24 // connections that ask again and again
	swapStream = 16 // and those of streams
	swapChunks = 16
	swapGap    = 20 * time.Millisecond
	reloadWait = 10 * time.Second // for one to be told in the log
)

// under keeps unary requests and streams going on kept connections while do
// works, and returns what they brought.
func under(addr string, do func() error) (unary, streams sum, err error) {
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	run := func(n, chunks int) *sum {
		f := newFleet(addr, n)
		req := ask{bytes: 200, chunks: chunks}.request(addr, clientKey)
		all := &sum{}
		wg.Go(func() {
			defer f.close()
			for ctx.Err() == nil {
				all.add(f.run(req, chunks, time.Second/2, 0))
			}
		})
		return all
	}
	u, t := run(swapUnary, 0), run(swapStream, swapChunks)
	time.Sleep(time.Second)
	err = do()
	time.Sleep(time.Second)
	stop()
	wg.Wait()
	return *u, *t, err
}

func lostRow(name string, x sum) []string {
	return []string{name, fmt.Sprint(x.ok), fmt.Sprint(x.failed), listErrors(x.errs)}
}

// await finds text in what the child logs from byte from on, and returns where
// it ends.
func (p *process) await(from int64, text string, wait time.Duration) (int64, error) {
	f, err := os.Open(p.log)
	if err != nil {
		return from, err
	}
	defer f.Close()
	for end := time.Now().Add(wait); ; time.Sleep(5 * time.Millisecond) {
		b, err := io.ReadAll(io.NewSectionReader(f, from, 1<<40))
		if err != nil {
			return from, err
		}
		if i := bytes.Index(b, []byte(text)); i >= 0 {
			return from + int64(i+len(text)), nil
		}
		from += int64(bytes.LastIndexByte(b, '\n') + 1)
		if time.Now().After(end) {
			return from, fmt.Errorf("no %s in the log: %s", text, p.logTail())
		}
	}
}

// reload puts configurations in force under load, every third of them broken.
func (s *soak) reload() error {
	m, mock, err := s.startMock("mock")
	if err != nil {
		return err
	}
	defer m.stop(0)
	if _, err := tell(mock, script{Chunks: swapChunks, Gap: swapGap, Body: 600}); err != nil {
		return err
	}
	g, err := s.gate("", "", mock)
	if err != nil {
		return err
	}
	defer g.stop()
	before, err := g.proc.rss()
	if err != nil {
		return err
	}
	good, err := os.ReadFile(g.config)
	if err != nil {
		return err
	}
	begin := time.Now()
	unary, streams, err := under(g.addr, func() error { return reloadAll(g, good) })
	if err != nil {
		return err
	}
	after, err := g.proc.rss()
	if err != nil {
		return err
	}
	s.put("reload", "", "lost", float64(unary.failed+streams.failed))
	s.put("reload", "", "rss_growth_mib", (after-before)/(1<<20))
	s.conclude([]bound{{"requests lost in 100 reloads", "%.0f", float64(unary.failed + streams.failed), 0}},
		fmt.Sprintf("%d reloads in %.1f s; resident memory %.0f MiB before, %.0f MiB after", reloads, time.Since(begin).Seconds(), before/(1<<20), after/(1<<20)),
		[]string{"", "answered", "lost", ""}, [][]string{lostRow("unary", unary), lostRow("streams", streams)})
	return nil
}

func reloadAll(g *subject, good []byte) error {
	var at int64
	for i := range reloads {
		text := fmt.Appendf(bytes.Clone(good), "# %d\n", i)
		done := `"msg":"reloaded"`
		if i%3 == 2 {
			text, done = append(text, "models: [\n"...), "reload failed"
		}
		if err := os.WriteFile(g.config, text, 0o600); err != nil {
			return err
		}
		if err := g.proc.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			return err
		}
		var err error
		if at, err = g.proc.await(at, done, reloadWait); err != nil {
			return err
		}
	}
	return os.WriteFile(g.config, good, 0o600)
}

var nextPID = regexp.MustCompile(`"msg":"another process serves","pid":(\d+)`)

// swap lets the gateway hand its socket to a new process under load, again and
// again.
func (s *soak) swap() error {
	m, mock, err := s.startMock("mock")
	if err != nil {
		return err
	}
	defer m.stop(0)
	if _, err := tell(mock, script{Chunks: swapChunks, Gap: swapGap, Body: 600}); err != nil {
		return err
	}
	g, err := s.gate("drain: 10s\n", "", mock)
	if err != nil {
		return err
	}
	pid := g.proc.pid()
	defer func() {
		g.stop()
		endOrphan(pid)
		s.orphan.Store(0)
	}()
	begin := time.Now()
	unary, streams, err := under(g.addr, func() error {
		at := int64(0)
		for range swaps {
			next, end, err := s.swapOnce(g.proc, pid, at)
			if err != nil {
				return err
			}
			pid, at = next, end
		}
		return nil
	})
	took := time.Since(begin)
	if err != nil {
		return err
	}
	endOrphan(pid)
	rows, err := s.ledgerRows(g.config)
	if err != nil {
		return err
	}
	lost := unary.failed + streams.failed
	missing := max(0, unary.ok+streams.ok+g.answered-rows)
	s.put("swap", "", "lost", float64(lost))
	s.put("swap", "", "rows_missing", float64(missing))
	s.conclude([]bound{{"requests lost in 10 swaps", "%.0f", float64(lost), 0}, {"answers that the ledger does not know", "%.0f", float64(missing), 0}},
		fmt.Sprintf("%d processes after each other in %.1f s", swaps, took.Seconds()),
		[]string{"", "answered", "lost", ""}, [][]string{lostRow("unary", unary), lostRow("streams", streams)})
	return nil
}

// swapOnce replaces the process pid and returns the pid of the next one, once
// the old one is gone.
func (s *soak) swapOnce(p *process, pid int, at int64) (next int, end int64, err error) {
	if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
		return 0, at, err
	}
	end, err = p.await(at, `"msg":"another process serves"`, swapWait)
	if err != nil {
		return 0, at, err
	}
	b, err := os.ReadFile(p.log)
	if err != nil {
		return 0, at, err
	}
	all := nextPID.FindAllSubmatch(b, -1)
	if len(all) == 0 {
		return 0, at, errors.New("the log names no new process")
	}
	if next, err = strconv.Atoi(string(all[len(all)-1][1])); err != nil {
		return 0, at, err
	}
	s.orphan.Store(int64(next))
	for over := time.Now().Add(swapWait); !gone(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(over) {
			return 0, at, fmt.Errorf("process %d is still there after it was replaced", pid)
		}
	}
	return next, end, nil
}

// gone reports whether a process has ended, whether or not anybody waited for
// it.
func gone(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	return err != nil || strings.HasPrefix(rest, "Z")
}

// endOrphan ends a gateway that is no child of this process.
func endOrphan(pid int) {
	_ = syscall.Kill(pid, syscall.SIGTERM)
	for over := time.Now().Add(stopGrace); !gone(pid) && time.Now().Before(over); time.Sleep(10 * time.Millisecond) {
	}
	if !gone(pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}
