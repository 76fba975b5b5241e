package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Web is what people, new kiosks and feeding systems reach without a client certificate.
type Web struct {
	Listen  string `toml:"listen"`  // empty: this process serves none of it
	Address string `toml:"address"` // the URL under which people reach it, without a path; stands in messages
}

// settle checks the section and fills in the address that follows from where it listens on this machine.
func (w *Web) settle() error {
	if w.Listen != "" && !hostPort(w.Listen) {
		return fmt.Errorf("web.listen is %q: write address and port, such as \"0.0.0.0:443\", or \"\" for none", w.Listen)
	}
	if w.Address == "" {
		host, _, _ := net.SplitHostPort(w.Listen)
		if w.Listen != "" && !loopback(host) {
			return errors.New("web.address is missing: write the URL under which people reach the pages, such as \"https://unlock.example.nhs.uk\"; it stands in messages")
		}
		if w.Listen != "" {
			w.Address = "https://" + w.Listen
		}
		return nil
	}
	u, err := url.Parse(w.Address)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("web.address is %q: write https:// and a host alone, such as \"https://unlock.example.nhs.uk\"", w.Address)
	}
	w.Address = "https://" + strings.ToLower(u.Host)
	return nil
}
