//go:build !race

package simulate

// ofATest is how many unlocks a test simulates: make simulate has time for more.
const ofATest = 2000
