package main

// invariant is one of those that no fault may break: README.md of firmware and the simulation's own names say them in full.
type invariant string

const (
	bricked  invariant = "a card is not bricked"
	puk      invariant = "a PUK is never lost"
	twice    invariant = "nothing is taken twice"
	told     invariant = "a passcode is told"
	evidence invariant = "an entry is never lost"
)

// harness is a package with tests that let faults happen.
type harness string

const (
	simulator harness = "./cmd/central/internal/simulate"
	crashes   harness = "./firmware/journal"
)

// mutant is a bug.
type mutant struct {
	name     string
	breaks   invariant
	seenBy   harness
	file     string
	old, new string
	why      string // somebody makes this mistake
}

// firstFault is what goes wrong first in every episode that the simulation plays to a mutant: those that need two faults one after the
// other, in one card's way, are found by make simulate in 100,000 unlocks, and here sooner.
var firstFault = map[string]string{
	"intent-taken-for-nothing-written":   "rotate / killed after / piv",
	"first-candidate-only":               "rotate / killed after / piv",
	"rotated-again-before-it-is-settled": "rotate / killed after / piv",
	"last-try-granted":                   pulledAtRotation,
	"tries-not-booked":                   "reset / card pulled after / piv",
	"unknown-cost-taken-for-none":        "reset / card pulled after / piv",
	"bookings-cleared-without-rotation":  pulledAtRotation,
	"9000-believed":                      "reset / card lies that it did / piv",
}

const pulledAtRotation = "rotate / card pulled before / piv"

