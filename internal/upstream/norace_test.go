//go:build !race

package upstream

// raced: the tests run under the race detector, ten times slower.
const raced = false
