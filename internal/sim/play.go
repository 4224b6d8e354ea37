package sim

import (
	"iter"
	"net/http"
)

// step is an event of a stream. Its frame is valid until the next.
type step struct {
	frame  []byte
	tokens int  // of the answer that it brings; 0: it is no content
	end    bool // the first event after the content
}

// perform streams events, each when its tokens are there; false: the stream
// broke off.
func (c *call) perform(kind string, steps iter.Seq[step]) bool {
	c.stream = true
	c.w.Header().Set("Cache-Control", "no-cache")
	c.begin(http.StatusOK, kind, -1)
	if c.is(FaultError200) {
		c.outcome = OutcomeFault
		c.write(c.errorEvent())
		return false
	}
	n := 0
	for st := range steps {
		switch {
		case st.tokens > 0:
			n += st.tokens
			if !c.until(c.due(n-1)) || !c.content(st.frame) {
				return false
			}
		case st.end:
			if !c.amid(st.frame) || !c.write(st.frame) {
				return false
			}
		case !c.write(st.frame):
			return false
		}
	}
	if c.outcome == "" {
		c.outcome = OutcomeOK
	}
	return true
}
