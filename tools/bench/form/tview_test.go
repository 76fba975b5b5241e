package form

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/gdamore/tcell/v2"
	"github.com/rivo/tview"
)

// inTview is the same screen as one writes it with tview: a grid of texts, a masked field and a keypad of buttons.
func inTview() error {
	app := tview.NewApplication().EnableMouse(true)
	ink, paper, pale, blue := tcell.PaletteColor(0), tcell.PaletteColor(7), tcell.PaletteColor(6), tcell.PaletteColor(4)
	text := func(s string) *tview.TextView {
		t := tview.NewTextView().SetText(s).SetTextColor(ink)
		t.SetBackgroundColor(paper)
		return t
	}
	steps := text("1 Confirm  2 Code  3 Passcode").SetTextColor(paper)
	steps.SetBackgroundColor(blue)
	help := tview.NewButton("Help").SetSelectedFunc(app.Stop).SetStyle(tcell.StyleDefault.Foreground(paper).Background(blue))
	title := tview.NewGrid().SetColumns(8, 12, 30).AddItem(help, 0, 0, 1, 1, 0, 0, false).AddItem(steps, 0, 2, 1, 1, 0, 0, false)
	title.SetBackgroundColor(blue)
	count := text("")
	field := tview.NewInputField().SetMaskCharacter('•').
		SetFieldStyle(tcell.StyleDefault.Foreground(ink).Background(paper)).
		SetAcceptanceFunc(tview.InputFieldMaxLength(64)).
		SetChangedFunc(func(s string) {
			count.SetText("")
			if n := utf8.RuneCountInString(s); n > 0 {
				count.SetText(fmt.Sprintf("  %d typed, %d more", n, 6-n))
				if n >= 6 {
					count.SetText(fmt.Sprintf("  %d typed", n))
				}
			}
		})
	field.SetBackgroundColor(paper).SetBorder(true).SetBorderColor(ink)
	button := func(label string, act func()) *tview.Button {
		b := tview.NewButton(label).SetSelectedFunc(act).SetStyle(tcell.StyleDefault.Foreground(ink).Background(pale))
		b.SetBackgroundColor(pale).SetBorder(true).SetBorderColor(ink)
		return b
	}

	keypad := tview.NewGrid().SetRows(3, 3, 3, 3).SetColumns(7, 7, 7)
	for n := range 9 {
		digit := strconv.Itoa(n + 1)
		keypad.AddItem(button(digit, func() { field.SetText(field.GetText() + digit) }), n/3, n%3, 1, 1, 0, 0, false)
	}
	keypad.AddItem(button("Del", func() {
		if s := field.GetText(); s != "" {
			field.SetText(s[:len(s)-1])
		}
	}), 3, 0, 1, 1, 0, 0, false)
	keypad.AddItem(button("0", func() { field.SetText(field.GetText() + "0") }), 3, 1, 1, 1, 0, 0, false)
	keypad.AddItem(button("OK", app.Stop), 3, 2, 1, 1, 0, 0, false)

	left := tview.NewGrid().SetRows(3, 3, 3, 3).SetColumns(26).
		AddItem(text("You can use the same passcode as before."), 0, 0, 1, 1, 0, 0, false).
		AddItem(tview.NewGrid().SetColumns(18, 8).AddItem(field, 0, 0, 1, 1, 0, 0, true).
			AddItem(button("Show", app.Stop), 0, 1, 1, 1, 0, 0, false), 1, 0, 1, 1, 0, 0, true).
		AddItem(count, 2, 0, 1, 1, 0, 0, false).
		AddItem(tview.NewGrid().SetColumns(14, 1, 11).AddItem(button("Cancel", app.Stop), 0, 0, 1, 1, 0, 0, false).
			AddItem(button("Cymraeg", app.Stop), 0, 2, 1, 1, 0, 0, false), 3, 0, 1, 1, 0, 0, false)
	page := tview.NewGrid().SetRows(1, 1, 1, 12).SetColumns(1, 27, 21, 1).
		AddItem(title, 0, 0, 1, 4, 0, 0, false).
		AddItem(text("Choose a passcode").SetTextColor(blue), 1, 1, 1, 2, 0, 0, false).
		AddItem(text("Use 6 to 8 digits."), 2, 1, 1, 2, 0, 0, false).
		AddItem(left, 3, 1, 1, 1, 0, 0, true).
		AddItem(keypad, 3, 2, 1, 1, 0, 0, false)
	page.SetBackgroundColor(paper)
	return app.SetRoot(page, true).Run()
}
