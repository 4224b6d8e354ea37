// Package cloud puts the credentials of Google Cloud, AWS and Microsoft Entra
// into requests. It finds them where the vendors' own tools find them.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2"

	"github.com/sluicegate/sluice/internal/llm"
)

// Signer puts a credential into a request. Safe for concurrent use.
type Signer interface {
	// Sign authorizes r, which it changes: the header, and with AWS the order
	// and escaping of the query. body is what r carries; nil means that it is
	// not known, which AWS's signatures refuse where r has a body at all. It
	// may call the cloud's token endpoint, one call at a time for all callers;
	// the credential is kept until shortly before it ends. Errors are
	// *llm.Error, or come from ctx.
	Sign(ctx context.Context, r *http.Request, body []byte) error
}

// callTimeout bounds one call to a token endpoint or metadata server.
const callTimeout = 10 * time.Second

// client returns what calls token endpoints: c with a bound on time and
// without redirects, which would carry secrets elsewhere. nil: one that takes
// no proxy from the environment and keeps no idle connection.
func client(c *http.Client) *http.Client {
	if c == nil {
		return newClient(callTimeout, 5*time.Second)
	}
	bound := *c
	bound.CheckRedirect = stay
	if bound.Timeout == 0 {
		bound.Timeout = callTimeout
	}
	return &bound
}

// local returns what calls metadata servers, which are on the machine's own
// link: never by a proxy, and off the cloud the wait is short.
func local() *http.Client { return newClient(5*time.Second, 2*time.Second) }

func newClient(within, connect time.Duration) *http.Client {
	return &http.Client{
		Timeout:       within,
		CheckRedirect: stay,
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: connect}).DialContext,
			TLSHandshakeTimeout:    5 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			DisableKeepAlives:      true, // a call an hour
		},
	}
}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// place is where a credential comes from.
type place struct {
	cloud string // as its owner writes it
	from  string // the source that is used
	set   string // what to set where it is the wrong one
}

// wrap explains why there is no credential. Nothing was written to the
// model's vendor, so an endpoint that cannot be reached is as good as a vendor
// that cannot; one that says no, or a source that cannot be read, will say so
// again. Neither the endpoints' answers nor addresses reach the client.
func (p place) wrap(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	kind := llm.KindConnect
	var bad *unusable
	if status := statusOf(err); errors.As(err, &bad) ||
		status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests {
		kind = llm.KindCredential
	}
	return &llm.Error{
		Kind:    kind,
		Message: "the gateway has no credential of " + p.cloud + " now; its operator finds the reason in its log",
		Err:     fmt.Errorf("credential of %s: tried %s: %s; to use another, set %s", p.cloud, p.from, told(err), p.set),
	}
}

// unusable is a source that gives no credential until somebody mends it.
type unusable struct{ msg string }

func (e *unusable) Error() string { return e.msg }

// refusal is a status of an endpoint that we called ourselves.
type refusal int

func (e refusal) Error() string { return fmt.Sprintf("the endpoint answered %d", int(e)) }

// statusOf returns the HTTP status that an error tells of, 0 if none.
func statusOf(err error) int {
	var token *oauth2.RetrieveError
	var aws interface{ HTTPStatusCode() int }
	var meta *metadata.Error
	var none metadata.NotDefinedError
	var own refusal
	switch {
	case errors.As(err, &token) && token.Response != nil:
		return token.Response.StatusCode
	case errors.As(err, &aws):
		return aws.HTTPStatusCode()
	case errors.As(err, &meta):
		return meta.Code
	case errors.As(err, &none):
		return http.StatusNotFound
	case errors.As(err, &own):
		return int(own)
	}
	return 0
}

// maxTold bounds what is repeated of an error, in bytes.
const maxTold = 400

// told returns an error for the log, in one line. What a token endpoint sent
// is cut down to the members of RFC 6749 §5.2.
func told(err error) string {
	var token *oauth2.RetrieveError
	s := err.Error()
	if errors.As(err, &token) && token.Response != nil {
		s = fmt.Sprintf("the token endpoint answered %d", token.Response.StatusCode)
		if token.ErrorCode != "" {
			s += fmt.Sprintf(" %q %q", token.ErrorCode, token.ErrorDescription)
		}
	}
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxTold {
		s = strings.ToValidUTF8(s[:maxTold], "") + "…"
	}
	return s
}

// tokens makes of a source what kept can hold.
func tokens(fetch func(context.Context) (*oauth2.Token, error)) func(context.Context) (string, time.Time, error) {
	return func(ctx context.Context) (string, time.Time, error) {
		t, err := fetch(ctx)
		if err != nil {
			return "", time.Time{}, err
		}
		if t.AccessToken == "" {
			return "", time.Time{}, &unusable{"the endpoint answered without a token"}
		}
		ends := t.Expiry
		if ends.IsZero() {
			ends = time.Now().Add(unknownLife)
		}
		return t.AccessToken, ends, nil
	}
}

// unknownLife is how long a token is kept that does not say when it ends.
const unknownLife = 5 * time.Minute
