package blackbox

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// answersTold is what the status tells of a target's answers.
type answersTold struct {
	Judged  int            `json:"judged"`
	BadRate float64        `json:"bad_rate"`
	Score   *float64       `json:"score"`
	Flags   map[string]int `json:"flags"`
	Alarm   *struct {
		Task      string  `json:"task"`
		Statistic float64 `json:"statistic"`
		Collapsed bool    `json:"collapsed"`
	} `json:"alarm"`
}

func (g *gateway) answers(id string) (q answersTold) {
	g.t.Helper()
	var s struct {
		Targets []struct {
			ID      string       `json:"id"`
			Quality *answersTold `json:"quality"`
		} `json:"targets"`
	}
	if err := json.Unmarshal(g.get("/gateway/status").body, &s); err != nil {
		g.t.Fatal(err)
	}
	for _, x := range s.Targets {
		if x.ID == id && x.Quality != nil {
			q = *x.Quality
		}
	}
	return q
}

// TestQualityCollapse: a target that answers with status 200 and no JSON where
// JSON was asked for leaves rotation, in whole answers and in streams; the webhook,
// the metrics and the status tell it, and the operator's reset puts it back.
func TestQualityCollapse(t *testing.T) {
	for _, stream := range []bool{false, true} {
		t.Run(fmt.Sprintf("stream=%v", stream), func(t *testing.T) {
			t.Parallel()
			news := make(chan string, 10)
			hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				news <- string(b)
			}))
			defer hook.Close()
			var ill atomic.Bool
			a := newVendor(t, func(c *call) {
				if ill.Load() {
					c.whole("Sure! Here is what you asked for.")
				} else {
					c.whole("[1]") // its quotes would have to be escaped
				}
			})
			b := newVendor(t, func(c *call) { c.whole("[2]") })
			g := serve(t, pairConfig(a.provider("a", "key-of-a"), b.provider("b", "key-of-b"), "quality: {sample: 1, alarm: {webhook: \""+hook.URL+"/secret-of-the-hook\"}}\n"))
			ask := func() string {
				t.Helper()
				r := g.post("/v1/chat/completions", fmt.Sprintf(`{"model":"m","stream":%v,"response_format":{"type":"json_object"},%s}`, stream, hello))
				if r.status != 200 {
					t.Fatalf("answer: %s", r)
				}
				return r.header.Get("X-Sluice-Target")
			}
			const id = "a/vendor-m"
			for range 30 {
				ask()
			}
			eventually(t, "30 judged answers", func() bool { return g.answers(id).Judged == 30 })
			if q := g.answers(id); q.BadRate != 0 || len(q.Flags) != 0 || q.Alarm != nil {
				t.Errorf("while all is well: %+v", q)
			}
			ill.Store(true)
			asked := 0
			eventually(t, "state quality", func() bool {
				asked++
				ask()
				return g.target(id).State == "quality"
			})
			if asked > 60 {
				t.Errorf("it took %d answers", asked)
			}
			if x := g.target(id); !strings.Contains(x.Reason, "answers are bad") {
				t.Errorf("reason = %q", x.Reason)
			}
			for range 5 {
				if by := ask(); by != "b/vendor-m" {
					t.Errorf("answered by %s", by)
				}
			}
			q := g.answers(id)
			if q.Alarm == nil || !q.Alarm.Collapsed || q.Flags["invalid_json"] < 5 {
				t.Errorf("status = %+v", q)
			}
			var alarm struct {
				Event, Target string
				Judged, Bad   int
				Flags         map[string]int
			}
			told := <-news
			if err := json.Unmarshal([]byte(told), &alarm); err != nil || alarm.Event != "quality_alarm" || alarm.Target != id || alarm.Bad < 5 || alarm.Judged < alarm.Bad || alarm.Flags["invalid_json"] < 5 {
				t.Errorf("webhook: %s, %v", told, err)
			}
			metrics := string(g.get("/metrics").body)
			for _, want := range []string{`sluice_quality_alarm{target="a/vendor-m"} 2`, `sluice_quality_flags_total{flag="invalid_json",target="a/vendor-m"}`,
				`sluice_target_state{state="quality",target="a/vendor-m"} 1`} {
				if !strings.Contains(metrics, want) {
					t.Errorf("metrics lack %s", want)
				}
			}
			g.line("quality alarm")
			if log := g.log(); strings.Contains(log, "secret-of-the-hook") || strings.Contains(log, "Sure!") {
				t.Error("the log has a secret or an answer")
			}
			if r := g.order(id, "reset"); r.status != 200 {
				t.Fatalf("reset: %s", r)
			}
			if by := ask(); by != id {
				t.Errorf("after the reset answered by %s", by)
			}
		})
	}
}

// TestFeedback: what a client says of its own request is told with it, by the
// server and from the ledger, and moves the target's score; of others' requests
// nobody may speak.
func TestFeedback(t *testing.T) {
	t.Parallel()
	a := newVendor(t, nil)
	config := "admin: {key: operator-key}\nkeys: [{name: one, key: key-of-one}, {name: two, key: key-of-two}]\nproviders:\n" + a.provider("a", "key-of-a") + "models:\n  m: a/vendor-m\n"
	g := serve(t, config)
	one, two, operator := []string{"Authorization", "Bearer key-of-one"}, []string{"Authorization", "Bearer key-of-two"}, []string{"Authorization", "Bearer operator-key"}
	id := g.chat("m", one...).id()
	g.record(id, one...)
	say := func(body string, key []string) *reply { return g.post("/gateway/feedback", body, key...) }
	if r := say(`{"request_id":"`+id+`","score":-1}`, two); r.status != 404 {
		t.Errorf("another key's: %s", r)
	}
	if r := say(`{"request_id":"nobodys","score":-1}`, one); r.status != 404 {
		t.Errorf("of nobody: %s", r)
	}
	for _, body := range []string{`{"request_id":"` + id + `","score":-1,"labels":["wrong"]}`, `{"request_id":"` + id + `","score":0.5,"labels":["short"],"comment":"fine after all"}`} {
		if r := say(body, one); r.status != 200 || !strings.Contains(string(r.body), `"recorded":true`) {
			t.Fatalf("feedback: %s", r)
		}
	}
	if r := g.get("/gateway/requests/"+id, one...); !strings.Contains(string(r.body), `"score":0.5,"labels":["short"],"comment":"fine after all"`) {
		t.Errorf("record: %s", r)
	}
	eventually(t, "the row", func() bool {
		code, out, _ := run(t, g.dir, "", nil, "explain", id, "-c", g.file, "--data", g.data)
		return code == 0 && strings.Contains(out, "+0.5") && strings.Contains(out, "fine after all")
	})
	var s struct {
		Targets []struct {
			Quality answersTold `json:"quality"`
		} `json:"targets"`
	}
	if err := json.Unmarshal(g.get("/gateway/status", operator...).body, &s); err != nil || s.Targets[0].Quality.Score == nil || *s.Targets[0].Quality.Score != 0.75 || s.Targets[0].Quality.BadRate != 0 {
		t.Errorf("status = %+v, %v, want the last word's score", s, err)
	}
}
