package cases

import "strings"

// DomainAllowed says whether the address is on one of the domains. "nhs.net" admits its sub-domains, "=nhs.net" is the domain
// alone, and "!old.nhs.net" takes one out with its sub-domains, whatever admits it and wherever it stands.
func DomainAllowed(rules []string, email string) bool {
	at := strings.LastIndexByte(email, '@')
	if at < 1 {
		return false
	}
	domain := strings.ToLower(email[at+1:])
	allowed := false
	for _, rule := range rules {
		rule = strings.ToLower(rule)
		if alone, is := strings.CutPrefix(rule, "="); is {
			allowed = allowed || domain == alone
			continue
		}
		out, is := strings.CutPrefix(rule, "!")
		if !within(domain, out) {
			continue
		}
		if is {
			return false
		}
		allowed = true
	}
	return allowed
}

// within says whether a domain is another or below it.
func within(domain, other string) bool { return strings.HasSuffix("."+domain, "."+other) }
