package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/command"
	"latchkey/firmware/audit"
	"latchkey/firmware/durable"
)

func auditWitnessKey() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "witness-key --name NAME FILE",
		Short: "Make the key with which you cosign checkpoints as a witness",
		Long: `Make the key with which you cosign checkpoints as a witness, into FILE, which must not be there yet. Keep it from whoever runs central. What is
printed verifies what you sign: central's [evidence] witnesses takes it, and "ractl audit verify --witness".`,
		Args: command.Takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			secret, w, err := audit.NewWitnessKey(rand.Reader, name)
			if err != nil {
				return err
			}
			defer clear(secret)
			f, err := os.OpenFile(args[0], os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err != nil {
				return fmt.Errorf("witness key: %w", err)
			}
			_, err = f.Write(secret)
			if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
				return fmt.Errorf("witness key: %w", err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), w)
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "your `name` as a witness, such as witness.example.org")
	return cmd
}

// witness is one that cosigns.
type witness struct {
	tree, key, kept, url, ca string
}

func auditCosign() *cobra.Command {
	var w witness
	cmd := &cobra.Command{
		Use:   "cosign --key KEY --witness-key FILE --kept FILE [--url URL | CHECKPOINT]",
		Short: "Cosign a checkpoint, as a witness outside central",
		Long: `Cosign a checkpoint, as a witness outside central, if its tree begins with that of the one that you cosigned last, which --kept names. The
first time there is none yet, and you take the tree as it is shown; from then on nothing is cosigned that another history could have.

Give the checkpoint's file, or the address of central's pages with --url. For a file, have the proof with it: fetch
https://CENTRAL/checkpoint?from=SIZE, where SIZE is that of the checkpoint you kept. What is printed, the checkpoint with your line, goes to
those who run central: "central checkpoint cosign" publishes it.

The exit status is 0 if it was cosigned, 1 if it was refused since it is of another history or nobody's, 2 if it could not be told.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case (w.url == "") == (len(args) == 0):
				return errors.New("name a checkpoint's file, or the address of central's pages with --url")
			case w.tree == "" || w.key == "" || w.kept == "":
				return errors.New("name the tree's verifier key with --key, your own key's file with --witness-key, and with --kept the file where what you cosign is kept")
			}
			return w.cosign(cmd, args)
		},
	}
	cmd.Flags().StringVar(&w.tree, "key", "", "verifier `key` of the tree, or a file that holds it")
	cmd.Flags().StringVar(&w.key, "witness-key", "", "`file` that \"ractl audit witness-key\" made")
	cmd.Flags().StringVar(&w.kept, "kept", "", "`file` with the newest checkpoint that you cosigned; made the first time")
	cmd.Flags().StringVar(&w.url, "url", "", "`address` of central's pages, such as https://unlock.example.nhs.uk")
	cmd.Flags().StringVar(&w.ca, "ca", "", "`file` with the certificates that central's is to be verified by; none: the system's")
	return cmd
}

func (w *witness) cosign(cmd *cobra.Command, args []string) (err error) {
	tree, err := parsed(w.tree, audit.ParseTreeKey)
	if err != nil {
		return err
	}
	secret, err := os.ReadFile(w.key)
	if err != nil {
		return fmt.Errorf("witness key: %w", err)
	}
	defer clear(secret)
	// The next one's file is the lock as well: of two at once, each could cosign another history.
	next, err := os.OpenFile(w.kept+".new", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("cosign: %w: if nobody else cosigns at this moment, one was broken off before it had signed: remove the file", err)
	}
	defer func() {
		if next != nil {
			err = errors.Join(err, next.Close(), os.Remove(next.Name()))
		}
	}()
	var kept audit.Signed
	switch b, e := os.ReadFile(w.kept); {
	case e == nil:
		if kept, err = tree.Open(b); err != nil {
			return fmt.Errorf("%s: %w", w.kept, err)
		}
	case !errors.Is(e, fs.ErrNotExist):
		return fmt.Errorf("cosign: %w", e)
	}
	b, err := w.shown(cmd.Context(), args, kept.Size)
	if err != nil {
		return err
	}
	shown, err := audit.ParseShown(b)
	if err != nil {
		return err
	}
	c, err := tree.Open(shown.Note)
	if err != nil {
		return w.refuse(cmd, shown.Note, err.Error())
	}
	if why := goesOn(kept, c, shown); why != "" {
		return w.refuse(cmd, shown.Note, why)
	}
	note, err := audit.Cosign(secret, c, time.Now())
	if err != nil {
		return err
	}
	// Durable before anybody sees it (C2SP tlog-witness, "add-checkpoint").
	if _, err := next.Write(note); err != nil {
		return fmt.Errorf("cosign: %w", err)
	}
	if err := next.Sync(); err != nil {
		return fmt.Errorf("cosign: %w", err)
	}
	if err := os.Rename(next.Name(), w.kept); err != nil {
		return fmt.Errorf("cosign: %w", err)
	}
	err = next.Close()
	next = nil
	if err = errors.Join(err, durable.SyncDir(filepath.Dir(w.kept))); err != nil {
		return fmt.Errorf("cosign: %w", err)
	}
	_, err = cmd.OutOrStdout().Write(note)
	return err
}

// goesOn says why a checkpoint does not go on from the one that is kept; nothing if it does.
func goesOn(kept, c audit.Signed, shown audit.Shown) string {
	if kept.Note == nil {
		return ""
	}
	switch {
	case c.Size > kept.Size && shown.Old != kept.Size:
		return fmt.Sprintf("it has no proof from the %d records that you cosigned: fetch it as /checkpoint?from=%d", kept.Size, kept.Size)
	case c.Epoch < kept.Epoch:
		return fmt.Sprintf("it is of epoch %d, and you cosigned epoch %d", c.Epoch, kept.Epoch)
	}
	err := audit.CheckConsistency(kept.Checkpoint, c.Checkpoint, shown.Proof)
	switch {
	case err == nil:
		return ""
	case c.Epoch > kept.Epoch:
		return fmt.Sprintf("central says that it was restored from a backup (epoch %d), and lacks what you cosigned. Ask why; to go on as a witness of what it is now, name another file with --kept", c.Epoch)
	}
	return fmt.Sprintf("%v. You cosigned %d records", err, kept.Size)
}

// refuse tells why nothing was cosigned, and keeps what was shown: it is signed by central, which has to explain it.
func (w *witness) refuse(cmd *cobra.Command, note []byte, why string) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "ractl: NOT cosigned: %s.\n", why)
	if w.url == "" {
		return errWrong
	}
	f, err := os.CreateTemp(".", "refused-*.checkpoint")
	if err != nil {
		return errors.Join(errWrong, err)
	}
	_, err = f.Write(note)
	fmt.Fprintf(cmd.ErrOrStderr(), "What was shown is in %s: keep it, and %s.\n", f.Name(), w.kept)
	return errors.Join(errWrong, err, f.Close())
}

// maxAnswer is more than any checkpoint with its proof has, bytes.
const maxAnswer = 1 << 16

// shown is the checkpoint, with the proof from the size that is kept.
func (w *witness) shown(ctx context.Context, args []string, from int64) ([]byte, error) {
	if w.url == "" {
		b, err := os.ReadFile(args[0])
		if err != nil {
			return nil, fmt.Errorf("read checkpoint: %w", err)
		}
		return b, nil
	}
	u, err := url.Parse(w.url)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("--url %q: write it as https://unlock.example.nhs.uk", w.url)
	}
	u = u.JoinPath("checkpoint")
	if from > 0 {
		u.RawQuery = url.Values{"from": {strconv.FormatInt(from, 10)}}.Encode()
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if w.ca != "" {
		b, err := os.ReadFile(w.ca)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		if t.RootCAs = x509.NewCertPool(); !t.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("--ca: %s has no certificate", w.ca)
		}
	}
	transport := &http.Transport{TLSClientConfig: t, Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Client{Transport: transport, Timeout: 30 * time.Second}).Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", u, err)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answered %s", u, resp.Status)
	}
	return b, nil
}
