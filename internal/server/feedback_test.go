package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/tenant"
)

func TestFeedback(t *testing.T) {
	keys, err := tenant.NewKeys([]tenant.Key{{Name: "team", Secret: "key-of-the-team"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got *gateway.Feedback
	s := New(Deps{
		Current: func() *gateway.Gateway { return &gateway.Gateway{Keys: keys} },
		Feedback: func(_ context.Context, g *tenant.Grant, id string, f *gateway.Feedback) *llm.Error {
			if g.Name != "team" || id != "known" {
				return &llm.Error{Kind: llm.KindNotFound, Message: "no such request of this key"}
			}
			got = f
			return nil
		},
	}, 10)
	long := strings.Repeat("x", maxComment+1)
	for _, c := range []struct {
		name, key, body string
		status          int
		want            string
	}{
		{"whole", "key-of-the-team", `{"request_id":"known","score":-0.5,"labels":["wrong","too long"],"comment":"no\nway"}`, 200, `{"request_id":"known","recorded":true}`},
		{"the least", "key-of-the-team", `{"request_id":"known","score":0}`, 200, `"recorded":true`},
		{"no key", "", `{"request_id":"known","score":0}`, 401, "no key"},
		{"another's", "key-of-the-team", `{"request_id":"other","score":0}`, 404, "no such request of this key"},
		{"no JSON", "key-of-the-team", `score=1`, 400, "send a JSON object"},
		{"no object", "key-of-the-team", `[1]`, 400, "send a JSON object"},
		{"more members", "key-of-the-team", `{"request_id":"known","score":0,"rating":5}`, 400, "no other members"},
		{"no id", "key-of-the-team", `{"score":0}`, 400, "request_id"},
		{"no score", "key-of-the-team", `{"request_id":"known"}`, 400, "from -1, bad, to 1, good"},
		{"score out of range", "key-of-the-team", `{"request_id":"known","score":5}`, 400, "from -1, bad, to 1, good"},
		{"score no number", "key-of-the-team", `{"request_id":"known","score":"good"}`, 400, "send a JSON object"},
		{"empty label", "key-of-the-team", `{"request_id":"known","score":0,"labels":[""]}`, 400, "labels"},
		{"label of two lines", "key-of-the-team", `{"request_id":"known","score":0,"labels":["a\nb"]}`, 400, "labels"},
		{"many labels", "key-of-the-team", `{"request_id":"known","score":0,"labels":[` + strings.Repeat(`"a",`, maxLabels) + `"a"]}`, 400, "labels"},
		{"long comment", "key-of-the-team", `{"request_id":"known","score":0,"comment":"` + long + `"}`, 400, "comment"},
		{"too large", "key-of-the-team", strings.Repeat(" ", maxOpinion+1), 413, "bytes"},
	} {
		got = nil
		r := httptest.NewRequest(http.MethodPost, "/gateway/feedback", strings.NewReader(c.body))
		if c.key != "" {
			r.Header.Set("Authorization", "Bearer "+c.key)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) || (got != nil) != (c.status == 200) {
			t.Errorf("%s: %d %s, noted %+v, want %d with %q", c.name, w.Code, w.Body, got, c.status, c.want)
		}
		if c.name == "whole" && got != nil && (got.Score != -0.5 || strings.Join(got.Labels, "|") != "wrong|too long" || got.Comment != "no\nway" || got.Time.IsZero()) {
			t.Errorf("noted %+v", got)
		}
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/gateway/feedback", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
}

func FuzzFeedback(f *testing.F) {
	keys, err := tenant.NewKeys(nil, tenant.Anyone())
	if err != nil {
		f.Fatal(err)
	}
	s := New(Deps{
		Current: func() *gateway.Gateway { return &gateway.Gateway{Keys: keys} },
		Feedback: func(_ context.Context, _ *tenant.Grant, id string, x *gateway.Feedback) *llm.Error {
			if id == "" || len(id) > maxLabel || !(x.Score >= -1 && x.Score <= 1) || len(x.Labels) > maxLabels || len(x.Comment) > maxComment {
				f.Errorf("noted %q %+v", id, x)
			}
			return nil
		},
	}, 10)
	f.Add(`{"request_id":"known","score":-0.5,"labels":["wrong"],"comment":"no"}`)
	f.Add(`{"request_id":"","score":1e400}`)
	f.Fuzz(func(t *testing.T, body string) {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/gateway/feedback", strings.NewReader(body)))
		if w.Code != 200 && w.Code != 400 && w.Code != 413 {
			t.Errorf("%q: %d", body, w.Code)
		}
	})
}
