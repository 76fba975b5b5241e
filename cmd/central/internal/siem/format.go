package siem

import (
	"fmt"
	"os"
	"strings"
	"time"

	"latchkey/cmd/central/internal/ledger"
)

const (
	facility = 13 // log audit, RFC 5424 §6.2.1
	alert    = 1  // action must be taken immediately
	notice   = 5  // severities of the same
	warning  = 4
	info     = 6
	// enterprise is the number for examples and documents of RFC 5612: Latchkey has none of its own.
	enterprise = "latchkey@32473"
	app        = "latchkey-central"
)

// severity says how much somebody should look.
func severity(k ledger.Kind) int {
	switch k {
	case ledger.KioskOpened, ledger.HistoryDoubted, ledger.JournalLost:
		return alert
	case ledger.Refused, ledger.CodeRefused, ledger.CodeUnsent, ledger.MessageFailed, ledger.KioskDisabled, ledger.KioskQuarantined, ledger.KioskNotConfirmed,
		ledger.ServiceRefused, ledger.HolderQuarantined, ledger.CardFrozen, ledger.EpochOpened:
		return warning
	case ledger.CaseBegun, ledger.CaseReturned, ledger.CardProved, ledger.CodeSent, ledger.CodeAccepted, ledger.GrantLeft, ledger.OutcomeKnown, ledger.CaseEnded:
		return info
	}
	return notice // what staff did
}

// message is one event as RFC 5424 §6 has it.
func (f *Forwarder) message(e ledger.Event) []byte {
	b := fmt.Appendf(nil, "<%d>1 %s %s %s %d %s ", facility*8+severity(e.Kind), e.At.UTC().Format("2006-01-02T15:04:05.000Z"), f.Host, app, os.Getpid(),
		printable(string(e.Kind), 32))
	if f.Format == FormatCEF {
		return append(append(b, "- "...), cef(e)...)
	}
	b = fmt.Appendf(b, "[%s seq=\"%d\"", enterprise, e.Seq)
	for _, p := range []struct{ name, value string }{{"kiosk", e.Kiosk}, {"case", e.Case}, {"card", e.Card}, {"by", e.By}} {
		if p.value != "" {
			b = fmt.Appendf(b, " %s=\"%s\"", p.name, inQuotes.Replace(strings.ToValidUTF8(p.value, "?")))
		}
	}
	b = append(b, ']')
	if e.Note != "" {
		b = append(b, " \xEF\xBB\xBF"...) // §6.4: what follows is UTF-8
		b = append(b, strings.ToValidUTF8(e.Note, "?")...)
	}
	return b
}

// inQuotes escapes a parameter's value, RFC 5424 §6.3.3.
var inQuotes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`)

// printable is a value of the header: PRINTUSASCII, at most max bytes (RFC 5424 §6).
func printable(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < 33 || r > 126 {
			return '?'
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), most)]
}

// Severities of CEF, 0 to 10 (ArcSight Common Event Format, version 0).
var cefSeverity = map[int]int{alert: 10, warning: 7, notice: 5, info: 3}

var (
	inHeader = strings.NewReplacer(`\`, `\\`, `|`, `\|`, "\n", " ", "\r", " ")
	inField  = strings.NewReplacer(`\`, `\\`, `=`, `\=`, "\n", `\n`, "\r", `\r`)
)

// cef is one event as CEF:0 has it.
func cef(e ledger.Event) []byte {
	kind := inHeader.Replace(string(e.Kind))
	b := fmt.Appendf(nil, "CEF:0|Latchkey|central|1|%s|%s|%d|rt=%d externalId=%d", kind, strings.ReplaceAll(kind, "-", " "),
		cefSeverity[severity(e.Kind)], e.At.Round(time.Millisecond).UnixMilli(), e.Seq)
	for _, p := range []struct{ name, value string }{
		{"shost", e.Kiosk}, {"cs1Label=case cs1", e.Case}, {"cs2Label=card cs2", e.Card}, {"suser", e.By}, {"msg", e.Note},
	} {
		if p.value != "" {
			b = fmt.Appendf(b, " %s=%s", p.name, inField.Replace(strings.ToValidUTF8(p.value, "?")))
		}
	}
	return b
}
