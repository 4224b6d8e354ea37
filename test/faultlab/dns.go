package faultlab

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Question is one question in a name server's journal.
type Question struct {
	At   time.Time
	Name string // without the last dot
	IPv6 bool   // AAAA, else A
}

// Record is a name server's answer.
type Record struct {
	Addrs []netip.Addr  // of both families; each question gets its own
	Code  string        // "": success; NXDOMAIN, SERVFAIL, REFUSED
	Delay time.Duration // before the answer
	Drop  bool          // there is none
}

// DNS is a name server over UDP. Safe for concurrent use.
type DNS struct {
	pc  net.PacketConn
	all sync.WaitGroup

	mu      sync.Mutex
	stop    chan struct{}
	answers map[string]Record
	asked   []Question
}

// StartDNS starts a name server that knows no name yet; names it does not know
// do not exist. The caller closes it.
func StartDNS(addr string) (*DNS, error) {
	pc, err := net.ListenPacket("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening as a name server: %w", err)
	}
	d := &DNS{pc: pc, stop: make(chan struct{}), answers: map[string]Record{}}
	d.all.Go(d.serve)
	return d, nil
}

// Set makes a name lead elsewhere from now on.
func (d *DNS) Set(name string, r Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answers[name] = r
}

// Asked returns the questions for a name so far.
func (d *DNS) Asked(name string) (all []Question) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, q := range d.asked {
		if q.Name == name {
			all = append(all, q)
		}
	}
	return all
}

// Close ends the server.
func (d *DNS) Close() {
	d.mu.Lock()
	select {
	case <-d.stop:
	default:
		close(d.stop)
	}
	d.mu.Unlock()
	_ = d.pc.Close()
	d.all.Wait()
}

func (d *DNS) serve() {
	b := make([]byte, 1500)
	for {
		n, from, err := d.pc.ReadFrom(b)
		if err != nil {
			return
		}
		var p dnsmessage.Parser
		head, err := p.Start(b[:n])
		if err != nil {
			continue
		}
		q, err := p.Question()
		if err != nil {
			continue
		}
		name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
		d.mu.Lock()
		d.asked = append(d.asked, Question{time.Now(), name, q.Type == dnsmessage.TypeAAAA})
		r, known := d.answers[name]
		d.mu.Unlock()
		if !known {
			r.Code = "NXDOMAIN"
		}
		if r.Drop {
			continue
		}
		msg, err := answer(head.ID, q, r)
		if err != nil {
			continue
		}
		d.all.Go(func() {
			t := time.NewTimer(r.Delay)
			defer t.Stop()
			select {
			case <-t.C:
				_, _ = d.pc.WriteTo(msg, from)
			case <-d.stop:
			}
		})
	}
}

var codes = map[string]dnsmessage.RCode{
	"": dnsmessage.RCodeSuccess, "NXDOMAIN": dnsmessage.RCodeNameError, "SERVFAIL": dnsmessage.RCodeServerFailure, "REFUSED": dnsmessage.RCodeRefused,
}

// answer builds the message that answers q. Answers may be kept for a second.
func answer(id uint16, q dnsmessage.Question, r Record) ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, Response: true, Authoritative: true, RecursionAvailable: true, RCode: codes[r.Code]})
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	if err := b.Question(q); err != nil {
		return nil, err
	}
	if err := b.StartAnswers(); err != nil {
		return nil, err
	}
	h := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}
	for _, a := range r.Addrs {
		var err error
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			err = b.AResource(h, dnsmessage.AResource{A: a.As4()})
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			err = b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: a.As16()})
		}
		if err != nil {
			return nil, err
		}
	}
	return b.Finish()
}
