package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"latchkey/image/provision"
)

// A network of two cables is made in a namespace of its own: DHCP at the far end of one, and then of the other.
func TestNetwork(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"dhcp", "static", "flood"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), self)
			cmd.Env = append(os.Environ(), playVariable+"="+name, "PLAY_FOLDER="+t.TempDir())
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
			if os.Geteuid() != 0 {
				cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
				cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
			}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func init() {
	plays["dhcp"] = func() int { return told(playDHCP) }
	plays["static"] = func() int { return told(playStatic) }
	plays["flood"] = func() int { return told(playFlood) }
}

func told(play func(ctx context.Context) error) int {
	ctx, stop := context.WithTimeout(context.Background(), 3*time.Minute)
	defer stop()
	if err := play(ctx); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// stand is a network under test, with what it told.
type stand struct {
	*network
	facts   chan networkFacts
	servers chan []string
	log     *lines
	stop    func() error
	busy    sync.Mutex // held by a test that has the network wait
}

func newStand(ctx context.Context) *stand {
	s := &stand{facts: make(chan networkFacts, 100), servers: make(chan []string, 100), log: &lines{}}
	s.network = &network{
		resolv: filepath.Join(os.Getenv("PLAY_FOLDER"), "resolv.conf"), log: newLog(s.log), settings: make(chan access, 1),
		tell: func(f networkFacts) {
			s.busy.Lock()
			defer s.busy.Unlock()
			s.facts <- f
		}, servers: func(list []string) { s.servers <- list },
	}
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	var failed error
	running.Go(func() { failed = s.run(ctx) })
	s.stop = func() error {
		stop()
		running.Wait()
		return failed
	}
	return s
}

// until waits for facts that are as they should be.
func (s *stand) until(ctx context.Context, what string, is func(networkFacts) bool) error {
	var last networkFacts
	for {
		select {
		case last = <-s.facts:
			if is(last) {
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("%s: not within the time; last it was %+v\n%s", what, last, s.log)
		}
	}
}

// untilServers waits for the NTP servers to be these.
func (s *stand) untilServers(ctx context.Context, want ...string) error {
	for {
		select {
		case got := <-s.servers:
			if slices.Equal(got, want) {
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("NTP servers are not told to be %q\n%s", want, s.log)
		}
	}
}

// far is the network's side, a namespace beside that of the machine under test.
type far struct {
	ns netns.NsHandle
	*netlink.Handle
}

// within does something on the network's side. What it opens stays there.
func (f far) within(do func() error) error {
	runtime.LockOSThread() // and never unlocked where the way back fails: the thread ends with its goroutine
	here, err := netns.Get()
	if err != nil {
		return err
	}
	defer here.Close()
	if err := netns.Set(f.ns); err != nil {
		return err
	}
	err = do()
	if back := netns.Set(here); back != nil {
		return errors.Join(err, back)
	}
	runtime.UnlockOSThread()
	return err
}

func newFar() (f far, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here, err := netns.Get()
	if err != nil {
		return f, err
	}
	defer here.Close()
	if f.ns, err = netns.New(); err != nil {
		return f, err
	}
	if err := netns.Set(here); err != nil {
		return f, err
	}
	f.Handle, err = netlink.NewHandleAt(f.ns)
	return f, err
}

// cable is a link with two ends.
func (f far) cable(here, there string) error {
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: here}, PeerName: there, PeerNamespace: netlink.NsFd(f.ns)}); err != nil {
		return fmt.Errorf("make a cable: %w", err)
	}
	return nil
}

func (f far) plug(end string, in bool) error {
	l, err := f.LinkByName(end)
	if err != nil {
		return err
	}
	if in {
		return f.LinkSetUp(l)
	}
	return f.LinkSetDown(l)
}

// addressesOf are an interface's own, without those that the kernel made.
func addressesOf(name string) (list []string) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return nil
	}
	found, _ := netlink.AddrList(l, netlink.FAMILY_ALL)
	for _, a := range found {
		if !a.IP.IsLinkLocalUnicast() {
			list = append(list, a.IPNet.String())
		}
	}
	return list
}

