package guard

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/sluicegate/sluice/internal/llm"
)

// Webhook asks a service of the operator's. It implements Remote.
type Webhook struct {
	// Client makes the calls; it must follow no redirects. See NewClient.
	Client *http.Client
	URL    string
	Header http.Header // of every call
	// Secret signs what is sent; "": nothing is signed.
	Secret string
	Risk   llm.Risk // of what is flagged or blocked without a class
	Now    func() time.Time
}

// NewClient makes the client of webhooks, which keeps at most four connections to
// each of them ready and follows nobody elsewhere.
func NewClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: 5 * time.Second, MaxResponseHeaderBytes: 64 << 10, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// call is what is sent.
type call struct {
	ID     string `json:"id"` // of the request
	Stage  string `json:"stage"`
	Op     string `json:"op"`
	Model  string `json:"model"` // asked for
	Key    string `json:"key,omitzero"`
	Stream bool   `json:"stream"`
	Text   string `json:"text"`
	Before string `json:"before,omitzero"` // what an answer answers
}

// maxHook bounds a webhook's answer; maxPieces and maxPiece the pieces of text
// that it wants masked, each in bytes.
const (
	maxHook   = 256 << 10
	maxPieces = 100
	maxPiece  = 1 << 10
)

// Ask implements Remote.
func (w *Webhook) Ask(ctx context.Context, q *Question) (Opinion, error) {
	r := q.Request
	body, err := json.Marshal(call{ID: r.ID, Stage: q.Stage, Op: r.Op.String(), Model: r.Model, Key: r.Caller.Key, Stream: r.Stream, Text: q.Text, Before: q.Before}, lenient)
	if err != nil {
		return Opinion{}, fmt.Errorf("writing the webhook's call: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return Opinion{}, errors.New("the webhook's url is not understood")
	}
	for name, v := range w.Header {
		req.Header[name] = v
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Request-Id", r.ID)
	if w.Secret != "" {
		at := strconv.FormatInt(w.Now().Unix(), 10)
		req.Header.Set("X-Sluice-Timestamp", at)
		req.Header.Set("X-Sluice-Signature", "sha256="+sign(w.Secret, at, body))
	}
	resp, err := w.Client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return Opinion{}, errors.New("the webhook did not answer in time")
		}
		return Opinion{}, errors.New("the webhook could not be reached")
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, maxHook+1))
	switch {
	case resp.StatusCode != http.StatusOK:
		return Opinion{}, fmt.Errorf("the webhook answered with status %d", resp.StatusCode)
	case err != nil:
		return Opinion{}, errors.New("the webhook's answer broke off")
	case len(said) > maxHook:
		return Opinion{}, errors.New("the webhook's answer is larger than 256 KiB")
	}
	return w.opinion(said)
}

// sign is HMAC-SHA256 of the time, a dot and the body, in hexadecimal.
func sign(secret, at string, body []byte) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(at + "."))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// opinion reads an answer.
func (w *Webhook) opinion(said []byte) (Opinion, error) {
	var in struct {
		Risk   string   `json:"risk"`
		Action string   `json:"action"`
		Reason string   `json:"reason"`
		Mask   []string `json:"mask"`
	}
	if err := json.Unmarshal(said, &in, lenient); err != nil {
		return Opinion{}, errors.New("the webhook's answer is not understood")
	}
	o := Opinion{Risk: llm.RiskByName(in.Risk), Found: tidy([]string{in.Reason})}
	var err error
	if o.Action, err = actionByName(in.Action); err != nil {
		return Opinion{}, err
	}
	switch {
	case o.Risk == llm.RiskNone && in.Risk != "" && in.Risk != "none":
		return Opinion{}, errors.New("the webhook's risk is none of none, low, medium, high")
	case o.Action == Mask && len(in.Mask) == 0, o.Action != Mask && len(in.Mask) > 0:
		return Opinion{}, errors.New(`the webhook's "mask" belongs to the action mask`)
	case len(in.Mask) > maxPieces:
		return Opinion{}, errors.New("the webhook wants more than 100 pieces masked")
	case in.Risk == "" && (o.Action == Flag || o.Action == Block):
		o.Risk = w.Risk
	}
	for _, s := range in.Mask {
		if s == "" || len(s) > maxPiece {
			return Opinion{}, errors.New("the webhook wants a piece masked that is empty or longer than 1 KiB")
		}
	}
	o.Mask = in.Mask
	return o, nil
}
