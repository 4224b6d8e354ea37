package upstream

// Variant returns a pool that does as p does, with these options and gates in
// place of its own. p must be whole: what is changed in it later is not changed
// in the variant. It shares the state of targets, not the turn.
func (p *Pool) Variant(options []Option, gates Accept) *Pool {
	return &Pool{
		Model: p.Model, Strategy: p.Strategy, Order: p.Order, Spreads: p.Spreads, Conversation: p.Conversation, Prefix: p.Prefix,
		Options: options, Fallback: p.Fallback, Degrade: p.Degrade, Policy: p.Policy, Budget: p.Budget, Registry: p.Registry,
		Capabilities: p.Capabilities, Accept: gates, Extra: p.Extra, By: p.By,
		Look: p.Look, Screen: p.Screen, Each: p.Each, Decide: p.Decide, Took: p.Took,
	}
}
