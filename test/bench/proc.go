//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// cpuSet is the kernel's cpu_set_t: one bit per core, 1,024 of them.
type cpuSet [16]uint64

func (s *cpuSet) cores() []int {
	var out []int
	for i := range len(s) * 64 {
		if s[i/64]>>(i%64)&1 == 1 {
			out = append(out, i)
		}
	}
	return out
}

func setOf(core int) *cpuSet {
	var s cpuSet
	s[core/64] = 1 << (core % 64)
	return &s
}

// affinity calls sched_getaffinity or sched_setaffinity for a thread; 0 is the
// calling one.
func affinity(trap uintptr, tid int, s *cpuSet) error {
	if _, _, e := syscall.RawSyscall(trap, uintptr(tid), unsafe.Sizeof(*s), uintptr(unsafe.Pointer(s))); e != 0 {
		return fmt.Errorf("affinity of thread %d: %w", tid, e)
	}
	return nil
}

// pickCores returns two cores this process may use.
func pickCores() (gateway, load int, err error) {
	var s cpuSet
	if err := affinity(syscall.SYS_SCHED_GETAFFINITY, 0, &s); err != nil {
		return 0, 0, err
	}
	c := s.cores()
	if len(c) < 2 {
		return 0, 0, errors.New("two cores are needed, one for the gateway and one for mock and load")
	}
	return c[0], c[1], nil
}

// pinSelf moves every thread of this process to core. Threads made later
// inherit it.
func pinSelf(core int) error {
	for moved := map[string]bool{}; ; {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		before := len(moved)
		for _, t := range tasks {
			if moved[t.Name()] {
				continue
			}
			tid, err := strconv.Atoi(t.Name())
			if err != nil {
				return err
			}
			if err := affinity(syscall.SYS_SCHED_SETAFFINITY, tid, setOf(core)); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
			moved[t.Name()] = true
		}
		if len(moved) == before {
			return nil
		}
	}
}

// A process is a child pinned to one core. It dies with this program.
type process struct {
	cmd  *exec.Cmd
	gone chan struct{} // closed once the child has ended and was waited for
	log  string
}

// tuning are the variables that would change how a measured process behaves.
var tuning = []string{"GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG", "STATE_DIRECTORY"}

func childEnv(extra []string) []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(tuning, name) || strings.HasPrefix(name, "SLUICE_") || strings.HasSuffix(name, "_API_KEY")
	})
	return append(env, extra...)
}

// launch starts argv on core with stdout and stderr in the file log. The child
// inherits the mask of the thread that forks it, so it sees one core from its
// first instruction on.
func launch(core, home int, log string, env []string, argv ...string) (*process, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = childEnv(env), f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := affinity(syscall.SYS_SCHED_SETAFFINITY, 0, setOf(core)); err != nil {
		return nil, err
	}
	err = cmd.Start()
	if back := affinity(syscall.SYS_SCHED_SETAFFINITY, 0, setOf(home)); back != nil {
		return nil, errors.Join(err, back)
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	p := &process{cmd: cmd, gone: make(chan struct{}), log: log}
	go func() {
		cmd.Wait()
		close(p.gone)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop asks the child to end, kills it after grace, and waits for it. No grace
// kills it at once.
func (p *process) stop(grace time.Duration) {
	if grace > 0 {
		p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.gone:
			return
		case <-time.After(grace):
		}
	}
	p.cmd.Process.Kill()
	<-p.gone
}

// logTail is the last lines the child wrote, for messages.
func (p *process) logTail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	b = bytes.TrimSpace(b)
	return string(b[max(0, len(b)-600):])
}

// cpu is the CPU time of the child since it began, user and kernel, threads
// that ended included, in the scheduler's nanoseconds: the clock that
// clock_getcpuclockid(3) names for a process is ^pid<<3 | CPUCLOCK_SCHED (2).
func (p *process) cpu() (time.Duration, error) {
	clock := int32(^p.pid())<<3 | 2
	var ts syscall.Timespec
	if _, _, e := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&ts)), 0); e != 0 {
		return 0, fmt.Errorf("cpu clock of process %d: %w: %s", p.pid(), e, p.logTail())
	}
	return time.Duration(ts.Nano()), nil
}

// rss is the resident memory of the child in bytes, summed over its mappings,
// as VmRSS of /proc/PID/status is an estimate.
func (p *process) rss() (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.pid()))
	if err != nil {
		return 0, fmt.Errorf("memory of process: %w", err)
	}
	for l := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(l, "Rss:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 64)
			return kib * 1024, err
		}
	}
	return 0, errors.New("memory of process: no Rss line")
}

// machineCPU is the time all cores were busy since boot, in ticks of 10 ms
// (USER_HZ), time stolen by a hypervisor included.
func machineCPU() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(b), "\n")
	f := strings.Fields(first)
	if len(f) < 9 {
		return 0, fmt.Errorf("/proc/stat begins with %q", first)
	}
	var ticks int64
	for _, i := range []int{1, 2, 3, 6, 7, 8} { // user nice system irq softirq steal
		n, err := strconv.ParseInt(f[i], 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

func ownCPU() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// needFiles makes sure that n files may be open at once; Go raises the soft
// limit to the hard one by itself.
func needFiles(n uint64) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	if l.Max < n {
		return fmt.Errorf("%d open files are needed and %d allowed: raise the hard limit (ulimit -Hn)", n, l.Max)
	}
	return nil
}
