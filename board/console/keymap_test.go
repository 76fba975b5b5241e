package console

import (
	"errors"
	"reflect"
	"testing"
)

// The keys of the kernel's own keymap (drivers/tty/vt/defkeymap.map) that matter here, by table (0 plain, 1 shift, 4 control, 8 alt,
// 12 control and alt).
func TestKeysThatLeaveTheKioskAreFound(t *testing.T) {
	t.Parallel()
	const letterA, enter, f1, capsLock, alt, delKey = 0x0b61, 0x0201, 0x0100, 0x0207, 0x0703, 0x0116
	keymap := map[[2]int]uint16{
		{0, 30}: letterA, {0, 28}: enter, {0, 59}: f1, {0, 58}: capsLock, {0, 56}: alt, {0, 111}: delKey,
		{0, 70}: keyHold, {1, 104}: keyScrollUp, {1, 109}: keyScrollDown,
		{4, 70}: keyTasks, {4, 119}: keyBreak, {8, 70}: keyRegisters,
		{8, 59}: keyConsole << 8, {8, 68}: keyConsole<<8 | 9, {8, 105}: keyDecrease, {8, 106}: keyIncrease, {8, 103}: keySpawn,
		{12, 59}: keyConsole << 8, {12, 111}: keyBoot, {12, 83}: keyBoot, {12, 25}: keyAttention, {8, 29}: keyLast, {4, 71}: keyMemory,
		{0, 41}: 0xf0e9, // é, as KDGKBENT gives characters
	}
	stay := map[[2]int]bool{{0, 30}: true, {0, 28}: true, {0, 59}: true, {0, 58}: true, {0, 56}: true, {0, 111}: true, {0, 41}: true}
	var asked int
	found, err := leaving(func(table, index int) (uint16, error) {
		asked++
		if v, is := keymap[[2]int{table, index}]; is {
			return v, nil
		}
		if table > 15 && index == 0 {
			return keyNoTable, nil
		}
		return keyHole, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got := map[[2]int]uint16{}
	for _, k := range found {
		got[[2]int{int(k.Table), int(k.Index)}] = k.Value
	}
	want := map[[2]int]uint16{}
	for at, v := range keymap {
		if !stay[at] {
			want[at] = v
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("found %v\n want %v", got, want)
	}
	if asked > 16*perTable+tables {
		t.Errorf("%d entries were read: tables that are not there are read through", asked)
	}
}

func TestAKeymapThatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()
	no := errors.New("no")
	if _, err := leaving(func(table, index int) (uint16, error) { return 0, no }); !errors.Is(err, no) {
		t.Error(err)
	}
}
