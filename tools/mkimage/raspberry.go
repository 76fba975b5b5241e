package main

import "errors"

func (b *build) raspberry(*unpacked, system, verity) (map[string]boot, error) {
	return nil, errors.New("not yet")
}
