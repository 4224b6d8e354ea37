package blackbox

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"testing"
)

// What SDKs do wrong, whatever they talk to.
const (
	leftOut = "it leaves tool_choice out unless it names a tool"
	addedUp = "it takes input tokens from message_start alone, where a vendor of another protocol has not counted yet, and adds the output tokens of message_start to those of message_delta"
)

// nodeClients are the SDKs of npm, each package's in a process of its own; none
// where Node.js is missing.
func nodeClients(t *testing.T) []flowClient {
	dir := nodeDir(t)
	if dir == "" {
		return nil
	}
	openAI, ai, chain := startNode(t, dir, "openai"), startNode(t, dir, "ai"), startNode(t, dir, "langchain")
	claude, google := startNode(t, dir, "anthropic"), startNode(t, dir, "genai")
	return []flowClient{
		openAI.client("openai-chat", flowClient{proto: protoChat, unary: true, streams: true, sees: true, seals: true, n: true, stops: true, embeds: true, lists: true}),
		openAI.client("openai-azure", flowClient{proto: protoChat, unary: true, streams: true, sees: true, seals: true, n: true, stops: true, embeds: true}),
		openAI.client("openai-chat.stream()", flowClient{proto: protoChat, streams: true, sees: true, seals: true, n: true, stops: true}),
		openAI.client("openai-responses", flowClient{proto: protoResponses, unary: true, streams: true, sees: true, seals: true}),
		openAI.client("openai-responses.stream()", flowClient{proto: protoResponses, streams: true, sees: true, seals: true}),
		claude.client("anthropic", flowClient{proto: protoAnthropic, unary: true, streams: true, sees: true, seals: true, stops: true, marks: true, lists: true, counts: true}),
		claude.client("anthropic.stream()", flowClient{proto: protoAnthropic, streams: true, sees: true, seals: true, stops: true, marks: true}),
		claude.client("claude-code", flowClient{proto: protoAnthropic, streams: true, sees: true, seals: true, stops: true, marks: true, counts: true}),
		google.client("genai", flowClient{proto: protoGemini, unary: true, streams: true, sees: true, seals: true, n: true, stops: true, embeds: true, lists: true, counts: true}),
		ai.client("ai-openai", flowClient{proto: protoResponses, unary: true, streams: true, sees: true, seals: true}),
		ai.client("ai-openai.chat", flowClient{proto: protoChat, unary: true, streams: true, stops: true, embeds: true, cannot: map[string]string{"quiet streamed": "it always asks for usage"}}),
		ai.client("ai-openai-compatible", flowClient{proto: protoChat, unary: true, streams: true, sees: true, stops: true, embeds: true}),
		ai.client("ai-anthropic", flowClient{proto: protoAnthropic, unary: true, streams: true, sees: true, seals: true, stops: true, marks: true}),
		ai.client("ai-google", flowClient{proto: protoGemini, unary: true, streams: true, sees: true, seals: true, stops: true, embeds: true}),
		ai.client("ai-google", flowClient{name: "ai-google-slashes", proto: protoGemini, unary: true, streams: true, sees: true, seals: true, stops: true, embeds: true, slashes: true}),
		chain.client("langchain-openai", flowClient{proto: protoChat, unary: true, streams: true, stops: true, embeds: true}),
		chain.client("langchain-openai-responses", flowClient{proto: protoResponses, unary: true, streams: true, sees: true, seals: true, forgets: true, cannot: map[string]string{
			"required": leftOut, "required streamed": leftOut,
		}}),
		chain.client("langchain-anthropic", flowClient{proto: protoAnthropic, unary: true, streams: true, sees: true, seals: true, stops: true, marks: true, cannot: map[string]string{
			"usage streamed": addedUp, "cached streamed": addedUp,
		}}),
	}
}

// nodeProcess is a running drive.mjs.
type nodeProcess struct {
	in io.WriteCloser

	mu      sync.Mutex
	last    int
	waiting map[int]chan *answer
	ended   error // why no more answers come
}

// startNode starts the driver of a package. The test's end stops it.
func startNode(t *testing.T, dir, pkg string) *nodeProcess {
	t.Helper()
	cmd := exec.Command("node", "drive.mjs", pkg)
	cmd.Dir, cmd.Env = dir, cleanEnv()
	var said headOf
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting node: %v", err)
	}
	n := &nodeProcess{in: in, waiting: make(map[int]chan *answer)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		n.read(stdout)
	}()
	t.Cleanup(func() {
		in.Close()
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("node drive.mjs %s: %v\n%s", pkg, err, said.text)
		}
	})
	return n
}

// headOf keeps the first 64 KiB of what is written.
type headOf struct{ text []byte }

func (l *headOf) Write(b []byte) (int, error) {
	if room := 64<<10 - len(l.text); room > 0 {
		l.text = append(l.text, b[:min(len(b), room)]...)
	}
	return len(b), nil
}

func (n *nodeProcess) read(stdout io.Reader) {
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var m struct {
			ID     int
			Answer *answer
		}
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			n.end(fmt.Errorf("reading %.200q: %w", lines.Text(), err))
			return
		}
		n.mu.Lock()
		c := n.waiting[m.ID]
		delete(n.waiting, m.ID)
		n.mu.Unlock()
		if c != nil {
			c <- m.Answer
		}
	}
	n.end(fmt.Errorf("node ended: %v", lines.Err()))
}

// end fails all who wait.
func (n *nodeProcess) end(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended = err
	for id, c := range n.waiting {
		c <- &answer{Err: &flowError{Class: "node", Message: err.Error()}}
		delete(n.waiting, id)
	}
}

// nodeDriver is one of a process's clients.
type nodeDriver struct {
	*nodeProcess
	name string
}

func (n *nodeProcess) client(name string, c flowClient) flowClient {
	c.name, c.driver = cmp.Or(c.name, name), nodeDriver{n, name}
	return c
}

func (d nodeDriver) ask(ctx context.Context, a *ask) *answer {
	for i := range a.Turns {
		if r := a.Turns[i].Reply; r != nil {
			a.Turns[i].Handle = r.Handle
		}
	}
	c := make(chan *answer, 1)
	if err := d.send(a, c); err != nil {
		return &answer{Err: &flowError{Class: "node", Message: err.Error()}}
	}
	select {
	case r := <-c:
		return r
	case <-ctx.Done():
		return &answer{Err: &flowError{Class: "node", Message: "no answer came: " + ctx.Err().Error()}}
	}
}

func (d nodeDriver) send(a *ask, c chan *answer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended != nil {
		return d.ended
	}
	d.last++
	b, err := json.Marshal(struct {
		ID     int    `json:"id"`
		Client string `json:"client"`
		Ask    *ask   `json:"ask"`
	}{d.last, d.name, a})
	if err != nil {
		return err
	}
	d.waiting[d.last] = c
	_, err = d.in.Write(append(b, '\n'))
	return err
}
