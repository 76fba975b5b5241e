// Command devmail runs a mailbox for development and prints each message as it arrives.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"latchkey/tools/devmail"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "devmail:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var c devmail.Config
	root := &cobra.Command{
		Use:   "devmail",
		Short: "A mailbox for development",
		Long: `devmail is a tool for development and tests. It takes every message, whoever it is for, prints it and keeps it as a
file. It listens on this machine alone.`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd, c)
		},
	}
	root.Flags().StringVar(&c.Addr, "addr", "127.0.0.1:2525", "`address` to listen on, of this machine alone")
	root.Flags().StringVar(&c.Dir, "dir", "mail", "`folder` that keeps the messages")
	return root
}

func run(cmd *cobra.Command, c devmail.Config) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	m, err := devmail.Start(ctx, c)
	if err != nil {
		return err
	}
	defer m.Close()
	fmt.Fprintf(out, "devmail listens on %s and keeps messages in %s; for development only\n", m.Addr(), c.Dir)
	messages, err := m.Messages()
	for err == nil {
		printed := len(messages)
		if m.Wait(ctx, printed+1) != nil {
			return nil // Ctrl-C
		}
		if messages, err = m.Messages(); err == nil {
			for _, msg := range messages[printed:] {
				fmt.Fprintf(out, "\nTo: %s\nSubject: %s\n\n%s\n", msg.To, msg.Subject, msg.Text)
			}
		}
	}
	return err
}
