package app

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

// What a process is started with by the one whose place it takes:
// socketsEnv holds the names of the descriptors from firstSocket on, separated
// by commas. A listener's may be followed by = and the address that it was
// configured with; ready is the pipe that is told when the new process serves.
// drainedEnv holds the ids of the targets that the operator drains, a line each.
const (
	socketsEnv  = "SLUICE_SOCKETS"
	drainedEnv  = "SLUICE_DRAINED"
	firstSocket = 3 // systemd's SD_LISTEN_FDS_START, too
	mainSocket  = "main"
	adminSocket = "admin"
	readyPipe   = "ready"
)

// Sockets are what this process was started with: listeners, by systemd
// (sd_listen_fds(3)) or by the process whose place it takes. nil: nothing.
type Sockets struct {
	main, admin *socket
	ready       *os.File
	drained     []string // targets that the operator drains
}

// socket is a listener that was made by somebody else.
type socket struct {
	net.Listener
	// configured is the address that it was made for: another one in the
	// configuration asks for another listener. "": the configuration does not
	// choose.
	configured string
}

// passed is a descriptor that was passed to this process.
type passed struct {
	fd               int
	name, configured string
}

// Inherit takes what this process was started with, and what told of it out of
// the environment.
func Inherit() (*Sockets, error) {
	all, err := passedOn(os.Getenv, os.Getpid())
	if err != nil || len(all) == 0 {
		return nil, err
	}
	s := &Sockets{drained: strings.Split(os.Getenv(drainedEnv), "\n")}
	for _, name := range [...]string{socketsEnv, drainedEnv, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(name)
	}
	for _, p := range all {
		f := own(p.fd, p.name)
		if p.name == readyPipe {
			s.ready = f
			continue
		}
		l, err := net.FileListener(f)
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("taking over the socket %q: %w", p.name, err)
		}
		if x := (&socket{l, p.configured}); p.name == adminSocket {
			s.admin = x
		} else {
			s.main = x
		}
	}
	return s, nil
}

// passedOn reads what the environment says of descriptors that were passed to
// the process pid.
func passedOn(getenv func(string) string, pid int) ([]passed, error) {
	if v := getenv(socketsEnv); v != "" {
		var all []passed
		for i, s := range strings.Split(v, ",") {
			name, configured, _ := strings.Cut(s, "=")
			all = append(all, passed{firstSocket + i, name, configured})
		}
		return all, nil
	}
	if getenv("LISTEN_PID") != strconv.Itoa(pid) {
		return nil, nil
	}
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || n < 1 {
		return nil, fmt.Errorf("LISTEN_FDS says %q: it must be the number of sockets", getenv("LISTEN_FDS"))
	}
	if n > 2 {
		return nil, fmt.Errorf("systemd passes %d sockets: there is one for clients and one with FileDescriptorName=admin", n)
	}
	names := strings.Split(getenv("LISTEN_FDNAMES"), ":")
	all := make([]passed, n)
	for i := range all {
		all[i] = passed{fd: firstSocket + i, name: mainSocket}
		if i < len(names) && names[i] == adminSocket {
			all[i].name = adminSocket
		}
	}
	if i := slices.IndexFunc(all, func(p passed) bool { return p.name == mainSocket }); i < 0 || n == 2 && all[0].name == all[1].name {
		return nil, fmt.Errorf("systemd passes %d sockets: one must be for clients, and a second have FileDescriptorName=admin", n)
	}
	return all, nil
}

// at returns s if it is the listener for an address, else makes one; nil where
// the address is "".
func (s *socket) at(address string) (*socket, error) {
	if s != nil {
		if s.configured == "" || s.configured == address {
			return s, nil
		}
		_ = s.Close() // whoever passed it on still has it
	}
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &socket{l, address}, nil
}

// fixed reports whether the configuration does not choose the address.
func (s *socket) fixed() bool { return s != nil && s.configured == "" }

// passAs is the name of s for the process that it is passed on to.
func (s *socket) passAs(name string) string {
	if s.fixed() {
		return name
	}
	return name + "=" + s.configured
}

// serving is what the process that waits is told when this one serves; anything
// else is why it does not.
const serving = "serving"

// Tell tells the process that waits for this one, if there is one, why this one
// does not serve.
func (s *Sockets) Tell(err error) { s.tell(err.Error()) }

// awaited reports whether a process waits for this one.
func (s *Sockets) awaited() bool { return s != nil && s.ready != nil }

func (s *Sockets) tell(text string) {
	if !s.awaited() {
		return
	}
	_, _ = s.ready.WriteString(text[:min(len(text), maxReason)]) // who waits has gone, or will see the end
	_ = s.ready.Close()
	s.ready = nil
}
