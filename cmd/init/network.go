package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"latchkey/image/provision"
)

// network has one interface at a time on the network, wired or wireless as the settings say: the one that they name, or the first that has a
// link. It keeps to that until the link is lost. IPv6 is the kernel's own (SLAAC), but for a static address.
type network struct {
	resolv   string                                        // path of what becomes resolv.conf
	log      *slog.Logger                                  //
	servers  func([]string)                                // told of the NTP servers whenever they change; none is nil
	tell     func(networkFacts)                            // told of what is known of the network whenever that changes
	settings chan access                                   // room for one: the newest
	ask      func(ctx context.Context, w way, name string) // has a network that asks who comes let this interface in, until ctx ends
}

// access is how the machine gets onto its network.
type access struct {
	provision.Network
	way way
}

// networkFacts are what the screens and logs tell of the network.
type networkFacts struct {
	Interface string   `toml:"interface"` // "" while none has a link
	MAC       string   `toml:"mac"`
	Link      bool     `toml:"link"`
	WiFi      bool     `toml:"wifi"`    // the link is one of Wi-Fi, or shall be
	Address   string   `toml:"address"` // with its prefix; "" while there is none
	Gateway   string   `toml:"gateway"`
	DNS       []string `toml:"dns"`
	NTP       []string `toml:"ntp"`
}

// linked is what is known of an interface that has no address yet.
func linked(link netlink.Link) networkFacts {
	a := link.Attrs()
	return networkFacts{Interface: a.Name, MAC: a.HardwareAddr.String(), Link: true, WiFi: isWireless(a.Name)}
}

// facts are what "kiosk setup" shows of this machine.
type facts struct {
	Board   string       `toml:"board"`
	Version string       `toml:"version"`
	Network networkFacts `toml:"network"`
}

