package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/image"
	"latchkey/image/disk"
)

const dataFolder = "/data"

// data opens /data: it has the whole medium, is checked, and made when there is none. What cannot be saved is left as it is until central
// was told; meanwhile /data is in memory.
func (m *machine) data(ctx context.Context) (err error) {
	var driver sync.WaitGroup
	driver.Go(func() { m.load("ext4") }) // while the volume is opened and checked
	if err := growData(m.disk); err != nil {
		say("%v: /data stays as large as it is", err)
	}
	v, err := openVolume(ctx, m.disk.Partition(image.Data), m.ps)
	if err != nil {
		return err
	}
	m.volume = v
	v.driver = driver.Wait
	kept, unread := v.loadCopy()
	if unread != nil {
		say("%v", unread)
	}
	if !v.head.Made {
		return v.renew(kept)
	}
	if v.head.Renew {
		if unread != nil {
			return unread
		}
		return v.renew(kept)
	}
	broken := v.mount(len(kept) > 0)
	if broken == nil {
		return nil
	}
	if unread != nil {
		// There is a kiosk that nobody can be told of, and its evidence may still be on the medium.
		return errors.Join(broken, unread)
	}
	if len(kept) == 0 {
		// It was never set up, so that nothing is lost and nobody could be told.
		say("%v: /data is made anew", broken)
		return v.renew(nil)
	}
	say("%v: /data is in memory until central was told", broken)
	m.lost = true
	return mountLost(kept, broken)
}

// growData gives the partition the rest of the medium.
func growData(d *disk.Disk) error {
	f, err := os.OpenFile(d.Device(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := disk.SizeOf(f)
	if err != nil {
		return err
	}
	p, grown, err := disk.Grow(f, size, image.Data)
	if err != nil {
		return err
	}
	if grown {
		say("the partition table was adapted to the medium: /data has %d MiB", p.Size()>>20)
	}
	// A power cut may have come between the table and this.
	return disk.ResizeInKernel(f, p)
}

// renew makes the file system, with what was kept of the kiosk in it. A power cut has it begin again.
func (v *volume) renew(kept []saved) error {
	if err := v.ps.makeFS(v.device); err != nil {
		return err
	}
	if err := v.mountExt4(); err != nil {
		return err
	}
	if err := restore(kept, dataFolder, kioskUser); err != nil {
		return fmt.Errorf("/data: %w", err)
	}
	unix.Sync()
	v.head.Made, v.head.Renew = true, false
	return v.writeHead()
}

// mount checks the file system and mounts it. One that was a kiosk's and is no more is as lost as one that cannot be read.
func (v *volume) mount(kiosk bool) error {
	if err := v.ps.checkFS(v.device); err != nil {
		return err
	}
	if err := v.mountExt4(); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dataFolder, essential)); kiosk && err != nil {
		return errors.Join(fmt.Errorf("the kiosk's settings are gone: %w", err), unix.Unmount(dataFolder, 0))
	}
	return nil
}

func (v *volume) mountExt4() error {
	v.driver()
	if err := unix.Mount(v.device, dataFolder, "ext4", harmless|unix.MS_NOATIME, "errors=remount-ro"); err != nil {
		return fmt.Errorf("mount /data: %w", err)
	}
	return nil
}

// mountLost has the kiosk know who it is, and that it has lost all else.
func mountLost(kept []saved, why error) error {
	if err := mountAll([]mount{{"tmpfs", dataFolder, harmless, "mode=0755,size=64m"}}); err != nil {
		return err
	}
	err := restore(kept, dataFolder, kioskUser)
	if err == nil {
		err = os.WriteFile(filepath.Join(kioskFolder, image.Lost), []byte(why.Error()+"\n"), 0o644)
	}
	if err != nil {
		return fmt.Errorf("/data in memory: %w", err)
	}
	return nil
}

// tend keeps the copy of the kiosk's identity as the kiosk has it. Of a /data that was lost it waits until central was told, and ends the
// machine, which makes it anew as it starts.
func (m *machine) tend(ctx context.Context, end func()) {
	look := time.NewTicker(5 * time.Second)
	defer look.Stop()
	said := ""
	for {
		text := ""
		if err := m.look(end); err != nil {
			text = err.Error()
		}
		if text != "" && text != said {
			say("%s", text)
		}
		said = text
		if ill(fsErrors("/sys", m.volume.device), time.Since(processStart)) && !m.lost {
			say("/data has errors and is no longer written: the machine restarts, which mends it")
			end()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

// mendAfter bounds how often a medium that fails again and again has the machine restart.
const mendAfter = 10 * time.Minute

// ill tells whether the machine is to restart because of so many errors of the file system. Its kiosk can write nothing and takes no cards, but
// lives, so that nobody else would restart it. The check at the start sets the count back.
func ill(errors int, up time.Duration) bool { return errors > 0 && up >= mendAfter }

func (m *machine) look(end func()) error {
	if !m.lost {
		return m.volume.saveCopy(dataFolder)
	}
	if m.volume.head.Renew {
		return nil
	}
	if _, err := os.Stat(filepath.Join(kioskFolder, image.LostTold)); err != nil {
		return nil
	}
	m.volume.head.Renew = true
	if err := m.volume.writeHead(); err != nil {
		m.volume.head.Renew = false
		return err
	}
	say("central was told of what was lost: the machine restarts, and /data is made anew")
	end()
	return nil
}

// closeData leaves nothing to be mended.
func (m *machine) closeData() error {
	if !m.lost {
		if err := m.volume.saveCopy(dataFolder); err != nil {
			say("%v", err)
		}
	}
	m.volume.copyKey.Wipe()
	if err := unix.Unmount(dataFolder, 0); err != nil {
		// Somebody still has it open; what is on it is whole then, too, after its journal was read.
		return errors.Join(fmt.Errorf("unmount /data: %w", err), unix.Mount("", dataFolder, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	}
	return nil
}