func defaultRoute() string {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return err.Error()
	}
	for _, r := range routes {
		if r.Gw != nil && (r.Dst == nil || r.Dst.IP.IsUnspecified()) {
			return r.Gw.String()
		}
	}
	return ""
}

// dhcpServer gives one address at the far end of a cable; refuse makes it say no to renewals.
func (f far) dhcpServer(end, address string, renew time.Duration, asked chan<- dhcpv4.MessageType, refuse func() bool) (*server4.Server, error) {
	gateway := net.IPv4(10, 9, 8, 1)
	var s *server4.Server
	return s, f.within(func() (err error) {
		s, err = server4.NewServer(end, &net.UDPAddr{Port: 67}, func(conn net.PacketConn, _ net.Addr, m *dhcpv4.DHCPv4) {
			kind := dhcpv4.MessageTypeOffer
			if m.MessageType() == dhcpv4.MessageTypeRequest {
				kind = dhcpv4.MessageTypeAck
				if refuse() {
					kind = dhcpv4.MessageTypeNak
				}
			}
			answer, err := dhcpv4.NewReplyFromRequest(m, dhcpv4.WithMessageType(kind), dhcpv4.WithYourIP(net.ParseIP(address)),
				dhcpv4.WithServerIP(gateway), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(gateway)),
				dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithRouter(gateway), dhcpv4.WithDNS(net.IPv4(10, 9, 8, 2), net.IPv4(10, 9, 8, 3)),
				dhcpv4.WithOption(dhcpv4.OptNTPServers(net.IPv4(10, 9, 8, 4))), dhcpv4.WithOption(dhcpv4.OptDomainName("kiosks.example")),
				dhcpv4.WithLeaseTime(uint32(time.Hour/time.Second)), // be the machine ever so busy, it does not run out
				dhcpv4.WithOption(dhcpv4.OptRenewTimeValue(renew)))
			if err == nil {
				_, err = conn.WriteTo(answer.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: 68})
			}
			if err != nil {
				fmt.Println("DHCP server:", err)
			}
			asked <- m.MessageType()
		})
		if err == nil {
			go func() { _ = s.Serve() }()
		}
		return err
	})
}

