package upstream

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
)

// settle, deferred, ends the call where the code below panics, so that neither
// slot nor trail is left open. The panic goes on.
func (l *live) settle() {
	if x := recover(); x != nil {
		l.fail(&llm.Error{Kind: llm.KindInternal, Message: "internal error", Err: crashed(x)})
		panic(x)
	}
}

// crashed tells of a panic: where it was, and its text where that is the
// runtime's; any other may hold a prompt.
func crashed(x any) error {
	text := fmt.Sprintf("%T", x)
	var re runtime.Error
	if err, ok := x.(error); ok && errors.As(err, &re) {
		text = re.Error()
	}
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])]) // without crashed and settle
	for {
		f, more := frames.Next()
		if f.Function != "" && !strings.HasPrefix(f.Function, "runtime.") {
			return fmt.Errorf("panic: %s in %s, line %d", text, f.Function, f.Line)
		}
		if !more {
			return fmt.Errorf("panic: %s", text)
		}
	}
}
