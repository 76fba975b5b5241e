package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"

	"github.com/BurntSushi/toml"

	"latchkey/board"
	"latchkey/firmware/link"
	"latchkey/firmware/wire"
	"latchkey/image"
	"latchkey/image/provision"
	"latchkey/ui"
)

// Reasons for which a file will never do, beside those of package provision. Those for which it is tried again stand in whyNotEnrolled.
const (
	reasonSettings   = "settings"
	reasonCode       = "code"
	reasonOtherKey   = "other-key"
	reasonOtherKiosk = "other-kiosk"
	reasonOlder      = "older"
)

// whyNotEnrolled is the message for what kept central from enrolling this kiosk; final if that stays so.
func whyNotEnrolled(err error, m machineFacts) (reason string, final bool) {
	var (
		refused   *refusedFile
		problem   *wire.Problem
		name      *net.DNSError
		expired   x509.CertificateInvalidError
		untrusted *tls.CertificateVerificationError
		network   net.Error
	)
	switch {
	case errors.As(err, &refused):
		return refused.reason, true
	case errors.As(err, &problem) && problem.Code == wire.CodeEnrolmentInvalid:
		return reasonCode, true
	case errors.As(err, &problem) && (problem.Status >= http.StatusInternalServerError || problem.Status == http.StatusTooManyRequests), errors.Is(err, link.ErrBusy):
		return "busy", false
	case errors.As(err, &problem):
		return "failed", false
	case errors.As(err, &expired) && expired.Reason == x509.Expired:
		return "wrong-time", false
	case errors.As(err, &untrusted):
		return "no-trust", false
	case !errors.As(err, &network) && !errors.Is(err, context.DeadlineExceeded):
		return "failed", false // nothing of the network's
	case m.known && !m.Network.Link && m.Network.WiFi:
		return "no-wifi", false
	case m.known && !m.Network.Link:
		return "no-link", false
	case m.known && m.Network.Address == "":
		return "no-address", false
	case errors.As(err, &name):
		return "no-name", false
	}
	return "no-central", false
}

// machineFacts are what is known; nothing where there is no such PID 1.
type machineFacts struct {
	Board   string `toml:"board"`
	Version string `toml:"version"`
	Network struct {
		Interface string `toml:"interface"`
		MAC       string `toml:"mac"`
		Link      bool   `toml:"link"`
		WiFi      bool   `toml:"wifi"`
		Address   string `toml:"address"`
	} `toml:"network"`

	known bool
}

func readFacts(path string) (m machineFacts) {
	text, err := os.ReadFile(path)
	if err != nil {
		return machineFacts{}
	}
	if _, err := toml.Decode(string(text), &m); err != nil {
		return machineFacts{}
	}
	m.known = true
	return m
}

// on puts the facts onto a screen.
func (m machineFacts) on(v ui.SetupView) ui.SetupView {
	v.Machine, v.MAC, v.NoLink, v.WiFi = m.Board, m.Network.MAC, m.known && !m.Network.Link, m.Network.WiFi
	if m.Version != "" {
		v.Machine += ", " + m.Version
	}
	if m.Network.Address != "" {
		v.Address = m.Network.Interface + " " + m.Network.Address
	}
	return v
}

// imageBoard is the board that the machine's image was made for; "" where there is no such image.
func imageBoard(path string) string {
	var i struct {
		Board string `toml:"board"`
	}
	if _, err := toml.DecodeFile(path, &i); err != nil {
		return ""
	}
	return i.Board
}

// reasonWireless refuses a file that wants Wi-Fi or 802.1X of an image without them.
const reasonWireless = "wireless"

// imageCan tells whether the machine's image can do what a file says of the network. Where there is no such image, nobody knows.
func imageCan(f *provision.File, path string) error {
	if f.WiFi == nil && f.EAP == nil {
		return nil
	}
	var i struct {
		WiFi bool `toml:"wifi"`
	}
	if _, err := toml.DecodeFile(path, &i); err != nil || i.WiFi {
		return nil
	}
	return errors.New("it wants Wi-Fi or 802.1X, and this image was made without")
}

// boardFor is the kiosk's board: the one that the file names, or else that of the machine's image. An image's board may have nothing that
// a kiosk could use; one that nobody knows is an error, and so is a file for another image.
func boardFor(file, machine string) (string, error) {
	images := image.Boards()
	switch {
	case slices.Contains(images, file) && slices.Contains(images, machine) && file != machine:
		return "", fmt.Errorf("the file is for the board %s, and this machine's image is for %s", file, machine)
	case file == "":
		file = machine
	}
	if !slices.Contains(board.Names(), file) && (file == "" || slices.Contains(images, file)) {
		return "none", nil
	}
	_, err := board.Load(file)
	return file, err
}
