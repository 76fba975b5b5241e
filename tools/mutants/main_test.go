package main

import (
	"go/parser"
	"go/token"
	"testing"
)

// Who changes a line that a mutant stands on hears of it here, and not first from an hour of mutants.
func TestMutantsFitTheSource(t *testing.T) {
	t.Chdir("../..")
	of, names := map[invariant]int{}, map[string]bool{}
	for _, m := range list {
		text, err := m.mutated()
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := parser.ParseFile(token.NewFileSet(), m.file, text, 0); err != nil {
			t.Errorf("mutant %s is no Go: %v", m.name, err)
		}
		if names[m.name] {
			t.Errorf("there are two mutants %q", m.name)
		}
		names[m.name] = true
		of[m.breaks]++
	}
	for _, i := range []invariant{bricked, puk, twice, told, evidence} {
		if of[i] < 3 {
			t.Errorf("%d mutants break that %s, want 3 or more", of[i], i)
		}
	}
	if len(list) < 25 {
		t.Errorf("%d mutants, want 25 or more", len(list))
	}
	for name := range firstFault {
		if !names[name] {
			t.Errorf("a first fault is for %q, which is no mutant", name)
		}
	}
}

func TestFewAreOneOfEachInvariant(t *testing.T) {
	t.Parallel()
	chosen, err := choose(few)
	if err != nil || len(chosen) != 5 {
		t.Errorf("%d mutants, %v", len(chosen), err)
	}
	if _, err := choose("no-sync,nobody"); err == nil {
		t.Error("a mutant that does not exist was chosen")
	}
}

func TestOneThatLivesIsAFailure(t *testing.T) {
	t.Parallel()
	two := list[:2]
	if err := verdict(two, []fate{{by: "somebody"}, {by: "somebody"}}); err != nil {
		t.Error(err)
	}
	if err := verdict(two, []fate{{by: "somebody"}, {after: "all"}}); err == nil {
		t.Error("a mutant that is alive passes")
	}
	if err := verdict(two, []fate{{by: "somebody"}, {err: t.Context().Err()}}); err == nil {
		t.Error("a mutant that nobody has seen passes")
	}
}
