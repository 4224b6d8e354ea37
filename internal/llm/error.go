package llm

import (
	"errors"
	"net/http"
	"time"
)

// Kind says what went wrong. It alone decides the status that a client sees
// and whether another target may be tried.
type Kind uint8

// The kinds.
const (
	KindInternal Kind = iota

	// The caller's, found by the gateway.
	KindInvalidJSON
	KindInvalidRequest
	KindUnsupported
	KindInvalidKey
	KindModelNotAllowed
	KindModelNotFound
	KindPathNotFound
	KindNotFound // what a vendor keeps: unknown, or another key's
	KindMethodNotAllowed
	KindTooLarge
	KindKeyInUse       // the request of this idempotency key is being answered
	KindKeyReused      // the idempotency key came with another request
	KindRequestBlocked // a guard does not let the request through

	// The caller's, said by the vendor: passed on with its status.
	KindCaller
	KindContextLength

	// The vendor's.
	KindConnect     // nothing was written: DNS, TCP, TLS
	KindUpstream    // 5xx, a broken connection, an answer that is none
	KindTimeout     // a bound of the gateway passed
	KindSuspected   // the target fell silent
	KindRateLimited // 429, 529: wait
	KindCredential  // 401, 403: the gateway's credential was refused
	KindCredit      // 402, out of credit
	KindLost        // another call of the same request answered first
	KindRejected    // an answer that its gates did not accept
	KindBlocked     // an answer that must not be delivered

	// The gateway's.
	KindOverloaded // no target can be asked now
	KindQuota      // the caller's budget
	KindCanceled   // the client left
)

var kindNames = [...]string{
	KindInternal: "internal", KindInvalidJSON: "invalid_json", KindInvalidRequest: "invalid_request",
	KindUnsupported: "unsupported_parameter", KindInvalidKey: "invalid_api_key", KindModelNotAllowed: "model_not_allowed",
	KindModelNotFound: "model_not_found", KindPathNotFound: "path_not_found", KindNotFound: "not_found", KindMethodNotAllowed: "method_not_allowed",
	KindTooLarge: "request_too_large", KindKeyInUse: "idempotency_key_in_use", KindKeyReused: "idempotency_key_reused", KindRequestBlocked: "request_blocked", KindCaller: "caller", KindContextLength: "context_length_exceeded",
	KindConnect: "connect", KindUpstream: "upstream_error", KindTimeout: "timeout", KindSuspected: "suspected",
	KindRateLimited: "rate_limited", KindCredential: "credential", KindCredit: "credit", KindLost: "lost", KindRejected: "rejected", KindBlocked: "answer_blocked",
	KindOverloaded: "overloaded", KindQuota: "insufficient_quota", KindCanceled: "canceled",
}

// String returns a short stable name: the outcome in metrics and ledger.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Error is the only error that clients see.
type Error struct {
	Kind    Kind
	Message string // for the client: what to do; no secret, no internal address
	Param   string // the offending field, "" if none
	// Status is the vendor's status for KindCaller and KindContextLength.
	Status int
	// Raw is the vendor's error body for those kinds, in Proto. nil if the
	// vendor sent nothing readable.
	Raw   []byte
	Proto Proto
	// RetryAfter is when another try makes sense; 0 if unknown.
	RetryAfter time.Duration
	// Quota is what the vendor told of its limits, nil for nothing.
	Quota *Quota
	// Final: trying again is of no use for now (x-should-retry: false).
	Final bool
	Err   error // the cause, for the log
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Kind.String() + ": " + e.Message + ": " + e.Err.Error()
	}
	return e.Kind.String() + ": " + e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// AsError returns err as an *Error; any other error becomes KindInternal.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: KindInternal, Message: "internal error", Err: err}
}

// HTTPStatus returns the status for protocols that follow OpenAI's table.
func (e *Error) HTTPStatus() int {
	switch e.Kind {
	case KindInvalidJSON, KindInvalidRequest, KindUnsupported, KindRequestBlocked:
		return http.StatusBadRequest
	case KindInvalidKey:
		return http.StatusUnauthorized
	case KindModelNotAllowed:
		return http.StatusForbidden
	case KindModelNotFound, KindPathNotFound, KindNotFound:
		return http.StatusNotFound
	case KindMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case KindTooLarge:
		return http.StatusRequestEntityTooLarge
	case KindKeyInUse:
		return http.StatusConflict
	case KindKeyReused, KindBlocked: // a client's library does not try again by itself
		return http.StatusUnprocessableEntity
	case KindCaller, KindContextLength:
		if e.Status >= 400 && e.Status < 500 {
			return e.Status
		}
		return http.StatusBadRequest
	case KindRateLimited, KindQuota:
		return http.StatusTooManyRequests
	case KindOverloaded:
		return http.StatusServiceUnavailable
	case KindTimeout:
		return http.StatusGatewayTimeout
	case KindConnect, KindUpstream, KindSuspected, KindCredential, KindCredit, KindRejected:
		return http.StatusBadGateway
	case KindCanceled:
		return 499 // nginx's "client closed request"; the client is gone
	}
	return http.StatusInternalServerError
}

// Step is what may follow a failed attempt.
type Step uint8

// The steps.
const (
	StepStop   Step = iota // the error is the answer
	StepNext               // another target, or the same one later
	StepLarger             // a target with a larger known context
)

// Next is the one place that decides from a Kind whether another target may
// be tried.
func (e *Error) Next() Step {
	switch e.Kind {
	case KindConnect, KindUpstream, KindTimeout, KindSuspected, KindRateLimited, KindCredential, KindCredit, KindUnsupported, KindRejected:
		return StepNext
	case KindContextLength:
		return StepLarger
	}
	return StepStop
}
