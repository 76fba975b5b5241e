// Package journal imports what it may.
package journal

import (
	_ "go.etcd.io/bbolt"
	_ "go.etcd.io/bbolt/errors"
)
