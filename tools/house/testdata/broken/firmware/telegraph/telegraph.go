// Package telegraph is new.
package telegraph
