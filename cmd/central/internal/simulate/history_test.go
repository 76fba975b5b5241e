package simulate

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"latchkey/cmd/central/internal/office"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/tree"
	"latchkey/firmware/audit"
	"latchkey/firmware/checkpoint"
	wires "latchkey/firmware/wire"
)

// history is what stands outside central of its tree over all evidence.
type history struct {
	kept   []audit.Signed // checkpoints that an auditor was shown
	inTime int            // of them, those that the newest backup has, too
	stores map[*kiosk]*memory
}

// memory is a kiosk's.
type memory struct {
	*checkpoint.Store
	restores int // of central, when it was shown something last
}

// auditor is who watches the tree: by a key that central does not have, and as a witness.
type auditor struct {
	tree    *audit.TreeSigner
	secret  []byte
	witness audit.Witness
}

func newAuditor() (a auditor, err error) {
	secret, _, err := audit.NewTreeKey(rand.Reader, "central")
	if err != nil {
		return a, err
	}
	if a.tree, err = audit.ParseTreeSigner(secret); err != nil {
		return a, err
	}
	a.secret, a.witness, err = audit.NewWitnessKey(rand.Reader, "auditor")
	return a, err
}

func (w *world) grower() *tree.Grower {
	return &tree.Grower{Store: w.central.store, Key: w.auditor.tree, Witnesses: []audit.Witness{w.auditor.witness}, Log: slog.New(slog.DiscardHandler), Now: w.now}
}

// showHistory has the tree grow and be signed, and shows that to the kiosks, each of which holds it against what it keeps, and to the
// witness, who cosigns it.
func (w *world) showHistory() error {
	ctx, g := context.Background(), w.grower()
	signed, err := g.Sign(ctx)
	if err != nil {
		return err
	}
	w.say("the tree has %d records", signed.Size)
	for _, k := range w.kiosks {
		if err := w.showTo(k, g); err != nil {
			return err
		}
	}
	w.history.kept = append(w.history.kept, signed)
	msg, err := audit.Cosign(w.auditor.secret, signed, w.now())
	if err != nil {
		return err
	}
	_, err = g.Cosign(ctx, w.auditor.witness.Name, msg, "RA")
	if refused := tree.Refused(""); errors.As(err, &refused) {
		w.breaks(evidenceIsWhole, "what the witness cosigned is refused: %s", refused)
		return nil
	}
	return err
}

func (w *world) showTo(k *kiosk, g *tree.Grower) (err error) {
	m := w.history.stores[k]
	if m == nil {
		dir := filepath.Join(w.dir, k.name+".kept")
		m = &memory{restores: w.restores}
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if m.Store, _, err = checkpoint.Open(dir, &w.signing.PublicKey); err != nil {
			return err
		}
		w.history.stores[k] = m
	}
	p, err := g.Newest(context.Background(), false, m.Size())
	if err != nil {
		return err
	}
	digest := wires.CheckpointKeyDigest(p.Key)
	signature, err := ecdsa.SignASN1(rand.Reader, w.signing, digest[:])
	if err != nil {
		return err
	}
	found, err := m.Take(&wires.Checkpoint{Note: p.Note, Key: p.Key, Signature: signature, Proof: p.Proof}, time.Now())
	if err != nil {
		return err
	}
	if found != nil && (found.Reason != checkpoint.Restored || m.restores == w.restores) {
		w.breaks(evidenceIsWhole, "%s: central shows another history: %s, %d records and then %d", k.name, found.Reason, found.Size, found.Now)
	}
	m.restores = w.restores
	return nil
}

// audited has an auditor verify all evidence: the tree, the journals in it, every checkpoint that was shown, and the witness's cosignature.
func (w *world) audited() error {
	if err := w.showHistory(); err != nil {
		return err
	}
	a := &audit.Auditor{Keys: []audit.TreeKey{w.auditor.tree.Key()}, Witnesses: []audit.Witness{w.auditor.witness}, Kept: w.history.kept, Kiosks: map[string][32]byte{}}
	var sizes []int64
	for _, c := range w.history.kept {
		sizes = append(sizes, c.Size)
	}
	for _, k := range w.kiosks {
		spki, err := x509.MarshalPKIXPublicKey(k.key.Public())
		if err != nil {
			return err
		}
		a.Kiosks[k.name] = sha256.Sum256(spki)
	}
	write, err := office.ExportEvidence(context.Background(), w.central.store, w.grower(), office.Export{Older: sizes, Witnessed: true}, "RA", w.now())
	if err != nil {
		return err
	}
	var file bytes.Buffer
	if err := write(&file); err != nil {
		return err
	}
	v, err := a.Verify(&file)
	if err != nil {
		return err
	}
	for _, f := range v.Findings {
		w.breaks(evidenceIsWhole, "the auditor finds: %s", f)
	}
	for _, k := range w.kiosks {
		if err := w.isInTree(k); err != nil {
			return err
		}
	}
	return nil
}

// isInTree: all that central holds of a kiosk is in the tree.
func (w *world) isInTree(k *kiosk) error {
	held, err := w.held(k.name)
	if err != nil || len(held) == 0 {
		return err
	}
	last := held[len(held)-1].Seq
	err = w.central.store.View(context.Background(), func(tx *store.Tx) error {
		_, err := tx.TreePlace(audit.KioskSource(k.name, 1), last)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		w.breaks(evidenceIsWhole, "%s: entry %d is not in the tree", k.name, last)
		return nil
	}
	return err
}
