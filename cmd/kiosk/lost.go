package main

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"latchkey/cmd/internal/device"
	"latchkey/firmware/audit"
	"latchkey/firmware/journal"
	"latchkey/firmware/kiosk"
	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
	"latchkey/image"
)

// isLost tells whether the kiosk's storage was lost (image.Lost). Until central was told, the data folder is in memory and holds nothing but
// the configuration and the identity; the first process makes a new one after it.
func isLost(data string) bool {
	_, err := os.Stat(filepath.Join(data, image.Lost))
	return !errors.Is(err, fs.ErrNotExist)
}

// serveLost is the kiosk that has lost all that it kept: it serves nobody, and tells central, until ctx ends.
func serveLost(ctx context.Context, d *device.Device, show func(unlock.View, time.Time)) error {
	why, err := os.ReadFile(filepath.Join(d.Data, image.Lost))
	d.Log.Error("the kiosk's storage was lost", "why", string(why), "err", err)
	told := make(chan error, 1)
	go func() { told <- tellLost(ctx, d.Journal, d.Identity, d.Central.Deliver, d.Data, d.Log) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		show(unlock.View{Screen: unlock.ScreenOutOfService, Reason: unlock.ReasonDataLost, TriesLeft: -1}, time.Now())
		select {
		case <-ctx.Done():
			return nil
		case err := <-told:
			if err != nil {
				return err
			}
		case <-tick.C:
		}
	}
}

// tellAgain is how often central is told that does not answer.
const tellAgain = 15 * time.Second

// tellLost has central know, and leaves word of that. A journal that begins anew with the entry that the one before is lost is either
// taken, and then central reads that entry; or refused, since it does not go on from what central holds, and then that is the alarm.
func tellLost(ctx context.Context, j *journal.Journal, who kiosk.Identity, deliver func(context.Context, wire.EntryBatch) (*wire.Receipt, error), data string, log *slog.Logger) error {
	if _, err := os.Stat(filepath.Join(data, image.LostTold)); err == nil {
		return nil
	}
	if j.Head().Seq == 0 {
		if err := j.Append(audit.Entry{Kind: audit.KindQuarantined, At: time.Now().UnixMilli(), Reason: string(unlock.ReasonDataLost)}); err != nil {
			return fmt.Errorf("lost storage: %w", err)
		}
	}
	for {
		err := deliverLost(ctx, j, who, deliver)
		if err == nil {
			break
		}
		if ctx.Err() == nil {
			log.Warn("central does not know yet that the kiosk's storage was lost", "err", err)
		}
		if !pause(ctx, tellAgain) {
			return nil
		}
	}
	log.Info("central knows that the kiosk's storage was lost")
	if err := mark(data, image.LostTold); err != nil {
		return fmt.Errorf("lost storage: %w", err)
	}
	return nil
}

// deliverLost returns nil when central knows.
func deliverLost(ctx context.Context, j *journal.Journal, who kiosk.Identity, deliver func(context.Context, wire.EntryBatch) (*wire.Receipt, error)) error {
	batch, head, err := j.Pending(1)
	if err != nil {
		return err
	}
	start := j.Start()
	body := wire.EntryBatch{Before: start.Hash[:], Head: wire.JournalHead{Seq: head.Seq, Hash: head.Hash[:], Signature: head.Signature}}
	for _, e := range batch {
		body.Entries = append(body.Entries, wire.JournalEntry{Seq: e.Seq, Body: e.Body, Salt: e.Salt[:]})
	}
	receipt, err := deliver(ctx, body)
	var p *wire.Problem
	if errors.As(err, &p) && p.Code == wire.CodeEntriesDoNotExtend {
		return nil
	}
	if err != nil {
		return err
	}
	digest := wire.ReceiptDigest(receipt)
	if receipt.Kiosk != who.ID || !ecdsa.VerifyASN1(who.CentralKey, digest[:], receipt.Signature) {
		return errors.New("central's receipt does not verify")
	}
	if receipt.Held < head.Seq {
		return fmt.Errorf("central holds %d of %d entries", receipt.Held, head.Seq)
	}
	return nil
}
