package qemu

import "context"

// axisEnd is the value of an absolute axis at the far edge of the screen (qapi/ui.json, InputMoveEvent).
const axisEnd = 0x7fff

type inputEvent struct {
	Type string `json:"type"`
	Data any    `json:"data"`
}

type axis struct {
	Axis  string `json:"axis"`
	Value int    `json:"value"`
}

type button struct {
	Down   bool   `json:"down"`
	Button string `json:"button"`
}

type key struct {
	Down bool `json:"down"`
	Key  struct {
		Type string `json:"type"`
		Data string `json:"data"`
	} `json:"key"`
}

// Touch puts a finger on the screen, or moves it, at a pixel; Lift takes it away.
func (m *Machine) Touch(ctx context.Context, x, y int) error {
	at := func(name string, v, size int) inputEvent {
		return inputEvent{"abs", axis{name, (2*v + 1) * axisEnd / (2 * size)}}
	}
	return m.send(ctx, at("x", x, m.Size.X), at("y", y, m.Size.Y), inputEvent{"btn", button{true, "left"}})
}

// Lift takes the finger from the screen.
func (m *Machine) Lift(ctx context.Context) error {
	return m.send(ctx, inputEvent{"btn", button{false, "left"}})
}

// Keys presses keys of the keyboard at the same time and lets go of them: "alt", "f2" (qapi/ui.json, QKeyCode).
func (m *Machine) Keys(ctx context.Context, names ...string) error {
	if err := m.Hold(ctx, names...); err != nil {
		return err
	}
	return m.Release(ctx, names...)
}

// Hold presses keys, and Release lets go of them.
func (m *Machine) Hold(ctx context.Context, names ...string) error { return m.keys(ctx, true, names) }

// Release lets go of keys.
func (m *Machine) Release(ctx context.Context, names ...string) error {
	return m.keys(ctx, false, names)
}

func (m *Machine) keys(ctx context.Context, down bool, names []string) error {
	for _, name := range names {
		k := key{Down: down}
		k.Key.Type, k.Key.Data = "qcode", name
		if err := m.send(ctx, inputEvent{"key", k}); err != nil {
			return err
		}
	}
	return nil
}

func (m *Machine) send(ctx context.Context, events ...inputEvent) error {
	return m.Execute(ctx, "input-send-event", struct {
		Events []inputEvent `json:"events"`
	}{events}, nil)
}
