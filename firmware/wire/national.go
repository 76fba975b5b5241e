package wire

import "strings"

// National is an error code that people bring along from the national self-service application, which runs on workstations.
type National struct {
	Code   string
	Says   string // its words there
	Cause  string // for the RA and engineers
	Fixer  Fixer
	Cure   string // what the fixer does
	Ours   Code   // what comes nearest here
	Holder Words
}

// Nationals are the codes that are known, as NHS England's pages on self-service smartcard unlock and on troubleshooting the
// Care Identity Service name them. A kiosk brings its own reader, software and network, so that it meets none of them.
var Nationals = []National{
	{"ERR1002", "Unable to read the card",
		"The workstation cannot read the card: its network does not allow the national domains (the likeliest), no card or more than one is in, " +
			"the reader's driver is old, the software is set up wrongly, or the holder's profile was closed.",
		FixEngineer, "Allow the domains, check reader, driver and software with the national setup checker; have the RA check that the profile is open.",
		CodeCardUnreadable, Words{
			"Your computer cannot read the card. Check that it is in, and no other. If that does not help, IT support can put it right. You can use a kiosk instead.",
			"Ni all eich cyfrifiadur ddarllen y cerdyn. Gwiriwch ei fod yn y darllenydd, heb gerdyn arall. Os na fydd hynny'n helpu, gall cymorth TG ei drwsio. Gallwch ddefnyddio ciosg yn lle hynny."}},
	{"ERR1009", "Failed to obtain SOPIN for user",
		"The workstation could not get the key that unlocks the card: workstation or network are not configured correctly.",
		FixEngineer, "Check workstation and network as the national page on troubleshooting self-service unlock says.",
		CodeUnavailable, Words{
			"Your computer could not get what unlocks the card. IT support can put this right. You can use a kiosk instead.",
			"Ni allai eich cyfrifiadur gael yr hyn sy'n datgloi'r cerdyn. Gall cymorth TG ei drwsio. Gallwch ddefnyddio ciosg yn lle hynny."}},
	{"PR20002", "Port redirection service is unavailable",
		"NHS Credential Management is not installed on the workstation, does not run or is set up wrongly, or the network does not allow its domain.",
		FixEngineer, "Install or start NHS Credential Management and its port service on the workstation, and check its configuration.",
		CodeReaderDown, Words{
			"The smartcard software on your computer does not run. IT support can put this right. You can use a kiosk instead.",
			"Nid yw'r feddalwedd cerdyn clyfar ar eich cyfrifiadur yn rhedeg. Gall cymorth TG ei drwsio. Gallwch ddefnyddio ciosg yn lle hynny."}},
}

// LookupNational finds a national code as people type it; ok is false for one that is not known.
func LookupNational(code string) (n National, ok bool) {
	code = strings.TrimSpace(code)
	for _, n := range Nationals {
		if strings.EqualFold(n.Code, code) {
			return n, true
		}
	}
	return National{}, false
}
