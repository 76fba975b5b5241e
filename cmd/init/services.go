package main

import "context"

// services keeps the kiosk alive until the machine is to end.
func services(ctx context.Context, m *machine) outcome {
	<-ctx.Done()
	return restart
}