func playDHCP(ctx context.Context) error {
	f, err := newFar()
	if err != nil {
		return err
	}
	if err := errors.Join(f.cable("lan0", "far0"), f.cable("lan1", "far1")); err != nil {
		return err
	}
	s := newStand(ctx)
	s.set(access{Network: provision.Network{Mode: provision.DHCP}, way: radio})
	if err := s.until(ctx, "no Wi-Fi is there", func(f networkFacts) bool { return !f.Link && f.WiFi }); err != nil {
		return err
	}
	s.set(access{Network: provision.Network{Mode: provision.DHCP, Interface: ""}})
	if err := s.until(ctx, "no cable is in", func(f networkFacts) bool { return !f.Link && !f.WiFi }); err != nil {
		return err
	}

	// The second cable is put in: it is the only one, so it is used. Its server renews once, and then says no.
	asked := make(chan dhcpv4.MessageType, 100)
	var refuses atomic.Bool // that is, the next request
	server, err := f.dhcpServer("far1", "10.9.8.77", time.Second, asked, func() bool { return refuses.CompareAndSwap(true, false) })
	if err != nil {
		return err
	}
	defer server.Close()
	if err := f.plug("far1", true); err != nil {
		return err
	}
	if err := s.until(ctx, "an address", func(f networkFacts) bool {
		return f.Interface == "lan1" && f.Address == "10.9.8.77/24" && f.Gateway == "10.9.8.1" && len(f.DNS) == 2
	}); err != nil {
		return err
	}
	if err := s.untilServers(ctx, "10.9.8.4"); err != nil {
		return err
	}
	resolv, err := os.ReadFile(s.resolv)
	if want := "search kiosks.example\nnameserver 10.9.8.2\nnameserver 10.9.8.3\n"; err != nil || string(resolv) != want {
		return fmt.Errorf("resolv.conf: %q, %v", resolv, err)
	}
	if got := defaultRoute(); got != "10.9.8.1" {
		return fmt.Errorf("the way out is by %q", got)
	}

	// Discover, request, renewal, as many more as there is time for, one that is refused, and from the beginning.
	var heard []dhcpv4.MessageType
	for begun := 0; begun < 2; {
		select {
		case got := <-asked:
			heard = append(heard, got)
			if got == dhcpv4.MessageTypeDiscover {
				begun++
			}
			if len(heard) == 3 {
				refuses.Store(true)
			}
		case <-ctx.Done():
			return fmt.Errorf("the server is asked with %v alone\n%s", heard, s.log)
		}
	}
	if n := len(heard) - 1; n < 4 || heard[0] != dhcpv4.MessageTypeDiscover ||
		slices.ContainsFunc(heard[1:n], func(m dhcpv4.MessageType) bool { return m != dhcpv4.MessageTypeRequest }) {
		return fmt.Errorf("the server is asked with %v", heard)
	}
	if err := s.until(ctx, "an address again", func(f networkFacts) bool { return f.Address == "10.9.8.77/24" }); err != nil {
		return err
	}

	// The first cable is put in: nothing changes as long as the other has a link.
	other, err := f.dhcpServer("far0", "10.9.8.66", time.Hour/2, asked, func() bool { return false })
	if err != nil {
		return err
	}
	defer other.Close()
	if err := f.plug("far0", true); err != nil {
		return err
	}
	if err := f.plug("far1", false); err != nil {
		return err
	}
	if err := s.until(ctx, "the other cable", func(f networkFacts) bool { return f.Interface == "lan0" && f.Address == "10.9.8.66/24" }); err != nil {
		return err
	}
	if got := addressesOf("lan1"); len(got) > 0 {
		return fmt.Errorf("the cable that was pulled keeps %q", got)
	}

	// Servers that the settings name stand in place of those that DHCP gives.
	s.set(access{Network: provision.Network{Mode: provision.DHCP, DNS: []string{"10.9.8.200"}, NTP: []string{"ntp.example"}}})
	if err := s.untilServers(ctx, "ntp.example"); err != nil {
		return err
	}
	if resolv, err := os.ReadFile(s.resolv); err != nil || !strings.Contains(string(resolv), "nameserver 10.9.8.200\n") || strings.Contains(string(resolv), "10.9.8.2\n") {
		return fmt.Errorf("resolv.conf: %q, %v", resolv, err)
	}
	if err := s.stop(); err != nil {
		return err
	}
	if got := addressesOf("lan0"); len(got) > 0 {
		return fmt.Errorf("in the end there is still %q", got)
	}
	return nil
}

func playStatic(ctx context.Context) error {
	f, err := newFar()
	if err != nil {
		return err
	}
	if err := errors.Join(f.cable("lan0", "far0"), f.cable("lan1", "far1"), f.plug("far0", true), f.plug("far1", true)); err != nil {
		return err
	}
	s := newStand(ctx)
	s.set(access{Network: provision.Network{
		Mode: provision.Static, Interface: "lan1", Address: "10.20.30.40/24", Gateway: "10.20.30.1", DNS: []string{"10.20.30.2"}, NTP: []string{"10.20.30.3"},
	}})
	if err := s.until(ctx, "the address", func(f networkFacts) bool { return f.Interface == "lan1" && f.Address == "10.20.30.40/24" }); err != nil {
		return err
	}
	if err := s.untilServers(ctx, "10.20.30.3"); err != nil {
		return err
	}
	if got := defaultRoute(); got != "10.20.30.1" {
		return fmt.Errorf("the way out is by %q", got)
	}
	if got := addressesOf("lan0"); len(got) > 0 {
		return fmt.Errorf("an interface that was not named has %q", got)
	}
	if err := errors.Join(f.plug("far1", false), s.until(ctx, "the cable is out", func(f networkFacts) bool { return !f.Link })); err != nil {
		return err
	}
	if err := errors.Join(f.plug("far1", true), s.until(ctx, "the address again", func(f networkFacts) bool { return f.Address == "10.20.30.40/24" })); err != nil {
		return err
	}
	if got := defaultRoute(); got != "10.20.30.1" {
		return fmt.Errorf("the way out is by %q when the cable is back", got)
	}
	return s.stop()
}

