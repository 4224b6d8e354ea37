package upstream

import (
	"bytes"
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// peeked is a live stream whose beginning was read already.
type peeked struct {
	*live
	first llm.Chunk // what was read
	have  bool
	held  []llm.Chunk // what was read after it
	spent llm.Usage   // what the vendor had counted when held was read
	mute  bool        // whoever reads wants no events beside bytes
	over  error       // the end, if it was read too; nil: more follows
	ahead chan read   // what a read under way brings; nil: none is
}

// read is what one Next returned.
type read struct {
	chunk llm.Chunk
	err   error
}

// Next implements llm.Stream.
func (p *peeked) Next() (llm.Chunk, error) {
	c, err := p.next()
	if p.mute && len(c.Raw) > 0 {
		c.Events = nil
	}
	return c, err
}

func (p *peeked) next() (llm.Chunk, error) {
	switch {
	case p.have:
		c := p.first
		p.have, p.first = false, llm.Chunk{}
		return c, nil
	case len(p.held) > 0:
		c := p.held[0]
		p.held[0], p.held = llm.Chunk{}, p.held[1:]
		return c, nil
	case p.ahead != nil:
		x := <-p.ahead
		p.ahead = nil
		return x.chunk, x.err
	case p.over != nil:
		return llm.Chunk{}, p.over
	}
	return p.live.Next()
}

// Close implements llm.Stream.
func (p *peeked) Close() error {
	p.stop(context.Canceled)
	return p.live.Close()
}

// stop ends a read under way, for that cause.
func (p *peeked) stop(cause error) {
	if p.ahead != nil {
		p.watch.cancel(cause)
		<-p.ahead
		p.ahead = nil
	}
}

// rejection is the cause that ends an answer which was not accepted.
var rejection = &llm.Error{Kind: llm.KindRejected, Message: "its gates did not accept the answer"}

// reject ends a call whose answer was not accepted.
func (p *peeked) reject() {
	p.stop(rejection)
	p.live.fail(rejection)
	p.attempt.Reject()
}

// settle, deferred, is live.settle.
func (p *peeked) settle() {
	if x := recover(); x != nil {
		p.stop(context.Canceled)
		p.live.fail(&llm.Error{Kind: llm.KindInternal, Message: "internal error", Err: crashed(x)})
		panic(x)
	}
}

// safely is Next where a panic, of which the attempt tells, is an error: nobody
// is above a goroutine of its own.
func safely(s llm.Stream, l *live) (x read) {
	defer func() {
		if recover() != nil {
			x.err = &llm.Error{Kind: llm.KindInternal, Message: "internal error"}
		}
	}()
	defer l.settle()
	x.chunk, x.err = s.Next()
	return x
}

// gather reads the whole of an answer that is no stream, and lets b see it.
func (p *peeked) gather(b *bench) *llm.Error {
	c, _ := p.Next()
	for {
		p.take(&c, b)
		var err error
		if c, err = p.live.Next(); err == io.EOF {
			p.over, p.spent = io.EOF, p.usage
			b.end()
			return nil
		} else if err != nil {
			return llm.AsError(err)
		}
	}
}

// hold reads the beginning of a stream, and lets b see it: until heldBytes of text
// have come, heldTime has passed, or the stream has ended.
func (p *peeked) hold(b *bench) *llm.Error {
	c, _ := p.Next()
	t := time.NewTimer(heldTime)
	defer t.Stop()
	var text textCount
	for size := 0; ; {
		p.take(&c, b)
		p.spent = p.usage
		if size += sizeOf(&c); text.add(&c) >= heldBytes || size >= maxPrefix {
			return nil
		}
		ahead := make(chan read, 1)
		p.ahead = ahead
		go func() { ahead <- safely(p.live, p.live) }()
		select {
		case x := <-ahead:
			p.ahead = nil
			if x.err == io.EOF {
				p.over, p.spent = io.EOF, p.usage
				b.end()
				return nil
			}
			if x.err != nil {
				return llm.AsError(x.err)
			}
			c = x.chunk
		case <-t.C:
			return nil
		}
	}
}

// textCount counts the bytes of an answer's text: neither thinking nor calls.
type textCount struct {
	n     int
	other []blockPlace // blocks that are no text
}

// blockPlace is where a block is.
type blockPlace struct{ answer, index int }

// add takes the next piece, and returns how many bytes of text have come. Bytes that
// were not understood may be text.
func (s *textCount) add(c *llm.Chunk) int {
	if c.Events == nil {
		s.n += len(c.Raw)
	}
	for i := range c.Events {
		e := &c.Events[i]
		switch at := (blockPlace{e.Answer, e.Index}); {
		case e.Kind == llm.EventBlock && e.Block != nil && e.Block.Kind != llm.BlockText && e.Block.Kind != llm.BlockRefusal:
			s.other = append(s.other, at)
		case e.Kind == llm.EventDelta && !slices.Contains(s.other, at):
			s.n += len(e.Text)
		}
	}
	return s.n
}

// take keeps a piece that was read, and lets b see it.
func (p *peeked) take(c *llm.Chunk, b *bench) {
	b.add(c)
	p.held = append(p.held, own(c))
}

// own is a piece that stays as it is when the next is read.
func own(c *llm.Chunk) llm.Chunk {
	x := *c
	x.Raw, x.Events = bytes.Clone(c.Raw), slices.Clone(c.Events)
	if c.Usage != nil {
		u := *c.Usage
		x.Usage = &u
	}
	return x
}

// size is how many bytes of memory what was read takes, roughly.
func (p *peeked) size() (n int) {
	for i := range p.held {
		n += sizeOf(&p.held[i])
	}
	return n
}

// The bytes of memory that the parts of a piece take beside their texts, on 64 bits.
const (
	chunkSize = 96
	eventSize = 152
	blockSize = 184
	citeSize  = 64
	usageSize = 152
	probSize  = 72
)

// sizeOf is how many bytes of memory a piece takes, roughly.
func sizeOf(c *llm.Chunk) int {
	n := chunkSize + len(c.Raw) + eventSize*len(c.Events)
	if c.Usage != nil {
		n += usageSize
	}
	for i := range c.Events {
		e := &c.Events[i]
		n += len(e.Text) + len(e.Sequence) + len(e.ID) + len(e.Model) + sizeOfProbs(e.LogProbs)
		if b := e.Block; b != nil {
			n += sizeOfBlock(b)
		}
		if e.Cite != nil {
			n += citeSize + len(e.Cite.URL) + len(e.Cite.Title) + len(e.Cite.Quote)
		}
		if e.Usage != nil {
			n += usageSize
		}
	}
	return n
}

func sizeOfBlock(b *llm.Block) int {
	n := blockSize + len(b.Text) + len(b.ID) + len(b.Name) + len(b.Seal.Data) + citeSize*len(b.Cites) + sizeOfProbs(b.LogProbs)
	if m := b.Media; m != nil {
		n += len(m.Data) + len(m.URL) + len(m.Text)
	}
	for i := range b.Result {
		n += sizeOfBlock(&b.Result[i])
	}
	return n
}

func sizeOfProbs(all []llm.LogProb) (n int) {
	for i := range all {
		n += probSize + len(all[i].Token) + len(all[i].Bytes) + sizeOfProbs(all[i].Top)
	}
	return n
}

// replace puts a reply in the place of an answer that is whole.
func (p *peeked) replace(reply *llm.Reply) {
	c := llm.Chunk{Events: reply.Events(nil), Level: llm.LevelContent}
	for i := range p.held {
		if u := p.held[i].Usage; u != nil {
			c.Usage = u
		}
	}
	p.held = nil
	for p.over == nil { // its end and its count are on their way
		x, err := p.Next()
		if err != nil {
			p.over = io.EOF
			break
		}
		for i := range x.Events {
			if x.Events[i].Kind == llm.EventUsage {
				c.Events = append(c.Events, x.Events[i])
			}
		}
		if x.Usage != nil {
			u := *x.Usage
			c.Usage = &u
		}
	}
	p.held = []llm.Chunk{c}
}

// judged is a streamed answer that is judged as a whole when the client has it.
type judged struct {
	llm.Stream
	bench   *bench
	attempt func() *llm.Attempt // that answers
	events  bool                // whoever reads wants those beside bytes
	seen    int                 // so many of the next pieces were judged
	whole   bool
	over    bool
}

// Next implements llm.Stream.
func (j *judged) Next() (llm.Chunk, error) {
	c, err := j.Stream.Next()
	switch {
	case err == io.EOF && !j.whole:
		j.whole = true
		j.bench.end()
	case err != nil:
	case j.seen > 0:
		j.seen--
	default:
		j.bench.add(&c)
	}
	if len(c.Raw) > 0 && !j.events {
		c.Events = nil
	}
	return c, err
}

// Close implements llm.Stream.
func (j *judged) Close() error {
	err := j.Stream.Close()
	if j.whole && !j.over {
		j.bench.late(j.attempt())
	}
	j.over = true
	return err
}

// spool reads a stream that was not accepted on to its end, in a goroutine of its
// own, so that it is whole should no better one come. It implements llm.Stream
// for whoever takes it then.
type spool struct {
	half *peeked
	done chan struct{} // closed when nothing is read any more

	mu     sync.Mutex
	come   sync.Cond // what follows has changed
	chunks []llm.Chunk
	size   int   // of them, in bytes
	over   error // the end; nil: more may come
	taken  bool  // somebody reads them
	gone   bool  // nobody wants them, or they are more than maxKept
}

func newSpool(half *peeked) *spool {
	s := &spool{half: half, done: make(chan struct{})}
	s.come.L = &s.mu
	go s.fill()
	return s
}

func (s *spool) fill() {
	defer close(s.done)
	for x := (read{}); x.err == nil; {
		x = safely(s.half, s.half.live)
		if !s.put(x) {
			return
		}
	}
}

// put adds what was read. It waits while a slow reader has enough, and reports
// whether more is wanted.
func (s *spool) put(x read) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over = x.err; x.err == nil {
		c := own(&x.chunk)
		s.chunks = append(s.chunks, c)
		s.size += sizeOf(&c)
	}
	s.come.Broadcast()
	for s.size > maxKept && s.taken && !s.gone {
		s.come.Wait()
	}
	if s.size > maxKept && !s.taken && !s.gone {
		s.gone, s.chunks = true, nil
		s.half.live.fail(rejection)
	}
	return !s.gone
}

