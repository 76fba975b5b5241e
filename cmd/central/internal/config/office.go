package config

import (
	"errors"
	"fmt"
	"path/filepath"
)

// Office is where staff on this machine reach a running central.
type Office struct {
	Socket string `toml:"socket"` // path of a unix socket
	Group  string `toml:"group"`  // whose members may use it, too; empty: central's own user and root alone
}

// maxSocket is the longest path of a socket on Linux, in bytes: unix(7), sun_path, without its zero. Central makes the socket in a folder
// of its own beside its place, whose name takes some more.
const maxSocket = 107 - 4

func (o *Office) defaults() { o.Socket = "central.sock" }

// place joins the socket's path to the folder.
func (o *Office) place(dir string) error {
	if o.Socket == "" {
		return errors.New("office.socket is empty: write the path of the socket that the commands of central use, such as \"central.sock\"")
	}
	if !filepath.IsAbs(o.Socket) {
		o.Socket = filepath.Join(dir, o.Socket)
	}
	if len(o.Socket) > maxSocket {
		return fmt.Errorf("office.socket is the path %s, which has %d bytes, and a socket's has at most %d: name a shorter one, such as \"/run/latchkey/central.sock\"",
			o.Socket, len(o.Socket), maxSocket)
	}
	return nil
}

// Socket reads from the file at path where a running central is reached, and judges nothing else that stands there: what must work at
// once does not wait until a mistake elsewhere is mended.
func Socket(path string) (string, error) {
	text, err := read(path)
	if err != nil {
		return "", err
	}
	var f struct {
		Office Office `toml:"office"`
	}
	f.Office.defaults()
	if _, err = decode(text, &f); err == nil {
		err = f.Office.place(filepath.Dir(path))
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return f.Office.Socket, nil
}
