package config

import (
	"fmt"
	"io"
	"os"
)

// Default returns the configuration of an empty file.
func Default() *Config {
	c := &Config{Pos: Positions{}}
	table().init(c)
	return c
}

// Parse makes a Config of the file's text. name is the file's name for
// messages; env looks up environment variables and may be nil. The error is
// an Errors with every mistake. Parse reads the files that ${file:…} names
// and does no other I/O.
func Parse(name string, data []byte, env func(string) (string, bool)) (*Config, error) {
	d := &decoder{c: Default(), env: env}
	d.c.File = name
	if len(data) <= maxSize {
		d.extent = measure(data)
	}
	root := parse(data, func(at Position, msg string) {
		d.broken = true
		d.fail(at, msg)
	})
	if root != nil {
		table().read(d, value{root, ""}, d.c)
		d.check()
	}
	if errs := sorted(d.errs, d.dropped); errs != nil {
		return nil, errs
	}
	return d.c, nil
}

// Load parses the file at path with the environment of the process.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return Parse(path, data, os.LookupEnv)
}
