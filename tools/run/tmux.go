package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

const (
	paneWidth  = 29 // of "You": at 80 columns it leaves the kiosk its 50, and one for the border
	switchKey  = "F12"
	startUp    = time.Minute
	comeToRest = 5 * time.Second
)

// tmuxConf makes tmux a frame and nothing else: no prefix, no menus, and of its keys two of our own.
var tmuxConf = fmt.Sprintf(`
unbind-key -a -T prefix
unbind-key -a -T root
set -g prefix None
set -g status off
set -g mouse on
set -g focus-events on
set -g remain-on-exit on
set -g window-size latest
set -g default-terminal tmux-256color
set -s escape-time 20
bind -n C-c kill-server
bind -n %s select-pane -t :.+
bind -n MouseDown1Pane select-pane -t = \; send-keys -M
bind -n SecondClick1Pane select-pane -t = \; send-keys -M
bind -n DoubleClick1Pane select-pane -t = \; send-keys -M
bind -n TripleClick1Pane select-pane -t = \; send-keys -M
set-hook -g window-resized 'resize-pane -t :.1 -x %d'
`, switchKey, paneWidth)

// screen is a tmux server of our own.
type screen struct {
	ctx    context.Context
	socket string
	conf   string
	server *exec.Cmd
	ended  chan struct{} // closed when the server has ended
	panes  []int         // pidfds of the programs in the panes
}

// newScreen prepares tmux in dir.
func newScreen(ctx context.Context, dir string) (*screen, error) {
	s := &screen{ctx: ctx, socket: filepath.Join(dir, "tmux"), conf: filepath.Join(dir, "tmux.conf")}
	return s, os.WriteFile(s.conf, []byte(tmuxConf), 0o600)
}

// show starts the server with a program in each pane; the right one has the keyboard.
func (s *screen) show(env, left, right []string) error {
	s.server = exec.Command("tmux", "-D", "-f", s.conf, "-S", s.socket)
	// The kiosk draws more than ASCII, whatever the machine's locale; and this tmux is nobody's inner one.
	s.server.Env = append(append(withoutTmux(os.Environ()), env...), "LC_ALL=C.UTF-8")
	s.server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setsid: true}
	if err := s.server.Start(); err != nil {
		return fmt.Errorf("start tmux: %w", err)
	}
	s.ended = make(chan struct{})
	go func() {
		s.server.Wait()
		close(s.ended)
	}()
	if err := s.listens(); err != nil {
		return err
	}
	width, height, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil {
		return fmt.Errorf("ask the terminal for its size: %w", err)
	}
	if _, err := s.tmux(append([]string{"new-session", "-d", "-x", strconv.Itoa(width), "-y", strconv.Itoa(height)}, left...)...); err != nil {
		return err
	}
	if _, err := s.tmux(append([]string{"split-window", "-h", "-l", strconv.Itoa(paneWidth)}, right...)...); err != nil {
		return err
	}
	pids, err := s.tmux("list-panes", "-F", "#{pane_pid}")
	if err != nil {
		return err
	}
	for _, field := range strings.Fields(pids) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return fmt.Errorf("tmux list-panes: %w", err)
		}
		if fd, err := unix.PidfdOpen(pid, 0); err == nil { // else it has ended already, and its pane shows why
			s.panes = append(s.panes, fd)
		}
	}
	return nil
}

// listens waits for the server.
func (s *screen) listens() error {
	deadline := time.After(startUp)
	for {
		conn, err := net.Dial("unix", s.socket)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-s.ended:
			return errors.New("tmux ended at once")
		case <-deadline:
			return fmt.Errorf("tmux does not listen: %w", err)
		case <-s.ctx.Done():
			return s.ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// attach gives the panes this terminal, until they are closed or ctx ends.
func (s *screen) attach() error {
	cmd := exec.Command("tmux", "-N", "-u", "-S", s.socket, "attach-session")
	cmd.Env = withoutTmux(os.Environ())
	cmd.Stdin, cmd.Stdout = os.Stdin, os.Stdout
	var complaint strings.Builder
	cmd.Stderr = &complaint
	defer context.AfterFunc(s.ctx, func() { s.server.Process.Signal(syscall.SIGTERM) })()
	// Its status says nothing, since the server is ended under it; what it complains of says all.
	if err := cmd.Run(); err != nil && complaint.Len() > 0 {
		return fmt.Errorf("tmux: %s", strings.TrimSpace(complaint.String()))
	}
	return nil
}

// close ends the server, and returns when the programs in the panes have ended, too.
func (s *screen) close() {
	if s.ended == nil {
		return
	}
	s.server.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(comeToRest):
		s.server.Process.Kill()
		<-s.ended
	}
	// Their terminals hang up with the server.
	for _, fd := range s.panes {
		rest := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(rest, int(comeToRest.Milliseconds()))
		for errors.Is(err, unix.EINTR) {
			n, err = unix.Poll(rest, int(comeToRest.Milliseconds()))
		}
		if n == 0 {
			unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
		unix.Close(fd)
	}
}

func (s *screen) tmux(args ...string) (string, error) {
	cmd := exec.CommandContext(s.ctx, "tmux", append([]string{"-N", "-S", s.socket}, args...)...)
	cmd.Env = withoutTmux(os.Environ())
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("tmux %s: %w: %s", args[0], err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// withoutTmux is env as outside any tmux.
func withoutTmux(env []string) []string {
	var out []string
	for _, v := range env {
		if !strings.HasPrefix(v, "TMUX=") && !strings.HasPrefix(v, "TMUX_PANE=") {
			out = append(out, v)
		}
	}
	return out
}
