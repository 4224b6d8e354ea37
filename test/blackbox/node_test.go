package blackbox

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// nodeDir returns a directory with the script and the SDK of its lock file
// installed: a cache that the next run finds again.
func nodeDir(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is not installed, and CI=true asks for every test", tool)
			}
			t.Skipf("%s is not installed; this test drives the npm package openai", tool)
		}
	}
	src := filepath.Join("..", "node")
	lock, err := os.ReadFile(filepath.Join(src, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	sum := sha256.Sum256(lock)
	dir := filepath.Join(cache, "sluice-test", "node-"+hex.EncodeToString(sum[:8]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"package.json", "package-lock.json", ".npmrc", "flows.mjs"} {
		b, err := os.ReadFile(filepath.Join(src, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "openai", "package.json")); err == nil {
		return dir
	}
	npm := exec.Command("npm", "ci")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
		t.Skipf("npm ci could not install the SDK: %v\n%s", err, out)
	}
	return dir
}

// nodeStream is what the script tells of a stream.
type nodeStream struct {
	Text, Args, Finish string
	Usage, Empty       int
}

type nodeFailure struct {
	Class, Code string
	Status      int
	RetryAfter  *string
}

func TestNodeSDK(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t)
	g, s := sdkGateway(t)
	cmd := exec.Command("node", "flows.mjs")
	cmd.Dir, cmd.Env = dir, cleanEnv("BASE_URL="+g.url+"/v1", "KEY="+keyOne)
	out, err := cmd.Output()
	if err != nil {
		stderr := ""
		if e, ok := err.(*exec.ExitError); ok {
			stderr = string(e.Stderr)
		}
		t.Fatalf("node: %v\n%s%s", err, out, stderr)
	}
	var r struct {
		Chat struct {
			Text, Model, ID string
			Usage           int
		}
		Stream, StreamUsage, ToolStream nodeStream
		Helper, Structured, Model       string
		Tool                            struct{ Name, Arguments string }
		Embedding, EmbeddingFloat       [][]float64
		Models                          []string
		WrongKey, Unknown, Limited      nodeFailure
		Cancel                          int
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("what the script says: %v\n%s", err, out)
	}
	if r.Chat.Text == "" || r.Chat.Model != "chat-model" || r.Chat.Usage == 0 || r.Chat.ID == "" {
		t.Errorf("chat: got %+v", r.Chat)
	}
	if r.Stream.Text == "" || r.Stream.Finish != "stop" || r.Stream.Usage != 0 || r.Stream.Empty != 0 {
		t.Errorf("stream: got %+v, want text and no usage", r.Stream)
	}
	if r.StreamUsage.Text == "" || r.StreamUsage.Usage == 0 || r.StreamUsage.Empty != 1 {
		t.Errorf("stream with usage: got %+v, want text and one usage event", r.StreamUsage)
	}
	if r.Helper == "" {
		t.Error("the SDK's stream helper got no text")
	}
	checkWeather(t, "tool", r.Tool.Arguments)
	checkWeather(t, "streamed tool", r.ToolStream.Args)
	checkWeather(t, "structured output", r.Structured)
	if len(r.Embedding) != 2 || len(r.EmbeddingFloat) != 1 {
		t.Fatalf("embeddings: got %d and %d vectors, want 2 and 1", len(r.Embedding), len(r.EmbeddingFloat))
	}
	checkVector(t, "embedding by default (base64)", r.Embedding[0])
	checkVector(t, "embedding as floats", r.EmbeddingFloat[0])
	if len(r.Models) != 5 || r.Model != "sim/chat-model" {
		t.Errorf("models: got %v and %q", r.Models, r.Model)
	}
	for name, x := range map[string]struct{ got, want nodeFailure }{
		"wrong key":     {r.WrongKey, nodeFailure{"AuthenticationError", "invalid_api_key", 401, nil}},
		"unknown model": {r.Unknown, nodeFailure{"NotFoundError", "model_not_found", 404, nil}},
		"rate limited":  {r.Limited, nodeFailure{"RateLimitError", "rate_limit_exceeded", 429, nil}},
	} {
		if x.got.Class != x.want.Class || x.got.Code != x.want.Code || x.got.Status != x.want.Status {
			t.Errorf("%s: got %+v, want %+v", name, x.got, x.want)
		}
	}
	if r.Limited.RetryAfter == nil {
		t.Error("rate limited: no retry-after")
	}
	if r.Cancel != 3 {
		t.Errorf("events before the cancel: got %d, want 3", r.Cancel)
	}
	canceled(t, s)
}
