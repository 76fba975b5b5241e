package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"latchkey/image"
)

// part is what goes into an image, of one kind or of all.
type part struct {
	Packages  map[string][]string // names by suite of Debian
	Files     []string            // of packages, below /; NAME/... is a folder and all below it
	Without   []string            // paths below such a folder that stay out
	First     []string            // modules of the initial RAM disk that are loaded whatever the machine is
	Early     []string            // modules of the initial RAM disk
	Modules   []string            // of the root
	Arguments string              // of the kernel
	Trees     []string            // device trees
	Firmware  []string            // files of packages that a Raspberry Pi's boot loader wants beside the kernel
}

// config is image.toml.
type config struct {
	Common part
	Debug  part
	WiFi   part `toml:"wifi"` // of images that can do Wi-Fi and 802.1X
	Tools  part // of the machine that makes the image; packages alone
	Boards map[string]part
}

func readConfig(dir string) (c config, err error) {
	file := filepath.Join(dir, "image.toml")
	meta, err := toml.DecodeFile(file, &c)
	if err != nil {
		return c, err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return c, fmt.Errorf("%s: there is no setting %s", file, unknown[0])
	}
	for name := range c.Boards {
		if !slices.Contains(image.Boards(), name) {
			return c, fmt.Errorf("%s: there is no board %s", file, name)
		}
	}
	for _, name := range image.Boards() {
		if _, is := c.Boards[name]; !is {
			return c, fmt.Errorf("%s: board %s is missing", file, name)
		}
	}
	return c, nil
}

// sections are the parts by the name that the lock file has for them.
func (c config) sections() map[string]part {
	s := maps.Clone(c.Boards)
	s["common"], s["debug"], s[wifiSection] = c.Common, c.Debug, c.WiFi
	return s
}

// wifiSection is what the lock file calls the packages of config.WiFi.
const wifiSection = "wifi"

// of is everything that one board's image is made of.
func (c config) of(board string, debug, wifi bool) part {
	parts := []part{c.Common, c.Boards[board]}
	if debug {
		parts = append(parts, c.Debug)
	}
	if wifi {
		parts = append(parts, c.WiFi)
	}
	var all part
	for _, p := range parts {
		all.Files = append(all.Files, p.Files...)
		all.Without = append(all.Without, p.Without...)
		all.Modules = append(all.Modules, p.Modules...)
		all.Trees = append(all.Trees, p.Trees...)
		all.Firmware = append(all.Firmware, p.Firmware...)
		all.First = append(all.First, p.First...)
		all.Early = append(all.Early, p.Early...)
		all.Arguments = strings.TrimSpace(all.Arguments + " " + p.Arguments)
	}
	return all
}
