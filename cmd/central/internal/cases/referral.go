package cases

// Referral is why only the RA can go on with a card of which nothing but the record is known; empty if a grant may leave. A card
// that tells its own count of PUK tries may be better off.
func Referral(r Record) Why { return new(Case).referral(r) }
