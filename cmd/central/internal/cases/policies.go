package cases

import "time"

// Policies are what the RA decides: for everybody, and for the holders of organisations that have rules of their own.
type Policies struct {
	Default Policy
	By      map[string]Policy // organisation
	Issuers Issuers           // whatever the organisation
}

// For is the policy that holds for the holders of an organisation.
func (p Policies) For(organisation string) Policy {
	policy, ok := p.By[organisation]
	if !ok {
		policy = p.Default
	}
	policy.Issuers = p.Issuers
	return policy
}

// LongestGrant is how long a grant lasts at most, whosever rules hold for it.
func (p Policies) LongestGrant() time.Duration {
	longest := p.Default.GrantValidity
	for _, o := range p.By {
		longest = max(longest, o.GrantValidity)
	}
	return longest
}

// Longest is after what time the newest answer of a case is worth nothing any more, whosever rules hold for it.
func (p Policies) Longest() time.Duration {
	longest := p.Default.CaseValidity + p.Default.CodeValidity
	for _, o := range p.By {
		longest = max(longest, o.CaseValidity+o.CodeValidity)
	}
	return longest
}
