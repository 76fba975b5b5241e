package main

import (
	"context"
	"debug/buildinfo"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"golang.org/x/mod/module"

	"latchkey/tools/debs"
)

// sbom lists what is in the image (CycloneDX 1.6): packages of Debian of which at least one file is in it, our programs, and the modules
// that they are built from. Licences are those that packages and modules name themselves; nobody has judged them.
func (b *build) sbom(ctx context.Context, packages *unpacked, s system) (string, error) {
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{
		Timestamp: b.built.Format(time.RFC3339),
		Component: &cdx.Component{BOMRef: "image", Type: cdx.ComponentTypeOS, Name: b.name(), Version: b.version},
	}
	components := map[string]cdx.Component{} // by package URL
	for _, p := range packages.packages {
		// The kernel's packages are used as one.
		if !packages.used[p.Name] && !strings.Contains(p.Name, s.version) {
			continue
		}
		c, err := packages.component(p)
		if err != nil {
			return "", err
		}
		components[c.PackageURL] = c
	}
	cache, err := command(ctx, goTool(), "env", "GOMODCACHE")
	if err != nil {
		return "", err
	}
	for _, program := range []string{"init", "kiosk"} {
		info, err := buildinfo.ReadFile(filepath.Join(b.programs, program))
		if err != nil {
			return "", err
		}
		components[program] = cdx.Component{BOMRef: program, Type: cdx.ComponentTypeApplication, Name: "latchkey " + program, Version: b.version}
		std := "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go")
		components[std] = cdx.Component{BOMRef: std, Type: cdx.ComponentTypeLibrary, Name: "std", Version: info.GoVersion, PackageURL: std, Licenses: known("BSD-3-Clause")}
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			licences, err := moduleLicence(strings.TrimSpace(string(cache)), m.Path, m.Version)
			if err != nil {
				return "", err
			}
			at := "pkg:golang/" + m.Path + "@" + url.PathEscape(m.Version)
			components[at] = cdx.Component{BOMRef: at, Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, PackageURL: at, Licenses: licences}
		}
	}
	var list []cdx.Component
	for _, c := range components {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b cdx.Component) int { return strings.Compare(a.BOMRef, b.BOMRef) })
	bom.Components = &list
	file := filepath.Join(b.work, "sbom.json")
	f, err := os.Create(file)
	if err != nil {
		return "", err
	}
	err = cdx.NewBOMEncoder(f, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6)
	return file, errors.Join(err, f.Close())
}

// goTool is the one that builds the rest.
func goTool() string {
	if tool := os.Getenv("GO"); tool != "" {
		return tool
	}
	return "go"
}

// component describes a package of Debian (package URL type "deb").
func (u *unpacked) component(p debs.Package) (cdx.Component, error) {
	at := "pkg:deb/debian/" + url.PathEscape(p.Name) + "@" + strings.ReplaceAll(url.PathEscape(p.Version), ":", "%3A") + "?arch=arm64&distro=" + p.Suite
	c := cdx.Component{BOMRef: at, Type: cdx.ComponentTypeLibrary, Name: p.Name, Version: p.Version, PackageURL: at,
		Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: p.SHA256}}}
	text, err := os.ReadFile(filepath.Join(u.of(p.Name), "usr/share/doc", p.Name, "copyright"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	c.Licenses = debianLicences(string(text))
	return c, nil
}

// debianLicences are the short names in a copyright file of the machine-readable form (DEP-5); another has none.
func debianLicences(text string) *cdx.Licenses {
	var names []string
	if strings.HasPrefix(text, "Format:") {
		for line := range strings.Lines(text) {
			if name, is := strings.CutPrefix(line, "License:"); is {
				if name = strings.TrimSpace(name); name != "" && !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
	}
	if len(names) == 0 {
		names = []string{"see the package's copyright file"}
	}
	slices.Sort(names)
	var l cdx.Licenses
	for _, name := range names {
		l = append(l, cdx.LicenseChoice{License: &cdx.License{Name: name}})
	}
	return &l
}

func known(id string) *cdx.Licenses {
	return &cdx.Licenses{{License: &cdx.License{ID: id}}}
}

// moduleLicence tells a module's licence by the text in its folder in the module cache.
func moduleLicence(cache, path, version string) (*cdx.Licenses, error) {
	escaped, err := module.EscapePath(path)
	if err != nil {
		return nil, err
	}
	escapedVersion, err := module.EscapeVersion(version)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(cache, escaped+"@"+escapedVersion))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		if e.IsDir() || !strings.HasPrefix(name, "LICEN") && !strings.HasPrefix(name, "COPYING") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(cache, escaped+"@"+escapedVersion, e.Name()))
		if err != nil {
			return nil, err
		}
		if id := licence(string(text)); id != "" {
			return known(id), nil
		}
	}
	return &cdx.Licenses{{License: &cdx.License{Name: "see the module's LICENSE"}}}, nil
}

// licence tells well-known texts apart by sentences that only they have, and gives the name that SPDX has for them.
func licence(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	has := func(s string) bool { return strings.Contains(text, s) }
	switch {
	case has("Apache License") && has("Version 2.0, January 2004"):
		return "Apache-2.0"
	case has("Mozilla Public License Version 2.0") || has("Mozilla Public License, version 2.0"):
		return "MPL-2.0"
	case has("Redistribution and use in source and binary forms") && (has("Neither the name") || has("may not be used to endorse") || has("be used to endorse or promote")):
		return "BSD-3-Clause"
	case has("Redistribution and use in source and binary forms"):
		return "BSD-2-Clause"
	case has("Permission is hereby granted, free of charge"):
		return "MIT"
	case has("Permission to use, copy, modify, and/or distribute this software"), has("Permission to use, copy, modify, and distribute this software"):
		return "ISC"
	}
	return ""
}
