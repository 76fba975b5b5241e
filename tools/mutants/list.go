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
		"case-not-stored-at-release", twice, simulator, "cmd/central/internal/api/grant.go",
		"return out, errors.Join(st.tx.SetCase(c), st.tx.AddGrant(g),", "return out, errors.Join(st.tx.AddGrant(g),",
		"The rules are right, and their result is not stored.",
	},
	{
		"code-stays-good", twice, simulator, "cmd/central/internal/cases/code.go",
		"if err := c.at(now, CodeSent); err != nil {\n		return err\n	}\n	if err := c.stillEligible(p, now, *r); err != nil {\n		return err\n	}\n	if lockedOut(p, r.Card, r.Holder) {\n		return c.end(wire.CodeHolderLockedOut)\n	}\n	if !c.Code.Out(now) {\n		return Refuse(wire.CodeCodeExpired)\n	}\n	c.Attempts++\n	if hmac.Equal(c.Code.MAC, mac) {\n		c.State, c.Code.MAC = Accepted, nil",
		"if err := c.at(now, CodeSent, Accepted); err != nil {\n		return err\n	}\n	if err := c.stillEligible(p, now, *r); err != nil {\n		return err\n	}\n	if lockedOut(p, r.Card, r.Holder) {\n		return c.end(wire.CodeHolderLockedOut)\n	}\n	if !c.Code.Out(now) {\n		return Refuse(wire.CodeCodeExpired)\n	}\n	c.Attempts++\n	if hmac.Equal(c.Code.MAC, mac) {\n		c.State = Accepted",
		"A repeated check is to get the same answer, and somebody writes that into the rules.",
	},
	{
		"pulled-taken-for-not-unlocked", told, simulator, "firmware/unlock/write.go",
		"m.end(m.outcome(audit.Unknown, nil, audit.No, -1), ReasonUnknownOutcome)", "m.end(m.outcome(audit.Unknown, nil, audit.No, -1), ReasonNotUnlocked)",
		"The card was pulled while its passcode was set, and the holder hears that it was not.",
	},
	{
		"forgets-what-is-held", evidence, simulator, "firmware/kiosk/deliver.go",
		"k.Journal.Forget(receipt.BackedUp)", "k.Journal.Forget(receipt.Held)",
		"Two marks in a receipt, and the kiosk lets go of its entries at the first.",
	},
	{
		"no-sync", evidence, crashes, "firmware/journal/open.go",
		"&bbolt.Options{Timeout: lockWait, NoFreelistSync: true,", "&bbolt.Options{Timeout: lockWait, NoSync: true, NoFreelistSync: true,",
		"Syncs are slow, and somebody tries whether it goes without.",
	},
}
