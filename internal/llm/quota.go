package llm

import "time"

// Quota is what a vendor's answer told of the limits of the credential that
// it was asked with.
type Quota struct {
	Requests Window
	Tokens   Window // the tightest, where the vendor tells several
}

// Window is one limit. The zero value: the vendor did not tell it.
type Window struct {
	Limit     int64 // 0: not told
	Remaining int64
	Reset     time.Duration // until it is whole again, above 0
}
