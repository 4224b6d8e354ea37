package learned

import (
	_ "embed"
	"sync"
)

//go:generate go run ./make -data ${SLUICE_DATA} -o router.bin

//go:embed router.bin
var router string

var embedded = sync.OnceValue(func() *Model {
	m, err := parse([]byte(router))
	if err != nil {
		panic("learned: the embedded router: " + err.Error()) // the tests read it
	}
	return m
})

// Embedded returns the router that comes with the program. docs/router-card.md
// says what it was trained on and what it is worth. It is unpacked when it is
// first asked for.
func Embedded() *Model { return embedded() }
