package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/command"
	"latchkey/firmware/audit"
	"latchkey/firmware/wire"
)

// known are the flags by which an auditor says what he knows.
type known struct{ keys, witnesses, checkpoints, kiosks []string }

func auditVerify() *cobra.Command {
	var k known
	cmd := &cobra.Command{
		Use:   "verify FILE...",
		Short: "Verify exports and proofs, offline",
		Long: `Verify exports and proofs, offline, against what you know: the verifier key of the tree, and checkpoints that you kept. Whatever is
wrong is named, a line each, the first first: a changed record, one that was removed, added or moved, a kiosk's journal that does not lead to
what the kiosk signed, a checkpoint or a head that somebody else signed, a history that is not the one of your checkpoints.

The exit status is 0 if all is as it should be, 1 if something is wrong with the evidence, 2 if it could not be told.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return command.Takes(1)(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := k.auditor()
			if err != nil {
				return err
			}
			wrong := false
			for _, file := range args {
				f, err := os.Open(file)
				if err != nil {
					return err
				}
				v, err := a.Verify(f)
				f.Close()
				if err != nil {
					return fmt.Errorf("%s: %w", file, err)
				}
				tell(cmd.OutOrStdout(), file, a, v)
				wrong = wrong || v.Wrong > 0
			}
			if wrong {
				return errWrong
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&k.keys, "key", nil, "verifier `key` of the tree, or a file that holds it, as \"central checkpoint show --key\" printed it; after a change of keys, each of them")
	cmd.Flags().StringArrayVar(&k.checkpoints, "checkpoint", nil, "a `file` with a checkpoint that you kept; can stand several times")
	cmd.Flags().StringArrayVar(&k.witnesses, "witness", nil, "verifier `key` of a witness that must have cosigned, or a file that holds it; can stand several times")
	cmd.Flags().StringArrayVar(&k.kiosks, "kiosk", nil, "`NAME=FINGERPRINT` of a kiosk's key, as its own screen shows it; of others central's word is taken; can stand several times")
	return cmd
}

func (k *known) auditor() (*audit.Auditor, error) {
	a := &audit.Auditor{Kiosks: map[string][32]byte{}}
	if len(k.keys) == 0 {
		return nil, errors.New("name the verifier key of the tree with --key: \"central checkpoint show --key\" printed it when you began to keep checkpoints")
	}
	for _, s := range k.keys {
		key, err := parsed(s, audit.ParseTreeKey)
		if err != nil {
			return nil, err
		}
		a.Keys = append(a.Keys, key)
	}
	for _, s := range k.witnesses {
		w, err := parsed(s, audit.ParseWitness)
		if err != nil {
			return nil, err
		}
		a.Witnesses = append(a.Witnesses, w)
	}
	for _, file := range k.checkpoints {
		c, err := open(a.Keys, file)
		if err != nil {
			return nil, err
		}
		a.Kept = append(a.Kept, c)
	}
	for _, s := range k.kiosks {
		name, digits, _ := strings.Cut(s, "=")
		f, err := wire.ParseFingerprint(digits)
		if err != nil || name == "" {
			return nil, fmt.Errorf("--kiosk %q: write NAME=FINGERPRINT, with all 64 hex digits that the kiosk shows", s)
		}
		a.Kiosks[name] = f
	}
	return a, nil
}

// parsed reads a key, or the file that holds it.
func parsed[K any](s string, parse func(string) (K, error)) (K, error) {
	key, err := parse(s)
	if err == nil || strings.Count(s, "+") >= 2 {
		return key, err
	}
	b, err := os.ReadFile(s)
	if err != nil {
		return key, fmt.Errorf("%q is neither a verifier key nor a file that can be read: %w", s, err)
	}
	if key, err = parse(strings.TrimSpace(string(b))); err != nil {
		return key, fmt.Errorf("%s: %w", s, err)
	}
	return key, nil
}

func open(keys []audit.TreeKey, file string) (c audit.Signed, err error) {
	msg, err := os.ReadFile(file)
	if err != nil {
		return c, fmt.Errorf("read checkpoint: %w", err)
	}
	for _, k := range keys {
		if c, err = k.Open(msg); err == nil {
			return c, nil
		}
	}
	return c, fmt.Errorf("%s: %w: look whether it is the checkpoint, and the key, that you kept", file, err)
}

// tell says what a file holds, and all that is wrong with it.
func tell(w io.Writer, file string, a *audit.Auditor, v audit.Verified) {
	if v.Wrong > 0 {
		fmt.Fprintf(w, "%s: NOT verified, %d wrong:\n", file, v.Wrong)
		for _, f := range v.Findings {
			fmt.Fprintf(w, "  %s\n", f)
		}
		if more := v.Wrong - int64(len(v.Findings)); more > 0 {
			fmt.Fprintf(w, "  and %d more\n", more)
		}
		return
	}
	c := v.Checkpoint
	if v.Form == audit.FormProof {
		fmt.Fprintf(w, "%s: verified: %s of the %d of %s", file, records(v.Records), c.Size, c.Origin)
	} else {
		fmt.Fprintf(w, "%s: verified: all %s from %d to %d of %s", file, records(v.Records), v.From, c.Size, c.Origin)
	}
	if v.Erased > 0 {
		fmt.Fprintf(w, "; %d erased", v.Erased)
	}
	if v.Heads > 0 {
		fmt.Fprintf(w, "; kiosks signed %d times", v.Heads)
	}
	if n := len(a.Kept); n > 0 {
		fmt.Fprintf(w, "; goes on from %d checkpoints that you kept", n)
	}
	if n := len(a.Witnesses); n > 0 {
		fmt.Fprintf(w, "; cosigned by %d witnesses", n)
	}
	fmt.Fprintln(w)
	for _, source := range slices.Sorted(maps.Keys(v.Unsigned)) {
		fmt.Fprintf(w, "  the last %d entries of %s stand after what the kiosk signed last, as far as this file goes\n", v.Unsigned[source], source)
	}
	for _, kiosk := range slices.Sorted(maps.Keys(v.Kiosks)) {
		if _, is := a.Kiosks[kiosk]; is {
			continue
		}
		for _, f := range v.Kiosks[kiosk] {
			fmt.Fprintf(w, "  on central's word, %s signs with the key %s\n", kiosk, wire.ShowFingerprint(f))
		}
	}
}

func records(n int64) string {
	if n == 1 {
		return "1 record"
	}
	return fmt.Sprintf("%d records", n)
}
