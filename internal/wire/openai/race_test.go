//go:build race

package openai

// raced: the tests run under the race detector, ten times slower.
const raced = true
