// Command sluice is an AI gateway: one binary between applications and many
// models.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/sluicegate/sluice/internal/app"
)

// cli is the command line.
type cli struct {
	Serve     serveCmd     `cmd:"" help:"Run the gateway."`
	Demo      demoCmd      `cmd:"" help:"Run the gateway with simulated vendors: no key, no network, no file left behind."`
	Sim       simCmd       `cmd:"" help:"Run the vendor simulator alone."`
	Check     checkCmd     `cmd:"" help:"Build everything the file asks for, without serving."`
	Route     routeCmd     `cmd:"" help:"Explain the routing decision for a request, calling nobody."`
	Explain   explainCmd   `cmd:"" help:"Tell what happened to a request that was served."`
	Usage     usageCmd     `cmd:"" help:"Read the ledger: requests, tokens and cost."`
	Price     priceCmd     `cmd:"" help:"Tell what a vendor's usage object costs."`
	Train     trainCmd     `cmd:"" help:"Make a learned router of labelled prompts."`
	Eval      evalCmd      `cmd:"" help:"Measure routers on labelled prompts."`
	Connect   connectCmd   `cmd:"" help:"Point a coding tool or chat front end at the gateway, and test it."`
	Providers providersCmd `cmd:"" help:"List the vendors and the environment variables that configure them."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

// env is what commands are given.
type env struct {
	ctx    context.Context
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	getenv func(string) string
}

// errUsage ends a command with exit code 2.
type errUsage struct{ error }

// gcPercent lets the heap grow to five times what is live before it is
// collected: a gateway holds little, and at Go's 100 a collector that runs
// all the time costs a tenth of the CPU (measured). GOGC overrules it, and
// GOMEMLIMIT bounds it.
const gcPercent = 400

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	app.LimitMemory()
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is main with its surroundings as arguments. It returns the exit code: 0,
// 1 failed, 2 wrong usage.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	code := -1
	var c cli
	k, err := kong.New(&c, kong.Name("sluice"), kong.Description("An AI gateway. `sluice demo` needs nothing; `sluice serve` needs a key in the environment or a file."),
		kong.Writers(stdout, stderr), kong.Exit(func(n int) { code = n }), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		fmt.Fprintln(stderr, "sluice:", err)
		return 1
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	cmd, err := k.Parse(args)
	if code >= 0 { // -h
		return code
	}
	if err != nil {
		fmt.Fprintf(stderr, "sluice: %v\nsluice -h lists commands, sluice COMMAND -h shows examples\n", err)
		return 2
	}
	e := &env{ctx: context.Background(), stdin: stdin, stdout: stdout, stderr: stderr, getenv: os.Getenv}
	if err := cmd.Run(e); err != nil {
		fmt.Fprintln(stderr, err)
		var usage errUsage
		if errors.As(err, &usage) {
			return 2
		}
		return 1
	}
	return 0
}

// version is that of the module, as the Go toolchain stamps it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && v == "devel" {
			v += "-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return v
}

type versionCmd struct{}

func (versionCmd) Help() string { return "Example:\n  sluice version" }

func (versionCmd) Run(e *env) error {
	_, err := fmt.Fprintln(e.stdout, "sluice", version())
	return err
}

// signals returns a context that the first SIGTERM or interrupt ends, and one
// that the second ends.
func signals() (first, second context.Context, stop func()) {
	c := make(chan os.Signal, 2)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	first, cancelFirst := context.WithCancel(context.Background())
	second, cancelSecond := context.WithCancel(context.Background())
	go func() {
		if _, ok := <-c; ok {
			cancelFirst()
		}
		if _, ok := <-c; ok {
			cancelSecond()
		}
	}()
	return first, second, func() {
		signal.Stop(c)
		close(c)
		cancelFirst()
		cancelSecond()
	}
}

// serveApp says that a listens and runs it until it is told to stop. Signals
// that stop are heard from before it says so. hup and usr2 may be nil.
func serveApp(a *app.App, w io.Writer, hello string, hup, usr2 <-chan os.Signal) error {
	first, second, stop := signals()
	defer stop()
	fmt.Fprint(w, hello)
	return a.Run(first, second, hup, usr2)
}