// More changes than are heard must not end the network, and with it the machine.
func playFlood(ctx context.Context) error {
	f, err := newFar()
	if err != nil {
		return err
	}
	if err := errors.Join(f.cable("lan0", "far0"), f.plug("far0", true)); err != nil {
		return err
	}
	s := newStand(ctx)
	s.set(access{Network: provision.Network{Mode: provision.Static, Address: "10.20.30.40/24"}})
	is := func(f networkFacts) bool { return f.Address == "10.20.30.40/24" }
	if err := s.until(ctx, "the address", is); err != nil {
		return err
	}
	s.busy.Lock() // what is told of the network is taken later
	if err := f.plug("far0", false); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	for n := range 2000 {
		if err := netlink.LinkSetMTU(lo, 1500+n%2); err != nil {
			return err
		}
	}
	s.busy.Unlock()
	if err := errors.Join(f.plug("far0", true), s.until(ctx, "the address after the flood", is)); err != nil {
		return err
	}
	// By now all is heard that came before.
	if err := errors.Join(f.plug("far0", false), s.until(ctx, "the cable is out", func(f networkFacts) bool { return !f.Link })); err != nil {
		return err
	}
	if err := errors.Join(f.plug("far0", true), s.until(ctx, "the address again", is)); err != nil {
		return err
	}
	if !strings.Contains(s.log.String(), "missed") {
		return fmt.Errorf("there was no flood:\n%s", s.log)
	}
	return s.stop()
}

func TestWhatDHCPGivesIsForeign(t *testing.T) {
	t.Parallel()
	base := func() *dhcpv4.DHCPv4 {
		m, err := dhcpv4.New(dhcpv4.WithYourIP(net.IPv4(10, 1, 2, 3)), dhcpv4.WithNetmask(net.CIDRMask(16, 32)))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	b, err := leaseBinding(base())
	if err != nil || b.address != netip.MustParsePrefix("10.1.2.3/16") || b.gateway.IsValid() {
		t.Errorf("the least that one says: %+v, %v", b, err)
	}
	if got := timesOf(base()); got.renew != 30*time.Minute || got.end != time.Hour {
		t.Errorf("a lease without a time: %+v", got)
	}
	for name, change := range map[string]dhcpv4.Modifier{
		"no address":  dhcpv4.WithYourIP(net.IPv4zero),
		"multicast":   dhcpv4.WithYourIP(net.IPv4(224, 0, 0, 1)),
		"loopback":    dhcpv4.WithYourIP(net.IPv4(127, 0, 0, 1)),
		"an odd mask": dhcpv4.WithNetmask(net.IPv4Mask(255, 0, 255, 0)),
	} {
		m := base()
		change(m)
		if b, err := leaseBinding(m); err == nil {
			t.Errorf("%s is taken: %+v", name, b)
		}
	}
	m := base()
	dhcpv4.WithOption(dhcpv4.OptDomainName("a b\nnameserver 6.6.6.6"))(m)
	dhcpv4.WithLeaseTime(0)(m)
	if b, err := leaseBinding(m); err != nil || b.search != "" {
		t.Errorf("a domain of two lines becomes %q, %v", b.search, err)
	}
	if got := timesOf(m); got.end < time.Second || got.renew <= 0 {
		t.Errorf("a lease of no time: %+v", got)
	}
}

func FuzzLease(f *testing.F) {
	m, err := dhcpv4.New(dhcpv4.WithYourIP(net.IPv4(10, 1, 2, 3)), dhcpv4.WithNetmask(net.CIDRMask(16, 32)), dhcpv4.WithLeaseTime(60))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.ToBytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := dhcpv4.FromBytes(raw)
		if err != nil {
			return
		}
		if times := timesOf(m); times.renew <= 0 || times.renew >= times.end {
			t.Errorf("times %+v", times)
		}
		b, err := leaseBinding(m)
		if err == nil && (!b.address.IsValid() || strings.ContainsAny(b.search, " \n")) {
			t.Errorf("binding %+v", b)
		}
	})
}
