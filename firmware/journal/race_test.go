//go:build race

package journal

// Under the race detector a state takes ten times as long, and what it looks for is not what a power cut breaks.
func init() { oneIn, atLeast = 24, 800 }