// take claims the stream; false: it was too long to be kept, or broke.
func (s *spool) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = !s.gone && (s.over == nil || s.over == io.EOF)
	return s.taken
}

// reading reports whether more may come, for which the call has its slot.
func (s *spool) reading() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over == nil && !s.gone
}

// Next implements llm.Stream.
func (s *spool) Next() (llm.Chunk, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.chunks) == 0 && s.over == nil && !s.gone {
		s.come.Wait()
	}
	if len(s.chunks) == 0 {
		if s.over == nil {
			return llm.Chunk{}, io.ErrClosedPipe
		}
		return llm.Chunk{}, s.over
	}
	c := s.chunks[0]
	s.chunks[0], s.chunks = llm.Chunk{}, s.chunks[1:]
	s.size -= sizeOf(&c)
	s.come.Broadcast()
	return c, nil
}

// Close implements llm.Stream.
func (s *spool) Close() error {
	s.end(context.Canceled)
	return s.half.Close()
}

// cut ends a stream that nobody wants.
func (s *spool) cut() {
	s.end(rejection)
	s.half.reject()
}

// end stops the reading, for that cause.
func (s *spool) end(cause error) {
	s.mu.Lock()
	s.gone = true
	s.come.Broadcast()
	s.mu.Unlock()
	select {
	case <-s.done:
	default:
		s.half.watch.cancel(cause)
		<-s.done
	}
}
