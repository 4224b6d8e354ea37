package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sluicegate/sluice/internal/app"
	"github.com/sluicegate/sluice/internal/config"
	"github.com/sluicegate/sluice/internal/connect"
)

type connectCmd struct {
	Tool   string `arg:"" enum:"claude-code,codex,cursor,opencode,open-webui,aider" help:"claude-code, codex, cursor, opencode, open-webui or aider."`
	Config string `short:"c" env:"SLUICE_CONFIG" placeholder:"FILE" help:"Configuration file, for where the gateway listens."`
	URL    string `placeholder:"URL" help:"The gateway as the tool reaches it, in place of the file's listen."`
	Key    string `env:"SLUICE_KEY" placeholder:"KEY" help:"The tool's key at the gateway."`
	Model  string `placeholder:"NAME" help:"The model the tool asks for; without it one that the gateway lists and that suits the tool."`
	Write  bool   `help:"Write the settings into the tool's file, keeping all others and a copy, once the call has worked."`
}

func (connectCmd) Help() string {
	return `Examples:
  SLUICE_KEY=… sluice connect claude-code           print the settings and try one call
  SLUICE_KEY=… sluice connect codex --write         and write them to ~/.codex/config.toml
  sluice connect open-webui --url https://gw.example --model smart
The settings printed hold a stand-in for the key; those written hold the key where the tool cannot read it from SLUICE_KEY.`
}

func (c connectCmd) Run(e *env) error {
	tool, ok := connect.Find(c.Tool)
	if !ok {
		return errUsage{fmt.Errorf("no tool is called %q", c.Tool)}
	}
	if c.Write && tool.Edit == nil {
		return errUsage{fmt.Errorf("%s has no settings file that could be written: run this without --write and follow what it prints", tool.Title)}
	}
	g, err := c.gateway(e)
	if err != nil {
		return err
	}
	models, listing := connect.Models(e.ctx, g)
	if g.Model = tool.Choose(c.Model, models); g.Model == "" && listing == nil {
		return errors.New("the gateway lists no model for this key: name one with --model")
	}
	if !c.Write {
		if err := printSettings(e, tool, g); err != nil {
			return err
		}
	}
	if listing != nil {
		return listing
	}
	p, err := tool.Prove(e.ctx, g)
	if err != nil {
		return fmt.Errorf("%s would fail with model %s: %w", tool.Title, g.Model, err)
	}
	by := ""
	if p.Target != "" {
		by = " from " + p.Target
	}
	fmt.Fprintf(e.stderr, "tested: POST %s, model %s, a whole stream%s in %s\n", p.Path, g.Model, by, p.Took.Round(time.Millisecond))
	if c.Write {
		err = writeSettings(e, tool, g)
	}
	for _, n := range tool.Notes {
		fmt.Fprintln(e.stderr, "note:", n)
	}
	return err
}

// gateway tells where the gateway is.
func (c connectCmd) gateway(e *env) (connect.Gateway, error) {
	g := connect.Gateway{Key: c.Key}
	if c.URL != "" {
		u, err := connect.ParseURL(c.URL)
		if err != nil {
			return g, errUsage{err}
		}
		g.URL = u
		return g, nil
	}
	cfg := config.Default()
	src := app.Source{Path: c.Config, Getenv: e.getenv}
	if src.File() != "" {
		var err error
		if cfg, err = src.Load(); err != nil {
			return g, fmt.Errorf("%w\nwhere the gateway listens is in that file; --url says it without", err)
		}
	}
	listen := cfg.Listen
	if addr := e.getenv("SLUICE_LISTEN"); addr != "" {
		listen = addr
	}
	g.URL = connect.Base(listen, cfg.TLS != nil)
	return g, nil
}

// toolFile is where the tool's settings are, "" if in no file.
func toolFile(e *env, tool *connect.Tool) (string, error) {
	if tool.Path == nil {
		return "", nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding the settings of %s: %w", tool.Title, err)
	}
	return tool.Path(home, e.getenv), nil
}

func printSettings(e *env, tool *connect.Tool, g connect.Gateway) error {
	if g.Model == "" {
		g.Model = "YOUR_MODEL"
	}
	path, err := toolFile(e, tool)
	if err != nil {
		return err
	}
	if path != "" {
		fmt.Fprintf(e.stderr, "%s, in %s (--write puts it there):\n", tool.Title, path)
	}
	s, err := tool.Settings(g)
	if err != nil {
		return fmt.Errorf("settings of %s: %w", tool.Title, err)
	}
	_, err = fmt.Fprint(e.stdout, s)
	return err
}

func writeSettings(e *env, tool *connect.Tool, g connect.Gateway) error {
	path, err := toolFile(e, tool)
	if err != nil {
		return err
	}
	w, err := tool.Write(path, g)
	if err != nil {
		return err
	}
	switch {
	case !w.Changed:
		_, err = fmt.Fprintf(e.stdout, "%s says so already\n", w.Path)
	case w.Backup != "":
		_, err = fmt.Fprintf(e.stdout, "wrote %s (before: %s)\n", w.Path, w.Backup)
	default:
		_, err = fmt.Fprintf(e.stdout, "wrote %s\n", w.Path)
	}
	return err
}
