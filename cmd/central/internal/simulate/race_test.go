//go:build race

package simulate

// ofATest is fewer where SQLite, which is one file of C translated to Go, is watched as well and forty times slower for it.
const ofATest = 150
