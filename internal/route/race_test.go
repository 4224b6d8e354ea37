//go:build race

package route

// raced: the tests run under the race detector, ten times slower.
const raced = true
