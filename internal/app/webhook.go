package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// maxNews bounds the messages that wait to be posted.
	maxNews = 64
	// postTime bounds one try, postTries how many there are; between them is
	// postPause, then four times as long.
	postTime  = 5 * time.Second
	postTries = 3
	postPause = time.Second
)

// herald posts news to the operator's webhooks, one after the other. Who has news
// never waits for it.
type herald struct {
	queue  chan posting
	client *http.Client
	lost   func(why error) // told of news that could not be posted; no URL is in it
}

type posting struct {
	url  string
	body []byte
}

func newHerald(lost func(why error)) *herald {
	return &herald{queue: make(chan posting, maxNews), lost: lost, client: &http.Client{
		Timeout:       postTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// post queues news for a URL, "" for none.
func (h *herald) post(url string, news any) {
	if url == "" {
		return
	}
	body, err := json.Marshal(news)
	if err != nil {
		h.lost(fmt.Errorf("writing it as JSON: %w", err))
		return
	}
	select {
	case h.queue <- posting{url, body}:
	default:
		h.lost(errors.New("too many wait"))
	}
}

// run posts until ctx is done. What waits then is lost.
func (h *herald) run(ctx context.Context) {
	defer h.client.CloseIdleConnections()
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-h.queue:
			if err := h.deliver(ctx, p); err != nil {
				h.lost(err)
			}
		}
	}
}

// deliver tries until somebody takes it.
func (h *herald) deliver(ctx context.Context, p posting) (err error) {
	for n := range postTries {
		if n > 0 {
			pause(ctx, postPause<<(2*(n-1)))
		}
		if ctx.Err() != nil {
			return errors.New("the gateway stops")
		}
		var again bool
		if again, err = h.try(ctx, p); err == nil || !again {
			return err
		}
	}
	return err
}

// try posts once. The URL is a secret: no error has it.
func (h *herald) try(ctx context.Context, p posting) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(p.body))
	if err != nil {
		return false, errors.New("its URL is none")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "sluice")
	resp, err := h.client.Do(req)
	if err != nil {
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			return true, fmt.Errorf("no answer in %s", postTime)
		}
		return true, errors.New("it cannot be reached")
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // leaves the connection usable
	if resp.StatusCode/100 != 2 {
		return resp.StatusCode/100 == 5 || resp.StatusCode == http.StatusTooManyRequests, fmt.Errorf("it answered with status %d", resp.StatusCode)
	}
	return false, nil
}
