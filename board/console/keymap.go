package console

// Kinds of key, and keys of the kind keySpecial (linux/keyboard.h: K(type, value), KT_*, K_*).
const (
	keySpecial = 2 // KT_SPEC
	keyConsole = 5 // KT_CONS: goes to a console

	keyHole    = keySpecial << 8     // K_HOLE: does nothing
	keyNoTable = keySpecial<<8 | 127 // K_NOSUCHMAP: there is no such table

	keyRegisters     = keySpecial<<8 | 2  // K_SH_REGS
	keyMemory        = keySpecial<<8 | 3  // K_SH_MEM
	keyTasks         = keySpecial<<8 | 4  // K_SH_STAT
	keyBreak         = keySpecial<<8 | 5  // K_BREAK
	keyLast          = keySpecial<<8 | 6  // K_CONS: goes to the last console
	keyHold          = keySpecial<<8 | 9  // K_HOLD: stops what is written, and so the kiosk
	keyScrollDown    = keySpecial<<8 | 10 // K_SCROLLFORW
	keyScrollUp      = keySpecial<<8 | 11 // K_SCROLLBACK
	keyBoot          = keySpecial<<8 | 12 // K_BOOT: Ctrl-Alt-Del
	keyAttention     = keySpecial<<8 | 15 // K_SAK: kills what runs on the console
	keyDecrease      = keySpecial<<8 | 16 // K_DECRCONSOLE
	keyIncrease      = keySpecial<<8 | 17 // K_INCRCONSOLE
	keySpawn         = keySpecial<<8 | 18 // K_SPAWNCONSOLE
	tables, perTable = 256, 256           // MAX_NR_KEYMAPS, NR_KEYS
)

// leaves tells whether a key leaves the kiosk, stops it, or shows what is not the kiosk's.
func leaves(value uint16) bool {
	switch value {
	case keyRegisters, keyMemory, keyTasks, keyBreak, keyLast, keyHold, keyScrollDown, keyScrollUp, keyBoot, keyAttention,
		keyDecrease, keyIncrease, keySpawn:
		return true
	}
	return value>>8 == keyConsole
}

// leaving finds the keys of a keymap that leave the kiosk; at reads an entry.
func leaving(at func(table, index int) (uint16, error)) ([]key, error) {
	var found []key
	for table := range tables {
		// Entry 0 belongs to no key; it tells whether there is such a table (KDGKBENT, drivers/tty/vt/keyboard.c).
		switch first, err := at(table, 0); {
		case err != nil:
			return nil, err
		case first == keyNoTable:
			continue
		}
		for index := 1; index < perTable; index++ {
			value, err := at(table, index)
			if err != nil {
				return nil, err
			}
			if leaves(value) {
				found = append(found, key{uint8(table), uint8(index), value})
			}
		}
	}
	return found, nil
}
