package upstream

// tally is how many calls a request has made within a model.
type tally struct {
	model int     // of the run
	own   *Option // of a pool each of whose options has its own count; nil: of all others
	n     int
}

// calls is how many calls were made that own counts, within the n-th model.
func (r *run) calls(model int, own *Option) int {
	for i := range r.made {
		if t := &r.made[i]; t.model == model && t.own == own {
			return t.n
		}
	}
	return 0
}

// count notes a call to c, within the current model.
func (r *run) count(c choice) {
	for i := range r.made {
		if t := &r.made[i]; t.model == r.model && t.own == c.own {
			t.n++
			return
		}
	}
	r.made = append(r.made, tally{r.model, c.own, 1})
}

// left reports whether another call to c may be made, within the current model.
func (r *run) left(c choice) bool { return r.calls(r.model, c.own) < c.attempts(r.pool) }

// spare reports whether a call to c may be made beside one to from.
func (r *run) spare(c, from choice) bool {
	n := r.calls(r.model, c.own)
	if c.own == from.own {
		n++
	}
	return n < c.attempts(r.pool)
}

// spared are the choices to which a call may be made after one to from.
func (r *run) spared(all []choice, from choice) []choice {
	for i := range all {
		if all[i].own != from.own { // some have their own count
			var out []choice
			for _, c := range all {
				if r.spare(c, from) {
					out = append(out, c)
				}
			}
			return out
		}
	}
	if len(all) > 0 && !r.spare(all[0], from) {
		return nil
	}
	return all
}

// begun reports whether calls were made within the current model, and more may
// be.
func (r *run) begun() bool {
	n := 0
	for _, t := range r.made {
		if t.model == r.model {
			n += t.n
		}
	}
	if n == 0 {
		return false
	}
	left := false
	r.current().each(nil, nil, func(c choice) { left = left || r.left(c) })
	return left
}
