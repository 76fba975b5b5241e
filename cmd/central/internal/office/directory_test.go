package office

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/card/profiles"
	"latchkey/cmd/central/internal/directory"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
)

// Staff find a holder and what belongs to him or her, and no contact in full.
func TestHoldersAreShownWithMaskedContacts(t *testing.T) {
	t.Parallel()
	s, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "central.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	key := func(c string) secret.Value { return secret.New([]byte(strings.Repeat(c, 32))) }
	v, err := vault.New(key("a"), key("b"), key("c"))
	if err != nil {
		t.Fatal(err)
	}
	var files []directory.File
	for _, text := range []string{
		"holder_id,name,email,mobile,status,organisation,language,user_name\nh1,Mr John Rigby,john.rigby@nhs.net,+44 7700 900123,active,RX1,cy,jr\nh2,Ms Aisha Khan,,,left,,,\n",
		"id,name\nRX1,Anytown NHS Trust\n", "holder_id,organisation,role,workgroup\nh1,RX1,R8000,Ward 3\n",
		"serial,profile,holder_id,secret,card_certificate,status\n0a0b,piv,h1,12345678,,issued\n",
	} {
		files = append(files, directory.File{Name: "file.csv", Reader: strings.NewReader(text)})
	}
	terms := directory.Terms{Profiles: profiles.Embedded(), Now: time.UnixMilli(1795305600000)}
	if r, err := directory.Import(t.Context(), s, v, terms, files, false); err != nil || len(r.Flaws) > 0 {
		t.Fatal(err, r.Flaws)
	}
	h, err := ShowHolder(t.Context(), s, v, "h1")
	if err != nil || h.Name != "Mr John Rigby" || h.Email != "j•••@nhs.net" || h.Mobile != "•••• 123" || h.Organisation != "RX1" || !h.Active || !h.Fed || h.Language != "cy" ||
		len(h.Cards) != 1 || h.Cards[0] != "0a0b" || len(h.Positions) != 1 || h.Positions[0].Workgroup != "Ward 3" {
		t.Errorf("%+v, %v", h, err)
	}
	list, err := ListHolders(t.Context(), s, v, "")
	if err != nil || len(list) != 2 || list[0].ID != "h1" || list[1].Active || list[1].Email != "" || list[1].Fed {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := ListHolders(t.Context(), s, v, "h1"); err != nil || len(list) != 1 || list[0].ID != "h2" {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := ListOrganisations(t.Context(), s); err != nil || len(list) != 1 || list[0].Name != "Anytown NHS Trust" {
		t.Errorf("%+v, %v", list, err)
	}
	var refused *Refused
	if _, err := ShowHolder(t.Context(), s, v, "h9"); !errors.As(err, &refused) || !strings.Contains(refused.Says, "there is no holder") {
		t.Error(err)
	}
}
