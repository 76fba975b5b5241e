package config

// SCIM is whether a directory feeds holders as they change: SCIM 2.0 (RFC 7644) on the web listener.
type SCIM struct {
	TokenFile string `toml:"token_file"` // empty: nobody does
}
