// Package simulate runs the whole system against a seeded adversary and looks afterwards whether the invariants hold. It has no code of
// its own: all of it is tests, run by make simulate.
//
// Real are: the unlock machine, the kiosk's loop, its journal (bbolt), its link, central's api, cases, vault, directory, outbox and store,
// and the virtual cards of every family. The store is SQLite in a file on a file system in memory: the maps of the benchmarks' floor
// serve only unlocks that go well, while here the interest is in those that do not, and what a transaction keeps or
// takes back is SQL's to say. In the place of TLS stands a RoundTripper that calls central's handler; in the place of Notify, one end of a pipe.
//
// Everything happens in one bubble of testing/synctest. One goroutine, the adversary, lets requests and commands pass, one at a
// time, when all else is at rest; it draws from the seed alone, so that a seed gives the same transcript every time.
//
// A card can lie about what it did, and the clock of a kiosk or of central be set. In every third world the tree over all evidence
// grows and is signed from time to time; what kiosks, an auditor and a witness keep of it is held against it in the end.
//
// Kill and power cut: what is on the disk at that instant is copied, and the next process starts from the copy. States in the middle of
// a commit are not looked at here, but by package journal's own tests.
package simulate
