package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/command"
	"latchkey/firmware/audit"
	"latchkey/firmware/wire/ra"
)

// kept are the flags of who kept checkpoints.
type kept struct {
	files     []string
	witnessed bool
}

func (k *kept) flags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&k.files, "checkpoint", nil, "a `file` with a checkpoint that you kept: it is proved that the tree goes on from it; can stand several times")
	cmd.Flags().BoolVar(&k.witnessed, "witnessed", false, "up to the newest checkpoint that a witness has cosigned, instead of now")
}

// sizes reads the checkpoints' sizes. Whether they are signed is for verify to tell.
func (k *kept) sizes() (list []int64, err error) {
	for _, file := range k.files {
		msg, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read checkpoint: %w", err)
		}
		text, _, _ := bytes.Cut(msg, []byte("\n\n"))
		c, err := audit.ParseCheckpoint(string(text) + "\n")
		if err != nil {
			return nil, fmt.Errorf("%s: %w: it should be as \"central checkpoint show\" printed it", file, err)
		}
		if c.Size > 0 { // every tree goes on from nothing
			list = append(list, c.Size)
		}
	}
	return list, nil
}

func auditExport(o *options) *cobra.Command {
	var k kept
	var from int64
	cmd := &cobra.Command{
		Use:   "export FILE",
		Short: "Export the evidence, as auditors verify it",
		Long: `Export the evidence into FILE, which must not be there yet: all of it, or what is new since a place in the tree. Nothing in it names a
holder; cards stand in it by their serials. Verify it with "ractl audit verify", on any machine.`,
		Args: command.Takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			older, err := k.sizes()
			if err != nil {
				return err
			}
			c, err := o.central()
			if err != nil {
				return err
			}
			return download(cmd, args[0], func() (*http.Response, error) {
				return c.ExportEvidence(cmd.Context(), &ra.ExportEvidenceParams{From: from, Older: older, Witnessed: k.witnessed})
			})
		},
	}
	k.flags(cmd)
	cmd.Flags().Int64Var(&from, "from", 0, "only from this `place` in the tree on: the size of the last checkpoint whose export you have")
	return cmd
}

func auditProve(o *options) *cobra.Command {
	var k kept
	cmd := &cobra.Command{
		Use:   "prove CASE|PLACE FILE",
		Short: "Write what the evidence has of one case, or one record, with the proof that it stands in the tree",
		Long: `Write what the evidence has of a case, or the record in one place of the tree (ractl audit search names them), into FILE, which must not be
there yet. "ractl audit verify" verifies it alone, without the rest of the evidence.`,
		Args: command.Takes(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			older, err := k.sizes()
			if err != nil {
				return err
			}
			p := ra.ProveEvidenceParams{Older: older, Witnessed: k.witnessed}
			if len(args[0]) == 32 {
				p.Case = args[0]
			} else if place, err := strconv.ParseInt(args[0], 10, 64); err == nil && place >= 0 {
				p.Place = &place
			} else {
				return fmt.Errorf("%q is no case (32 hex digits) and no place in the tree", args[0])
			}
			c, err := o.central()
			if err != nil {
				return err
			}
			return download(cmd, args[1], func() (*http.Response, error) { return c.ProveEvidence(cmd.Context(), &p) })
		},
	}
	k.flags(cmd)
	return cmd
}

// download writes an answer to a new file, all of it or nothing.
func download(cmd *cobra.Command, file string, ask func() (*http.Response, error)) (err error) {
	if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("%s is there already: name another file", file)
	}
	resp, err := ask()
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	f, err := os.CreateTemp(filepath.Dir(file), ".ractl-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	defer os.Remove(f.Name())
	end := new(lastLine)
	n, err := io.Copy(io.MultiWriter(f, end), resp.Body)
	if err == nil && !bytes.HasPrefix(end.line, []byte(`{"end":`)) {
		err = errors.New("central broke off: its log says why")
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Link(f.Name(), file) // and not over another
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", file, bytesOf(n))
	return nil
}

func bytesOf(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// lastLine is the beginning of the last line that was written to it.
type lastLine struct {
	line  []byte
	ended bool
}

func (l *lastLine) Write(b []byte) (int, error) {
	for part := range bytes.Lines(b) {
		if l.ended {
			l.line, l.ended = l.line[:0], false
		}
		if room := 64 - len(l.line); room > 0 {
			l.line = append(l.line, part[:min(room, len(part))]...)
		}
		l.ended = bytes.HasSuffix(part, []byte("\n"))
	}
	return len(b), nil
}
