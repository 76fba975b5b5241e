// Command fakenotify runs a stand-in for GOV.UK Notify and prints each message as it arrives.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"latchkey/tools/fakenotify"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "fakenotify:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var c fakenotify.Config
	root := &cobra.Command{
		Use:   "fakenotify",
		Short: "A stand-in for GOV.UK Notify, for development",
		Long: `fakenotify is a tool for development and tests. It checks and takes messages as GOV.UK Notify does, prints them and keeps
each as a file. Beside them it writes notify.key, the API key that it knows, and prints what central.toml needs. It listens on
this machine alone.`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd, c)
		},
	}
	root.Flags().StringVar(&c.Addr, "addr", "127.0.0.1:8026", "`address` to listen on, of this machine alone")
	root.Flags().StringVar(&c.Dir, "dir", "notify", "`folder` that keeps the messages and the key")
	return root
}

func run(cmd *cobra.Command, c fakenotify.Config) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	s, err := fakenotify.Start(ctx, c)
	if err != nil {
		return err
	}
	defer s.Close()
	key, err := filepath.Abs(filepath.Join(c.Dir, "notify.key"))
	if err == nil {
		err = os.WriteFile(key, []byte(s.Key()+"\n"), 0o600)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "fakenotify listens on %s and keeps messages in %s; for development only\n\n[delivery]\nemail = \"notify\"\nsms = \"notify\"\n"+
		"[notify]\nurl = %q\nkey_file = %q\nemail_template = %q\nsms_template = %q\n", s.URL(), c.Dir, s.URL(), key, s.EmailTemplate, s.SMSTemplate)
	for printed := 0; s.Wait(ctx, printed+1) == nil; {
		for _, m := range s.Messages()[printed:] {
			fmt.Fprintf(out, "\nTo: %s\nSubject: %s\n\n%s\n", m.To, m.Subject, m.Text)
			printed++
		}
	}
	return nil // Ctrl-C
}