// list has the mutants, those of one invariant together. The first of each is one of the few.
var list = []mutant{
	{
		"first-candidate-only", bricked, simulator, "cmd/central/internal/cases/grant.go",
		"first, wanted = base+1, 2", "first, wanted = base, 1",
		"An outcome got lost, and the card has been given its next PUK; central goes on as if it had the old one.",
	},
	{
		"intent-taken-for-nothing-written", bricked, simulator, "firmware/unlock/machine.go",
		"Passcode: audit.Unknown, Rotated: audit.Unknown}", "Passcode: audit.No, Rotated: audit.No}",
		"After a power cut, no outcome in the journal is read as nothing done to the card.",
	},
	{
		"last-try-granted", bricked, simulator, "cmd/central/internal/cases/grant.go",
		"case c.remaining(r) < 2:", "case c.remaining(r) < 1:",
		"Off by one: one try left looks like enough for one try.",
	},
	{
		"tries-not-booked", bricked, simulator, "cmd/central/internal/cases/grant.go",
		`Base: base, First: first, Tries: wanted, Booked: wanted,
		IssuedAt: now,`,
		`Base: base, First: first, Tries: wanted,
		IssuedAt: now,`,
		"The tries of a grant count only once its outcome is known.",
	},
	{
		"second-candidate-whatever-is-left", bricked, simulator, "firmware/unlock/write.go",
		"if f.TriesLeft >= minTriesLeft && w.grant.rotates()",
		"if w.grant.rotates()",
		"The other candidate is tried without a look at what 63CX says.",
	},
	{
		"unknown-cost-taken-for-none", bricked, simulator, "firmware/unlock/write.go",
		`	if tries >= 0 {
		o.Tries = &tries
	}`,
		"	o.Tries = new(max(tries, 0))",
		"A card that was pulled within a try is taken not to have counted it.",
	},
	{
		"bookings-cleared-without-rotation", bricked, simulator, "cmd/central/internal/cases/grant.go",
		"	if r.Profile.PUK.Restores && opened >= 0",
		"	if opened >= 0",
		"A right PUK is thought to restore its own count on every card.",
	},
	{
		"unsure-taken-for-rotated", puk, simulator, "cmd/central/internal/cases/grant.go",
		"case opened == g.Base && o.Rotated == wire.Yes:", "case opened == g.Base && o.Rotated != wire.No:",
		"A fact has three values, and the third is forgotten.",
	},
	{
		"no-answer-taken-for-rotated", puk, simulator, "firmware/unlock/write.go",
		"		rotated = audit.Unknown\n", "		rotated = audit.Yes\n",
		"The card was pulled while it was given its next PUK, and what was asked is taken for done.",
	},
	{
		"unlocked-taken-for-rotated", puk, simulator, "cmd/central/internal/cases/grant.go",
		"case opened == g.Base && o.Rotated == wire.Yes:", "case opened == g.Base && o.Passcode == wire.Yes:",
		"Whoever unlocked the card will have replaced its PUK, too.",
	},
	{
		"next-is-the-present", puk, simulator, "firmware/kiosk/grant.go",
		"Next: c.Next.Value}, nil", "Next: c.Current.Value}, nil",
		"Of two fields of one type the wrong one is copied.",
	},
	{
		"next-of-the-next", puk, simulator, "cmd/central/internal/api/grant.go",
		"st.Vault.Derive(g.Card, g.Base+1,",
		"st.Vault.Derive(g.Card, g.First+1,",
		"The next PUK is derived from the candidate that is tried, rather than from the base.",
	},
	{
		"rotated-again-before-it-is-settled", puk, simulator, "firmware/unlock/write.go",
		"		if w.trying == w.grant.Base && w.grant.rotates() {",
		"		if w.grant.rotates() {",
		"A card that was opened by the next PUK is rotated like any other.",
	},
	{
		"code-stays-good", twice, simulator, "cmd/central/internal/cases/code.go",
		"if err := c.at(now, CodeSent); err != nil {\n		return err\n	}\n	if err := c.stillEligible(p, now, *r); err != nil {\n		return err\n	}\n	if lockedOut(p, r.Card, r.Holder) {\n		return c.end(wire.CodeHolderLockedOut)\n	}\n	if !c.Code.Out(now) {\n		return Refuse(wire.CodeCodeExpired)\n	}\n	c.Attempts++\n	if hmac.Equal(c.Code.MAC, mac) {\n		c.State, c.Code.MAC = Accepted, nil",
		"if err := c.at(now, CodeSent, Accepted); err != nil {\n		return err\n	}\n	if err := c.stillEligible(p, now, *r); err != nil {\n		return err\n	}\n	if lockedOut(p, r.Card, r.Holder) {\n		return c.end(wire.CodeHolderLockedOut)\n	}\n	if !c.Code.Out(now) {\n		return Refuse(wire.CodeCodeExpired)\n	}\n	c.Attempts++\n	if hmac.Equal(c.Code.MAC, mac) {\n		c.State = Accepted",
		"A repeated check is to get the same answer, and somebody writes that into the rules.",
	},
	{
		"accepted-case-takes-any-code", twice, simulator, "cmd/central/internal/cases/code.go",
		"	if err := c.at(now, CodeSent); err != nil {\n", "	if c.State == Accepted && c.Open(now) {\n		return nil\n	}\n	if err := c.at(now, CodeSent); err != nil {\n",
		"To check a code again is thought to do no harm once one was right.",
	},
	{
		"grant-given-again", twice, simulator, "cmd/central/internal/api/grant.go",
		"st.rq.kiosk, r.Body.Proof, r.Body.Challenge)\n		if err != nil {\n			return nil, st.turnDown(",
		`st.rq.kiosk, r.Body.Proof, r.Body.Challenge)
		for _, had := range rec.Grants {
			if err != nil && c.State == cases.Granted && had.Case == c.ID && had.Outcome == nil {
				both, err := st.candidates(rec, had, r.Body.Challenge)
				if err != nil {
					return nil, err
				}
				return st.seal(st.rq, c, had, both)
			}
		}
		if err != nil {
			return nil, st.turnDown(`,
		"A kiosk that says it lost its grant is given it again.",
	},
	{
		"answer-not-kept", twice, simulator, "cmd/central/internal/api/once.go",
		"return st.keep(a, out)", "return nil",
		"The idempotency key is read and forgotten.",
	},
	{
		"pulled-taken-for-not-unlocked", told, simulator, "firmware/unlock/write.go",
		"m.end(m.outcome(audit.Unknown, nil, audit.No, -1), ReasonUnknownOutcome)", "m.end(m.outcome(audit.Unknown, nil, audit.No, -1), ReasonNotUnlocked)",
		"The card was pulled while its passcode was set, and the holder hears that it was not.",
	},
	{
		"slow-taken-for-done", told, simulator, "firmware/unlock/write.go",
		"	case FailRemoved, FailReset, FailHung, FailUnknown:\n		m.end(m.outcome(audit.Unknown, nil, audit.No, -1), ReasonUnknownOutcome)",
		"	case FailHung:\n		m.end(m.outcome(audit.Yes, nil, audit.No, -1), \"\")\n	case FailRemoved, FailReset, FailUnknown:\n		m.end(m.outcome(audit.Unknown, nil, audit.No, -1), ReasonUnknownOutcome)",
		"A card that does not answer in time is taken to have done as it was told.",
	},
	{
		"pulled-at-rotation-taken-for-failed", told, simulator, "firmware/unlock/write.go",
		`	m.end(o, "") // the passcode is on the card`,
		`	if f.Kind == FailRemoved {
		m.end(o, ReasonRemoved)
		return
	}
	m.end(o, "") // the passcode is on the card`,
		"The passcode is on the card and the PUK perhaps not; the holder hears of the second alone.",
	},
	{
		"removal-heard-before-the-answer", told, simulator, "firmware/unlock/machine.go",
		`	case phaseResetting, phaseConfirming, phaseRotating, phaseVerifying, phaseReplacing, phaseProbing:
		return true`,
		`	case phaseResetting, phaseRotating, phaseVerifying, phaseReplacing, phaseProbing:
		return true`,
		"A state is missing in the list of those in which the card may be in the middle of a change.",
	},
	{
		"confirmation-lost-taken-for-no", told, simulator, "firmware/unlock/write.go",
		"		m.end(m.outcome(audit.Unknown, nil, audit.No, w.tries), ReasonUnknownOutcome)",
		"		m.end(m.outcome(audit.No, nil, audit.No, w.tries), ReasonNotUnlocked)",
		"No confirmation is read as a refusal.",
	},
	{
		"9000-believed", told, simulator, "firmware/unlock/write.go",
		"		m.do(ConfirmPasscode{Session: w.session, Passcode: w.passcode})",
		"		m.confirmed(Failure{})",
		"The card said that the passcode is set, and nobody looks.",
	},
	{
		"forgets-what-is-held", evidence, simulator, "firmware/kiosk/deliver.go",
		"k.Journal.Forget(receipt.BackedUp)", "k.Journal.Forget(receipt.Held)",
		"Two marks in a receipt, and the kiosk lets go of its entries at the first.",
	},
	{
		"begun-taken-for-whole", evidence, simulator, "cmd/central/internal/store/tree.go",
		"		if last == nil || in != nil && *in >= *last {",
		"		if last == nil || in != nil {",
		"A journal of which something is in the tree is thought to be there as a whole.",
	},
	{
		"restored-central-signs-as-before", evidence, simulator, "cmd/central/internal/tree/tree.go",
		"g.Key.Sign(epoch.Number, c)", "g.Key.Sign(audit.FirstEpoch, c)",
		"A central that was restored signs a shorter tree under the name of the longer one.",
	},
	{
		"no-sync", evidence, crashes, "firmware/journal/open.go",
		"&bbolt.Options{Timeout: lockWait, NoFreelistSync: true,", "&bbolt.Options{Timeout: lockWait, NoSync: true, NoFreelistSync: true,",
		"Syncs are slow, and somebody tries whether it goes without.",
	},
	{
		"fork-not-noticed", evidence, simulator, "cmd/central/internal/ledger/ledger.go",
		`		if same != at.Hash {
			return nil, fmt.Errorf("%w: entry %d is held with other content", ErrDoesNotExtend, s.Seq)
		}
`,
		`		_ = same
`,
		"Entries that are held already are skipped without a look.",
	},
	{
		"receipt-of-a-restored-central-refused", evidence, simulator, "firmware/journal/deliver.go",
		"	case epoch == j.state.Epoch && seq < j.state.Held:",
		"	case seq < j.state.Held:",
		"A central that holds less than before is not believed, whatever the epoch.",
	},
	{
		"answer-not-waited-for", evidence, simulator, "firmware/kiosk/deliver.go",
		"	if err := k.Journal.Held(receipt.Epoch, receipt.Held, [32]byte(receipt.Hash)); err != nil {",
		"	if err := k.Journal.Held(receipt.Epoch, max(receipt.Held, head.Seq), [32]byte(head.Hash)); err != nil {",
		"What was sent is marked as held, whatever the receipt says.",
	},
	{
		"durable-before-it-is", evidence, simulator, "firmware/kiosk/kiosk.go",
		`	if err := k.Journal.Append(entries...); err != nil {
		return err
	}
	for _, e := range entries {
		k.Log.Info("walk", "kind", string(e.Kind), "case", e.Case, "reason", e.Reason)
	}
`,
		`	for _, e := range entries {
		k.Log.Info("walk", "kind", string(e.Kind), "case", e.Case, "reason", e.Reason)
	}
	if err := k.Journal.Append(entries...); err != nil {
		return err
	}
`,
		"An entry is told to be there before it is.",
	},
	{
		"copy-not-synced", evidence, crashes, "firmware/journal/compact.go",
		`		err = syncPath(temporary)
	}
	if err == nil {
		err = os.Rename`,
		"		err = os.Rename",
		"A compacted journal takes the place of the old one before it is on the disk.",
	},
	{
		"folder-not-synced-after-compaction", evidence, crashes, "firmware/journal/compact.go",
		"errors.Join(syncPath(filepath.Dir(j.path)), old.Close())", "errors.Join(syncPath(filepath.Clean(j.path)), old.Close())",
		"The file is synced where its folder should be, so that its new name may be lost.",
	},
	{
		"open-questions-on-their-own", evidence, crashes, "firmware/journal/journal.go",
		`	if err := open.write(tx.Bucket(bucketOpen), j.open); err != nil {
		return err
	}
	next.Open = len(open)
	return next.write(tx)`,
		`	next.Open = len(j.open)
	if err := next.write(tx); err != nil {
		return err
	}
	tx.OnCommit(func() {
		again, err := j.db.Begin(true)
		if err != nil {
			return
		}
		next.Open = len(open)
		if open.write(again.Bucket(bucketOpen), j.open) != nil || next.write(again) != nil || again.Commit() != nil {
			j.failed = err
		}
	})
	return nil`,
		"Which card was about to be written is noted in a commit of its own, after the one with the entries.",
	},
	{
		"journal-made-in-its-place", evidence, crashes, "firmware/journal/open.go",
		`	temporary := j.path + newSuffix
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bbolt.Open(temporary, 0o600, options())
	if err != nil {
		return err
	}
	err = db.Update`,
		`	temporary := j.path
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bbolt.Open(temporary, 0o600, options())
	if err != nil {
		return err
	}
	err = db.Update`,
		"A new journal is written at its path, rather than beside it and moved there.",
	},
	{
		"moved-aside-before-there-is-another", evidence, crashes, "firmware/journal/open.go",
		"err := os.Link(j.path, quarantined)", "err := os.Rename(j.path, quarantined)",
		"A damaged journal is moved aside, and for a moment there is none: the next start begins as if nothing had been.",
	},
}
