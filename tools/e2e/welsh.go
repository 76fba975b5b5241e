package main

// Words of the Welsh screens (ui/messages/cy.toml).
const (
	attractInWelsh  = "Yn barod"
	consentInWelsh  = "Ai eich cerdyn clyfar chi yw hwn?"
	channelInWelsh  = "Dewiswch i ble yr anfonwn eich cod"
	codeInWelsh     = "Rhowch y cod a anfonwyd i"
	wrongInWelsh    = "Nid yw'r cod hwnnw'n gywir"
	passcodeInWelsh = "Gallwch ddefnyddio'r un"
	repeatInWelsh   = "Teipiwch yr un cod pas eto"
	unlockedInWelsh = "Mae eich cerdyn clyfar wedi'i ddatgloi."
)

// welshWalks are by taps alone. That the next holder finds English, every walk says by its first screen.
var welshWalks = []walk{
	walk{name: "in Welsh, by taps alone", issue: locked(), do: func(v *visit) {
		v.see(attract)
		v.tap("Cymraeg")
		v.see(attractInWelsh)
		v.insert()
		v.see(consentInWelsh)
		v.tap("Ie, fi yw hwn")
		v.see(channelInWelsh)
		v.tap("E-bost i")
		v.see(codeInWelsh)
		v.enterByTap(wrong(v.code(1), 1))
		v.see(wrongInWelsh)
		v.see("2 gynnig ar ôl.")
		v.tap("English", "EN") // its tag alone on a small screen where codes are typed
		v.see(code, wrongCode)
		v.tapUntil(wrongInWelsh, "Cymraeg", "CY") // so soon it is a trembling hand's
		v.enterByTap(v.code(1))
		v.see(passcodeInWelsh)
		v.enterByTap(newPasscode)
		v.see(repeatInWelsh)
		v.enterByTap(newPasscode)
		v.see(unlockedInWelsh)
	}}.unlocks().says(unlockedInWelsh),
}
