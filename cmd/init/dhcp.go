package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"

	"latchkey/image/provision"
)

const (
	dhcpPatience  = 4 * time.Second // for one answer
	dhcpTries     = 3
	dhcpMostWait  = 30 * time.Second // between attempts to get a lease
	dhcpLeastWait = 10 * time.Second // between attempts to renew one (RFC 2131, 4.4.5, says 60, which a cut network of a kiosk need not wait)
)

// leaseTimes are when a lease is renewed, by any server too, and lost (RFC 2131, 4.4.5), counted from when it was given.
type leaseTimes struct{ renew, end time.Duration }

// timesOf has what the server did not say as the RFC does.
func timesOf(ack *dhcpv4.DHCPv4) leaseTimes {
	end := ack.IPAddressLeaseTime(time.Hour)
	renew := ack.IPAddressRenewalTime(end / 2)
	if end < time.Second {
		end = time.Second // a server that says nothing must not have us ask without end
	}
	if renew <= 0 || renew >= end {
		renew = end / 2
	}
	return leaseTimes{renew, end}
}

// domain is what may stand in resolv.conf: what a server says is foreign text.
var domain = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,252})$`)

// leaseBinding reads what a server gives. It is foreign text, too.
func leaseBinding(ack *dhcpv4.DHCPv4) (b binding, err error) {
	address, ok := netip.AddrFromSlice(ack.YourIPAddr.To4())
	if !ok || address.IsUnspecified() || address.IsMulticast() || address.IsLoopback() {
		return b, fmt.Errorf("dhcp: %v is no address for a machine", ack.YourIPAddr)
	}
	bits := 32
	if mask := ack.SubnetMask(); mask != nil {
		ones, of := mask.Size()
		if of != 32 || ones == 0 {
			return b, fmt.Errorf("dhcp: %v is no subnet mask", mask)
		}
		bits = ones
	} else if mask := ack.YourIPAddr.DefaultMask(); mask != nil {
		bits, _ = mask.Size()
	}
	b.address = netip.PrefixFrom(address, bits)
	for _, a := range addresses(ack.Router()) {
		b.gateway = a
		break
	}
	b.dns = addresses(ack.DNS())
	for _, a := range addresses(ack.NTPServers()) {
		b.ntp = append(b.ntp, a.String())
	}
	if name := ack.DomainName(); domain.MatchString(name) {
		b.search = name
	}
	return b, nil
}

func addresses(list []net.IP) (out []netip.Addr) {
	for _, ip := range list {
		if a, ok := netip.AddrFromSlice(ip.To4()); ok && !a.IsUnspecified() {
			out = append(out, a)
		}
	}
	return out
}

// wanted are the options that are asked for.
var wantedOptions = dhcpv4.WithRequestedOptions(dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer,
	dhcpv4.OptionDomainName, dhcpv4.OptionNTPServers, dhcpv4.OptionIPAddressLeaseTime)

// dhcp keeps a lease until ctx ends.
func (n *network) dhcp(ctx context.Context, link netlink.Link, settings provision.Network) {
	wait := time.Second
	for ctx.Err() == nil {
		err := n.lease(ctx, link, settings, func() { wait = time.Second })
		if ctx.Err() != nil {
			return
		}
		n.log.Error("network: no address from DHCP", "err", err, "again", wait.String())
		n.clear(link)
		n.tell(linked(link))
		if pause(ctx, wait) != nil {
			return
		}
		wait = min(2*wait, dhcpMostWait)
	}
}

// lease gets one and keeps it as long as the server lets it. It returns why that ended.
func (n *network) lease(ctx context.Context, link netlink.Link, settings provision.Network, got func()) error {
	lease, err := exchange(link, func(client *nclient4.Client) (*nclient4.Lease, error) { return client.Request(ctx, wantedOptions) })
	if err != nil {
		return err
	}
	for {
		b, err := leaseBinding(lease.ACK)
		if err != nil {
			return err
		}
		if err := b.prefer(settings); err != nil {
			return err
		}
		if err := n.apply(link, b); err != nil {
			return err
		}
		got()
		times := timesOf(lease.ACK)
		n.log.Info("network: lease", "for", times.end.String())
		if lease, err = n.renew(ctx, link, lease, times); err != nil {
			return err
		}
	}
}

// exchange is one with a server. Its socket is not kept: one that saw the interface go down for a moment would hear nothing ever after.
func exchange(link netlink.Link, ask func(*nclient4.Client) (*nclient4.Lease, error)) (*nclient4.Lease, error) {
	client, err := nclient4.New(link.Attrs().Name, nclient4.WithTimeout(dhcpPatience), nclient4.WithRetry(dhcpTries))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return ask(client)
}

// renew waits until it is time to, and does so until the lease runs out.
func (n *network) renew(ctx context.Context, link netlink.Link, lease *nclient4.Lease, times leaseTimes) (*nclient4.Lease, error) {
	end := lease.CreationTime.Add(times.end)
	at := lease.CreationTime.Add(times.renew)
	for {
		if err := pause(ctx, time.Until(at)); err != nil {
			return nil, err
		}
		next, err := exchange(link, func(client *nclient4.Client) (*nclient4.Lease, error) { return client.Renew(ctx, lease, wantedOptions) })
		var refused *nclient4.ErrNak
		switch {
		case err == nil:
			if next.ACK.SubnetMask() == nil { // some servers say only what has changed
				for code, value := range lease.ACK.Options {
					if !next.ACK.Options.Has(dhcpv4.GenericOptionCode(code)) {
						next.ACK.Options[code] = value
					}
				}
			}
			return next, nil
		case errors.As(err, &refused), ctx.Err() != nil:
			return nil, err
		case !time.Now().Before(end):
			return nil, fmt.Errorf("the lease ran out: %w", err)
		}
		n.log.Warn("network: the lease was not renewed", "err", err)
		left := time.Until(end)
		at = time.Now().Add(min(left, max(left/2, dhcpLeastWait)))
	}
}

// pause waits, and returns an error if ctx ended first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