func (f facts) write(path string) error {
	b, err := toml.Marshal(f)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", b, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// set has the network use other settings.
func (n *network) set(s access) {
	for {
		select {
		case n.settings <- s:
			return
		case <-n.settings: // which nobody has seen yet
		}
	}
}

// changes are those of links, as the kernel tells of them.
type changes struct {
	updates chan netlink.LinkUpdate // closed after a failure
	failed  chan error              // room for one
	done    chan struct{}
}

func hearChanges() (*changes, error) {
	c := &changes{make(chan netlink.LinkUpdate), make(chan error, 1), make(chan struct{})}
	if err := netlink.LinkSubscribeWithOptions(c.updates, c.done, netlink.LinkSubscribeOptions{
		ErrorCallback: func(err error) {
			select {
			case c.failed <- err:
			default:
			}
		},
	}); err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	return c, nil
}

func (c *changes) end() {
	close(c.done)
	for range c.updates {
	}
}

// run keeps the network until ctx ends.
func (n *network) run(ctx context.Context) error {
	heard, err := hearChanges()
	if err != nil {
		return err
	}
	defer func() { heard.end() }()
	if lo, err := netlink.LinkByName("lo"); err == nil {
		_ = netlink.LinkSetUp(lo) // nothing here needs it
	}
	var (
		settings access
		known    bool
		now      *session
		asked    *session // who comes
	)
	defer func() { asked.end() }()
	defer func() { now.end() }()
	for {
		if known {
			can := settings
			if settings.way == radio { // it has no link before it was let in, and then it is the one that is used
				asks := n.wireless(settings.Interface, asked)
				if asks != nil {
					can.Interface = asks.Attrs().Name
				}
				if !asked.is(asks) {
					asked.end()
					asked = n.beginAsking(ctx, asks, radio)
				}
			}
			link := n.choose(can, now)
			if !now.is(link) {
				now.end()
				now = n.begin(ctx, link, settings)
			}
			if settings.way == wire && !asked.is(link) {
				asked.end()
				asked = n.beginAsking(ctx, link, wire)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-heard.failed:
			// The kernel told more than was heard, say. All links are looked at anyhow.
			n.log.Warn("network: changes may have been missed", "err", err)
			if pause(ctx, time.Second) != nil {
				return nil
			}
			anew, err := hearChanges()
			if err != nil {
				return err
			}
			heard.end()
			heard = anew
		case <-heard.updates:
		case settings = <-n.settings:
			known = true
			now.end() // also when it is as before: somebody wants it anew
			asked.end()
			now, asked = nil, nil
		}
	}
}

// choose is the interface that shall be used, or nil. All that could be are set up, since one that is not knows of no link.
func (n *network) choose(settings access, now *session) netlink.Link {
	links, err := interfaces()
	if err != nil {
		n.log.Error("network", "err", err)
		return nil
	}
	var can []netlink.Link
	for _, l := range links {
		a := l.Attrs()
		if a.EncapType != "ether" || a.Flags&net.FlagLoopback != 0 || settings.Interface != "" && a.Name != settings.Interface || isWireless(a.Name) != (settings.way == radio) {
			continue
		}
		if a.Flags&net.FlagUp == 0 {
			if err := netlink.LinkSetUp(l); err != nil {
				n.log.Error("network", "interface", a.Name, "err", err)
			}
			continue // what becomes of it is told
		}
		// A wireless one has a link before the network lets it in (operstates.rst of the kernel's documentation).
		if a.RawFlags&unix.IFF_LOWER_UP != 0 && (settings.way != radio || a.OperState == netlink.OperUp) {
			can = append(can, l)
		}
	}
	if len(can) == 0 {
		return nil
	}
	if i := slices.IndexFunc(can, now.is); i >= 0 {
		return can[i]
	}
	return slices.MinFunc(can, func(a, b netlink.Link) int { return cmp.Compare(a.Attrs().Index, b.Attrs().Index) })
}

// interfaces are all that there are. The kernel says when some came or went while it listed them.
func interfaces() (links []netlink.Link, err error) {
	for range 5 {
		if links, err = netlink.LinkList(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return links, err
}

// session is the use of one interface, or of none.
type session struct {
	index int // 0: there is no link
	stop  context.CancelFunc
	ended sync.WaitGroup
}

func (s *session) is(l netlink.Link) bool {
	if s == nil {
		return false
	}
	if l == nil {
		return s.index == 0
	}
	return s.index == l.Attrs().Index
}

// end returns when nothing of it is left.
func (s *session) end() {
	if s != nil {
		s.stop()
		s.ended.Wait()
	}
}

func (n *network) begin(ctx context.Context, link netlink.Link, settings access) *session {
	ctx, stop := context.WithCancel(ctx)
	s := &session{stop: stop}
	if link == nil {
		n.log.Warn("network: no link", "by", settings.way.String(), "interface", settings.Interface)
		n.tell(networkFacts{WiFi: settings.way == radio})
		return s
	}
	a := link.Attrs()
	s.index = a.Index
	n.log.Info("network: link", "interface", a.Name, "mac", a.HardwareAddr.String(), "mode", settings.Mode)
	n.tell(linked(link))
	s.ended.Go(func() {
		defer n.clear(link)
		if settings.Mode == provision.Static {
			n.static(ctx, link, settings.Network)
			return
		}
		n.dhcp(ctx, link, settings.Network)
	})
	return s
}

// binding is what an interface is given.
type binding struct {
	address netip.Prefix
	gateway netip.Addr // the zero value for none
	dns     []netip.Addr
	search  string
	ntp     []string
}

func (n *network) static(ctx context.Context, link netlink.Link, s provision.Network) {
	b, err := staticBinding(s)
	if err == nil {
		err = n.apply(link, b)
	}
	if err != nil {
		n.log.Error("network: the static settings", "err", err)
	}
	<-ctx.Done()
}

func staticBinding(s provision.Network) (b binding, err error) {
	if b.address, err = netip.ParsePrefix(s.Address); err != nil {
		return b, err
	}
	if s.Gateway != "" {
		if b.gateway, err = netip.ParseAddr(s.Gateway); err != nil {
			return b, err
		}
	}
	return b, b.prefer(s)
}

// prefer takes the servers that the settings name in place of those that the network gave.
func (b *binding) prefer(s provision.Network) error {
	if len(s.NTP) > 0 {
		b.ntp = s.NTP
	}
	if len(s.DNS) == 0 {
		return nil
	}
	b.dns = nil
	for _, text := range s.DNS {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return err
		}
		b.dns = append(b.dns, a)
	}
	return nil
}

// apply gives the interface what is bound to it, in place of what it had. The same again is no change.
func (n *network) apply(link netlink.Link, b binding) error {
	name := link.Attrs().Name
	address := &netlink.Addr{IPNet: ipNet(b.address)}
	had, err := netlink.AddrList(link, family(b.address.Addr()))
	if err != nil {
		return fmt.Errorf("addresses of %s: %w", name, err)
	}
	if err := netlink.AddrReplace(link, address); err != nil {
		return fmt.Errorf("address %s of %s: %w", b.address, name, err)
	}
	for _, old := range had {
		if !old.Equal(*address) && !old.IP.IsLinkLocalUnicast() {
			_ = netlink.AddrDel(link, &old) // it may have gone by itself
		}
	}
	if b.gateway.IsValid() {
		everywhere := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if b.gateway.Is6() {
			everywhere = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		if err := netlink.RouteReplace(&netlink.Route{
			LinkIndex: link.Attrs().Index, Dst: ipNet(everywhere), Gw: b.gateway.AsSlice(), Flags: int(netlink.FLAG_ONLINK),
		}); err != nil {
			return fmt.Errorf("route by %s: %w", b.gateway, err)
		}
	}
	if err := n.writeResolv(b); err != nil {
		return err
	}
	f := linked(link)
	f.Address, f.NTP = b.address.String(), b.ntp
	if b.gateway.IsValid() {
		f.Gateway = b.gateway.String()
	}
	for _, a := range b.dns {
		f.DNS = append(f.DNS, a.String())
	}
	n.log.Info("network: address", "interface", name, "address", f.Address, "gateway", f.Gateway, "dns", strings.Join(f.DNS, " "), "ntp", strings.Join(f.NTP, " "))
	n.tell(f)
	n.servers(b.ntp)
	return nil
}

// clear takes everything from an interface that was given to it.
func (n *network) clear(link netlink.Link) {
	had, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, unix.ENODEV) {
		n.log.Error("network", "err", err)
	}
	for _, old := range had {
		if !old.IP.IsLinkLocalUnicast() {
			_ = netlink.AddrDel(link, &old) // its routes go with it
		}
	}
	if err := n.writeResolv(binding{}); err != nil {
		n.log.Error("network", "err", err)
	}
	n.servers(nil)
}

func (n *network) writeResolv(b binding) error {
	var text strings.Builder
	if b.search != "" {
		fmt.Fprintf(&text, "search %s\n", b.search)
	}
	for _, a := range b.dns {
		fmt.Fprintf(&text, "nameserver %s\n", a)
	}
	if err := os.WriteFile(n.resolv+".new", []byte(text.String()), 0o644); err != nil {
		return err
	}
	return os.Rename(n.resolv+".new", n.resolv)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func family(a netip.Addr) int {
	if a.Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}
