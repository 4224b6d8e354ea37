package llm

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

// What each kind means for the caller and for the attempt loop. The table
// names every kind: one that is added has to be decided here.
func TestKinds(t *testing.T) {
	table := map[Kind]struct {
		status int
		next   Step
	}{
		KindInternal:         {500, StepStop},
		KindInvalidJSON:      {400, StepStop},
		KindInvalidRequest:   {400, StepStop},
		KindUnsupported:      {400, StepNext},
		KindInvalidKey:       {401, StepStop},
		KindModelNotAllowed:  {403, StepStop},
		KindModelNotFound:    {404, StepStop},
		KindPathNotFound:     {404, StepStop},
		KindNotFound:         {404, StepStop},
		KindMethodNotAllowed: {405, StepStop},
		KindTooLarge:         {413, StepStop},
		KindKeyInUse:         {409, StepStop},
		KindKeyReused:        {422, StepStop},
		KindRequestBlocked:   {400, StepStop},
		KindCaller:           {422, StepStop},   // the vendor's
		KindContextLength:    {422, StepLarger}, // the vendor's
		KindConnect:          {502, StepNext},
		KindUpstream:         {502, StepNext},
		KindTimeout:          {504, StepNext},
		KindSuspected:        {502, StepNext},
		KindRateLimited:      {429, StepNext},
		KindCredential:       {502, StepNext},
		KindCredit:           {502, StepNext},
		KindLost:             {500, StepStop}, // never the answer
		KindRejected:         {502, StepNext},
		KindBlocked:          {422, StepStop},
		KindOverloaded:       {503, StepStop},
		KindQuota:            {429, StepStop},
		KindCanceled:         {499, StepStop},
	}
	names := map[string]Kind{}
	for k := Kind(0); k.String() != "unknown"; k++ {
		want, ok := table[k]
		if !ok {
			t.Errorf("%s is not in the table", k)
			continue
		}
		e := &Error{Kind: k, Status: 422}
		if got := e.HTTPStatus(); got != want.status {
			t.Errorf("%s: status %d, want %d", k, got, want.status)
		}
		if got := e.Next(); got != want.next {
			t.Errorf("%s: step %d, want %d", k, got, want.next)
		}
		if twin, twice := names[k.String()]; twice || k.String() == "" {
			t.Errorf("kinds %d and %d are both called %q", twin, k, k)
		}
		names[k.String()] = k
	}
	if len(names) != len(table) {
		t.Errorf("%d kinds, %d in the table", len(names), len(table))
	}
}

// Whatever a vendor says, the caller sees an error's status, and never that
// of the gateway's own credential.
func TestVendorStatus(t *testing.T) {
	for _, vendor := range []int{0, 100, 200, 302, 399, 400, 401, 402, 403, 413, 422, 451, 499, 500, 529, 999, -1} {
		for _, k := range []Kind{KindCaller, KindContextLength} {
			want := 400
			if vendor >= 400 && vendor < 500 {
				want = vendor
			}
			if got := (&Error{Kind: k, Status: vendor}).HTTPStatus(); got != want {
				t.Errorf("%s, vendor's status %d: got %d, want %d", k, vendor, got, want)
			}
		}
		for _, k := range []Kind{KindCredential, KindCredit} {
			if got := (&Error{Kind: k, Status: vendor}).HTTPStatus(); got != 502 {
				t.Errorf("%s, vendor's status %d: got %d, want 502", k, vendor, got)
			}
		}
	}
}

func TestAsError(t *testing.T) {
	e := &Error{Kind: KindQuota, Message: "no money", Err: io.ErrUnexpectedEOF}
	if got := AsError(fmt.Errorf("asking: %w", e)); got != e {
		t.Errorf("a wrapped error: got %v", got)
	}
	if got := AsError(e); !errors.Is(got, io.ErrUnexpectedEOF) {
		t.Errorf("the cause is lost: %v", got)
	}
	got := AsError(errors.New("dial 10.0.0.1: refused"))
	if got.Kind != KindInternal || got.Message != "internal error" {
		t.Errorf("a foreign error: got kind %s, message %q, want nothing of it in the message", got.Kind, got.Message)
	}
}
