package main

import "testing"

func TestLicencesAreKnownByTheirText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"                                 Apache License\n                           Version 2.0, January 2004\n": "Apache-2.0",
		"MIT License\n\nPermission is hereby granted, free\nof charge, to any person":                             "MIT",
		"Redistribution and use in source and binary forms, with or without ... Neither the name of":              "BSD-3-Clause",
		"Redistribution and use in source and binary forms, with or without ... AS IS":                            "BSD-2-Clause",
		"All rights are ours.": "",
	} {
		if got := licence(text); got != want {
			t.Errorf("%.40q: %q, want %q", text, got, want)
		}
	}
}

func TestDebianLicences(t *testing.T) {
	t.Parallel()
	l := *debianLicences("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: LGPL-2.1+\n\nFiles: debian/*\nLicense: GPL-3+\n text\n\nLicense: LGPL-2.1+\n text\n")
	if len(l) != 2 || l[0].License.Name != "GPL-3+" || l[1].License.Name != "LGPL-2.1+" {
		t.Errorf("of the machine-readable form: %+v", l)
	}
	if l = *debianLicences("This package is free software."); len(l) != 1 || l[0].License.Name != "see the package's copyright file" {
		t.Errorf("of another form: %+v", l)
	}
}
