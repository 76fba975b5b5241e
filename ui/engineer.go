package ui

// The engineer's page: what the kiosk knows of itself, and a few things to do to it. Nothing of a holder stands there, and no
// holder's screen leads there: the machine opens it for a service card or a one-time code.

// Fact is one line of the engineer's page.
type Fact struct {
	Label, Value string // in English, without personal data
	Bad          bool   // an engineer should look at this
}

// Action is what an engineer asks the box to do.
type Action interface{ action() }

// What an engineer can ask for.
type (
	// ActLights shows a state of the kiosk by lamps, buzzer and backlight; "" gives them back to the kiosk.
	ActLights struct{ State string }
	// ActCalibrate carries where the crosses stood and where the panel was touched for them.
	ActCalibrate struct{ Points [4]TouchPair }
	// ActExport writes the diagnostics.
	ActExport struct{}
	// ActClearCase says that somebody has looked at the opened case.
	ActClearCase struct{}
)

// TouchPair is a cross on the screen and the panel's own position of the finger on it; from 0, left and top, to 1.
type TouchPair struct{ WantedX, WantedY, RawX, RawY float64 }

func (ActLights) action()    {}
func (ActCalibrate) action() {}
func (ActExport) action()    {}
func (ActClearCase) action() {}

// Lights are the states of ActLights, as package board names them.
var Lights = []string{"ready", "busy", "attention", "fault"}
