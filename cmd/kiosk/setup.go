package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/device"
	"latchkey/firmware/durable"
	"latchkey/firmware/identity"
	"latchkey/firmware/secret"
	"latchkey/firmware/wire"
	"latchkey/image"
	"latchkey/image/provision"
	"latchkey/ui"
)

// exitRefused is what set-up ends with when the file will never do; who runs it looks for another.
const exitRefused = 3

// refusedFile is why a provisioning file will never do.
type refusedFile struct {
	reason string // a message of ui
	err    error
}

func (r *refusedFile) Error() string {
	return fmt.Sprintf("setup: the file cannot be used (%s): %v", r.reason, r.err)
}
func (r *refusedFile) Unwrap() error { return r.err }

// setupCommand makes a kiosk of a freshly flashed machine.
func setupCommand() *cobra.Command {
	var from, dir, tpm string
	cmd := &cobra.Command{
		Use:   "setup --from FILE --dir FOLDER",
		Short: "Make this machine the kiosk that a provisioning file says, on its own screen",
		Long: `Make this machine the kiosk that a provisioning file says ("central kiosk provision" makes one), on its own screen.

It waits for the file, and shows what to do until it is there. Then it enrols, trying again for as long as it takes and showing why
it has to, and leaves in the folder kiosk.toml, with which "kiosk --config" runs, and what that names. After a cut, run the same again.

In the folder of a kiosk that is set up already, a newer file for the same kiosk, by the same central, gives it other settings, all
of them or none. The kiosk stays who it is; the file's code is used only if its certificate has run out. Every other file is refused, and
changes nothing.

It ends with 0 when the kiosk is set up, and with 3 when the file will never do, a minute after the screen has said why. The file is
left where it is, and holds a one-time code that has been used by then: wipe it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return setupOnScreen(cmd.Context(), from, dir, tpm)
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "the provisioning `file`, which need not be there yet")
	f.StringVar(&dir, "dir", "", "the kiosk's `folder`, for its configuration, identity, journal and log")
	f.StringVar(&tpm, "tpm", "", "make the key in this TPM; "+device.DefaultTPM+" if there is one")
	for _, name := range []string{"from", "dir"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

// debugImage tells that the machine's image is one with a shell, and not for use. PID 1 says so.
func debugImage() bool { return os.Getenv(image.Debug) == "1" }

// setupOnScreen sets the kiosk up with the machine's screen and panels.
func setupOnScreen(ctx context.Context, from, dir, tpm string) error {
	if err := secret.ForbidDumps(); err != nil {
		return err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("setup: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("setup: %w", err)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	slog.SetDefault(log)
	c := device.Unconfigured(dir)
	inputs, err := openInputs(c, log)
	if err != nil {
		return err
	}
	options := ui.Options{Debug: debugImage()}
	defer openConsole(c.Console.Font, log, &options)() // before the screen, which asks for its size
	screen, err := openTerminal()
	if err != nil {
		return fmt.Errorf("open the terminal (is this run on one?): %w", err)
	}
	if err := screen.Init(); err != nil {
		return fmt.Errorf("open the terminal: %w", err)
	}
	defer screen.Fini()
	screen.EnableMouse()
	watch, stopWatch := context.WithCancel(context.WithoutCancel(ctx))
	var beside sync.WaitGroup
	defer beside.Wait()
	defer stopWatch()
	face := &setupFace{face: face{face: ui.New(screen, options)}, facts: image.Facts, view: ui.SetupView{Stage: ui.SetupWaiting}}
	if inputs != nil {
		defer inputs.Close()
		go feed(watch, inputs, screen, face.headphones)
	}
	go func() {
		for range face.inputs(watch, screen) {
		}
	}()
	s := &setup{from: from, dir: dir, tpm: tpm, image: image.About, facts: image.Facts, log: log, show: face.set, linger: lingerFor, patience: refusedFor, enrol: device.Enrol}
	beside.Go(func() {
		signs := newNotifier(log)
		face.keep(watch, &s.step, signs.turn)
		signs.stopping()
	})
	return s.run(ctx)
}

// Times of setting up.
const (
	lookEvery  = time.Second     // for the file
	lingerFor  = 3 * time.Second // a screen that passes, so that it can be seen
	refusedFor = time.Minute     // the screen that says why a file will never do
	retryFirst = 5 * time.Second
	retryMost  = time.Minute
)

// setup makes a kiosk of a machine.
type setup struct {
	from, dir, tpm   string
	image            string // file in which the image says what it is
	facts            string // file in which PID 1 says what it knows of the machine
	log              *slog.Logger
	step             step
	show             func(ui.SetupView)
	linger, patience time.Duration
	enrol            func(ctx context.Context, central, ca, dir, tpm string, code secret.Value, judge func(*wire.Enrolled) error) (identity.Enrolment, error)
}

// run returns when the kiosk is set up, the file is refused, or ctx ends.
func (s *setup) run(ctx context.Context) error {
	s.step.within(stepPatience)
	s.show(ui.SetupView{Stage: ui.SetupWaiting})
	text, err := s.await(ctx)
	if err != nil {
		return err
	}
	err = s.apply(ctx, text)
	var refused *refusedFile
	if errors.As(err, &refused) {
		s.log.Error("the provisioning file cannot be used", "reason", refused.reason, "err", refused.err)
		v := ui.SetupView{Stage: ui.SetupRefused, Reason: refused.reason}
		if refused.reason == reasonSettings {
			v.Detail = refused.err.Error()
		}
		if f, bad := provision.Open(text); bad == nil {
			v.Kiosk = f.Kiosk
			f.Wipe()
		}
		s.show(v)
		s.pause(ctx, s.patience)
	}
	clear(text)
	return err
}

// await reads the file as soon as it is there. It comes by a rename, so it is whole.
func (s *setup) await(ctx context.Context) ([]byte, error) {
	for {
		text, err := readProvisioning(s.from)
		if !errors.Is(err, fs.ErrNotExist) {
			return text, err
		}
		if !s.pause(ctx, lookEvery) {
			return nil, errors.New("setup: it was stopped before a provisioning file came")
		}
	}
}

// readProvisioning reads no more than a byte too much.
func readProvisioning(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("setup: %w", err)
	}
	defer f.Close()
	text := make([]byte, provision.MaxSize+1)
	n := 0
	for n < len(text) {
		more, err := f.Read(text[n:])
		n += more
		if more == 0 || err != nil {
			break // what is missing is missed by its signature
		}
	}
	return text[:n], nil
}

// apply sets the kiosk up with a file. kiosk.toml is written last: with it the kiosk is set up, and after a cut before that all of this is
// done again.
func (s *setup) apply(ctx context.Context, text []byte) error {
	f, err := provision.Open(text)
	var bad *provision.Error
	if errors.As(err, &bad) {
		return &refusedFile{string(bad.Flaw), err}
	} else if err != nil {
		return err
	}
	defer f.Wipe()
	if err := imageCan(f, s.image); err != nil {
		return &refusedFile{reasonWireless, err}
	}
	tpm := s.tpmFor()
	config := filepath.Join(s.dir, "kiosk.toml")
	from := device.Provisioned{Until: f.Expires, SHA256: fmt.Sprintf("%x", sha256.Sum256(text))}
	settings, err := kioskSettings(f, from, imageBoard(s.image), tpm)
	if err == nil {
		err = device.CheckConfig(settings, config, "central kiosk provision --help")
	}
	if err != nil {
		return &refusedFile{reasonSettings, err} // before the code is used
	}
	was, err := s.before(f, from, tpm)
	if err != nil {
		return err
	}
	s.log.Info("provisioning file", "kiosk", f.Kiosk, "central", f.Central, "central_key", f.Fingerprint())
	view := ui.SetupView{Stage: ui.SetupEnrolling, Kiosk: f.Kiosk, Site: f.Site, Fingerprint: f.Fingerprint()}
	s.show(view)
	if !s.pause(ctx, s.linger) {
		return errStopped
	}
	// Beside the one that the kiosk has: which counts is what kiosk.toml says.
	ca := filepath.Join(s.dir, caName(f))
	if err := durable.Write(ca, []byte(f.CentralCA)); err != nil {
		return fmt.Errorf("setup: %w", err)
	}
	e, err := s.enrolled(ctx, f, ca, tpm, view)
	if err != nil {
		return err
	}
	if err := durable.Write(config, settings); err != nil {
		return fmt.Errorf("setup: %w", err)
	}
	s.log.Info("this kiosk is set up", "kiosk", e.Name, "fingerprint", e.Fingerprint)
	if err := removeOthers(s.dir, caPattern, caName(f)); err != nil {
		s.log.Error("an authority that no longer counts is still there", "err", err)
	}
	done := ui.SetupView{Stage: ui.SetupDone, Kiosk: e.Name, Fingerprint: e.Fingerprint}
	if was && e.Before {
		done.Fingerprint = "" // nobody has to confirm it again
	}
	s.show(done)
	s.pause(ctx, s.linger)
	return nil
}

// caPattern are who vouches for central, each named for what it holds.
const caPattern = "central-ca*.pem"

func caName(f *provision.File) string {
	return fmt.Sprintf("central-ca-%.8x.pem", sha256.Sum256([]byte(f.CentralCA)))
}

// removeOthers removes what matches the pattern and is not the one that stays.
func removeOthers(dir, pattern, stays string) error {
	all, err := filepath.Glob(filepath.Join(dir, pattern))
	for _, path := range all {
		if filepath.Base(path) != stays {
			err = errors.Join(err, os.Remove(path))
		}
	}
	return err
}

// before tells whether this is a kiosk already. If it is, the file must be for it, by its central, and not older than its settings.
func (s *setup) before(f *provision.File, from device.Provisioned, tpm string) (is bool, err error) {
	config := filepath.Join(s.dir, "kiosk.toml")
	if _, err := os.Stat(config); errors.Is(err, fs.ErrNotExist) {
		return false, nil // what a cut has left of its enrolment is looked at there
	}
	i, err := identity.Open(filepath.Join(s.dir, "identity"), tpm)
	switch {
	case errors.Is(err, identity.ErrNotEnrolled):
	case err != nil:
		return true, err
	default:
		err := fitsIdentity(f, i)
		if err = errors.Join(err, i.Close()); err != nil {
			return true, err
		}
	}
	if had := device.ReadProvisioned(config); f.Expires.Before(had.Until) || f.Expires.Equal(had.Until) && from.SHA256 != had.SHA256 {
		return true, &refusedFile{reasonOlder, fmt.Errorf("its settings are from a file whose code was good until %s, and those of this one until %s", had.Until, f.Expires)}
	}
	return true, nil
}

// fitsIdentity refuses a file that is for another kiosk or by another central.
func fitsIdentity(f *provision.File, i *identity.Identity) error {
	switch {
	case i.Name() != f.Kiosk:
		return &refusedFile{reasonOtherKiosk, fmt.Errorf("this machine is enrolled as %s, the file is for %s", i.Name(), f.Kiosk)}
	case !i.CentralKey().Equal(f.Key()):
		return &refusedFile{reasonOtherKey, fmt.Errorf("this machine knows another central than the one whose key is %s", f.Fingerprint())}
	}
	return nil
}

var errStopped = errors.New("setup: it was stopped before the kiosk was enrolled")

// enrolled asks central until it has answered for good.
func (s *setup) enrolled(ctx context.Context, f *provision.File, ca, tpm string, view ui.SetupView) (identity.Enrolment, error) {
	folder := filepath.Join(s.dir, "identity")
	judge := func(answer *wire.Enrolled) error {
		switch key, err := provision.ParseKey(answer.CentralKey); {
		case err != nil:
			return fmt.Errorf("central's key: %w", err)
		case !key.Equal(f.Key()):
			return &refusedFile{reasonOtherKey, fmt.Errorf("central answers with the key %s, the file names %s", wire.Fingerprint(answer.CentralKey), f.Fingerprint())}
		case answer.Kiosk != f.Kiosk:
			return &refusedFile{reasonSettings, fmt.Errorf("central calls this kiosk %s, the file %s", answer.Kiosk, f.Kiosk)}
		}
		return nil
	}
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		e, err := s.enrol(ctx, f.Enrol, ca, folder, tpm, f.Code, judge)
		if err == nil && e.Before {
			err = sameAsBefore(f, folder, tpm)
		}
		if err == nil {
			return e, nil
		}
		if ctx.Err() != nil {
			return e, errStopped
		}
		reason, final := whyNotEnrolled(err, readFacts(s.facts))
		if final {
			var refused *refusedFile
			if errors.As(err, &refused) {
				return e, refused
			}
			return e, &refusedFile{reason, err}
		}
		s.log.Warn("not enrolled", "reason", reason, "err", err)
		view.Reason, view.Detail, view.Again = reason, err.Error(), time.Now().Add(wait)
		s.show(view)
		if !s.pause(ctx, wait) {
			return e, errStopped
		}
	}
}

// sameAsBefore checks that an identity that was there is the one that the file is for: a cut after the enrolment left it.
func sameAsBefore(f *provision.File, folder, tpm string) error {
	i, err := identity.Open(folder, tpm)
	if err != nil {
		return err
	}
	defer i.Close()
	return fitsIdentity(f, i)
}

// tpmFor is the TPM that makes the key: the one that was named, or the machine's own; none where the key is in a file already.
func (s *setup) tpmFor() string {
	if _, err := os.Stat(filepath.Join(s.dir, "identity", "key.pem")); err == nil {
		return ""
	}
	if s.tpm != "" {
		return s.tpm
	}
	if _, err := os.Stat(device.DefaultTPM); err == nil {
		return device.DefaultTPM
	}
	return ""
}

// pause is a step that takes its time, and tells whether it lasted; the next begins after it.
func (s *setup) pause(ctx context.Context, d time.Duration) bool {
	s.step.within(d + stepPatience)
	defer s.step.within(stepPatience)
	return pause(ctx, d)
}

// pause tells whether it lasted.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// kioskSettings is the kiosk's configuration.
func kioskSettings(f *provision.File, from device.Provisioned, machine, tpm string) ([]byte, error) {
	name, err := boardFor(f.Board, machine)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Made by \"kiosk setup\" from the provisioning file of %s.\n", f.Kiosk)
	set := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s = %q\n", key, value) // one line of printable characters: Go's quotes are TOML's
		}
	}
	set("central", f.Central)
	set("central_ca", caName(f))
	set("identity", "identity")
	set("data", ".")
	set("tpm", tpm)
	set("help", f.Help)
	set("help_cy", f.HelpWelsh)
	set("language", f.Language)
	set("time_zone", f.TimeZone)
	set("next_kiosk", f.NextKiosk)
	set("next_kiosk_cy", f.NextWelsh)
	b.WriteString("\n[board]\n")
	set("name", name)
	b.WriteString("\n[service]\n")
	set("export", image.Stick)
	set("logs", image.Logs)
	b.WriteString("\n[provisioned]\n")
	fmt.Fprintf(&b, "until = %s\n", from.Until.UTC().Format(time.RFC3339Nano))
	set("sha256", from.SHA256)
	return b.Bytes(), nil
}
