package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"time"
)

// severalWalks are at a kiosk that has two processes of central behind a balancer, on one database. Each of its requests is a
// connection to the next of them. The last walk leaves one.
var severalWalks = []walk{
	walk{name: "two centrals serve one case", issue: locked(), several: true, do: func(v *visit) {
		before := v.answered()
		unlock(v)
		for n := range before {
			v.answers(n, before, func(string) bool { return true })
		}
	}}.unlocks(),
	walk{name: "one of two centrals is killed, and stays dead", issue: locked(), several: true, do: func(v *visit) {
		before := v.answered()
		v.toPasscode()
		accepts := func(route string) bool { return route == "POST /v1/cases/{case}/code/check" }
		dead := v.answers(-1, before, accepts)
		v.rig.LoseCentral(dead)
		before = v.answered()
		v.choose(newPasscode)
		v.see(unlocked)
		v.answers(1-dead, before, func(route string) bool { return route == "POST /v1/cases/{case}/release" })
	}}.unlocks(),
}

// did is a request that does something in a case, as central's log has it. These walks have one case at a time.
var did = regexp.MustCompile(`msg=request .*route="(POST /v1/cases\S*)" status=20\d`)

// answered are the requests of cases that each process of central has answered.
func (v *visit) answered() (routes [][]string) {
	for _, path := range v.rig.CentralLogs() {
		log, err := os.ReadFile(path)
		v.must(err)
		var own []string
		for _, m := range did.FindAllSubmatch(log, -1) {
			own = append(own, string(m[1]))
		}
		routes = append(routes, own)
	}
	return routes
}

// answers waits until the process n has answered such a request since, or any if n is -1, and tells which has.
func (v *visit) answers(n int, since [][]string, such func(route string) bool) int {
	for give := time.Now().Add(patience); ; time.Sleep(look) {
		now := v.answered()
		for i, routes := range now {
			if (n == i || n == -1) && slices.ContainsFunc(routes[len(since[i]):], such) {
				return i
			}
		}
		if time.Now().After(give) {
			v.must(fmt.Errorf("central %d did not answer what it should have; before: %q, now: %q", n+1, since, now))
		}
	}
}
