package embedded

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// poll is how often states of other processes are looked at.
const poll = 10 * time.Millisecond

// process is one that works, or worked, on our cluster.
type process struct {
	pid  int
	main bool // a postmaster or single-user server, not one of its children
}

// marked finds the processes of user uid that carry the mark in an argument of
// theirs or in the title that PostgreSQL gives its children. Command lines are
// readable by everybody, unlike working folders, which need a capability that
// containers lack. Where there is no /proc, it finds none.
func marked(uid int, mark string) []process {
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is constant and well formed
	var found []process
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || !ownedBy(dir, uid) {
			continue
		}
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || !bytes.Contains(line, []byte(mark)) {
			continue
		}
		args := strings.Split(string(line), "\x00")
		child := strings.HasPrefix(args[0], "postgres: "+mark+": ")
		main := false
		for _, arg := range args[1:] {
			main = main || arg == "cluster_name="+mark || arg == mark
		}
		if child || main {
			found = append(found, process{pid: pid, main: main})
		}
	}
	return found
}

func ownedBy(path string, uid int) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == uid
}

// alive tells whether a process with this id runs, also one of another user. One
// that has ended but was not waited for yet does not: in containers that may
// never happen.
func alive(pid int) bool {
	if err := syscall.Kill(pid, 0); err != nil && err != syscall.EPERM {
		return false
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err != nil || !bytes.Contains(stat, []byte(") Z "))
}

// step is one rung of a stop: the signal, whether children get it too, and how
// long it may take.
type step struct {
	signal   syscall.Signal
	children bool
	patience time.Duration
}

// orderly stops by a fast shutdown, which loses nothing and needs no recovery;
// by an immediate one, which loses nothing committed; and by force. A postmaster
// that got SIGQUIT kills what remains of its children after five seconds.
var orderly = []step{
	{syscall.SIGINT, false, 15 * time.Second},
	{syscall.SIGQUIT, true, 8 * time.Second},
	{syscall.SIGKILL, true, 5 * time.Second},
}

// stopAll climbs the steps until find finds nothing. It is for processes that
// are not our children (any more), so their end is seen by looking.
func stopAll(ctx context.Context, steps []step, find func() []process) error {
	if len(find()) == 0 {
		return nil
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for _, s := range steps {
		for _, p := range find() {
			if p.main || s.children {
				signalMarked(p.pid, s.signal, find)
			}
		}
		deadline := time.Now().Add(s.patience)
		for time.Now().Before(deadline) {
			if len(find()) == 0 {
				return nil
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fmt.Errorf("embedded postgres: waiting for an earlier server to end: %w", ctx.Err())
			}
		}
	}
	return fmt.Errorf("embedded postgres: process %d of an earlier server does not end, even by SIGKILL; see what it waits for (state D: the disk)", find()[0].pid)
}

// signalMarked signals a process only after seeing it marked through a handle
// that stays with that very process, so that a reused id is never hit.
func signalMarked(pid int, sig syscall.Signal, find func() []process) {
	handle, err := os.FindProcess(pid)
	if err != nil {
		return
	}
	defer func() { _ = handle.Release() }()
	for _, p := range find() {
		if p.pid == pid {
			_ = handle.Signal(sig) // it ended meanwhile: just what is wanted
		}
	}
}
