package pool

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/darkroom/wire"
)

// idlePID is the process number of the one child, once it is idle.
func idlePID(t *testing.T, p *Pool) int {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Len(t, p.idle, 1)
	return p.idle[0].pid()
}

func isBusy(p *Pool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle) == 0 && len(p.places) == 1
}

func TestAChildKilledMidPhotographIsReplacedAndThePhotographServed(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	require.NoError(t, p.Probe(t.Context()))
	first := idlePID(t, p)

	// Stopped, it cannot finish before it is killed; and since the photograph
	// is larger than a pipe, it has not even been handed over.
	require.NoError(t, syscall.Kill(first, syscall.SIGSTOP))
	type outcome struct {
		developed wire.Developed
		err       error
	}
	done := make(chan outcome, 1)
	original := photo(t, "imaging", "prism/test-images/pizza-rgb8-srgb.jpg")
	go func() {
		developed, err := p.Develop(t.Context(), wire.Bytes(original), wire.Options{})
		done <- outcome{developed, err}
	}()
	eventually(t, "the child has the photograph", func() bool { return isBusy(p) })
	require.NoError(t, syscall.Kill(first, syscall.SIGKILL))
	got := <-done
	require.NoError(t, got.err)
	require.Equal(t, 1200, got.developed.Metadata.Width)
	require.NotEqual(t, first, idlePID(t, p))
}

func TestAChildThatDiedIdleIsReplacedBeforeItGetsAPhotograph(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{Binary: stubBinary})
	require.NoError(t, p.Probe(t.Context()))
	pid := idlePID(t, p)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	eventually(t, "the child is dead", func() bool { return !running(pid) })
	// The photograph kills one child, so were the dead one its first try, it
	// would be blamed.
	order := "die once:" + filepath.Join(t.TempDir(), "once")
	_, err := p.Develop(t.Context(), wire.Bytes([]byte(order)), wire.Options{})
	require.NoError(t, err)
}

func TestWhatFailsOnceIsTriedAgain(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{Binary: stubBinary})
	_, err := p.Develop(t.Context(), wire.Bytes([]byte("die once:"+filepath.Join(t.TempDir(), "once"))), wire.Options{})
	require.NoError(t, err)
}

func TestAPhotographThatKeepsFailingIsBlamedWithItsReason(t *testing.T) {
	t.Parallel()
	for order, reason := range map[string]wire.Reason{
		"die":      wire.Crashed,
		"babble":   wire.Crashed,
		"wrong id": wire.Crashed,
		"memory":   wire.TooLarge,
		"hang":     wire.TooSlow,
	} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			p := newPool(t, Config{Binary: stubBinary, Timeout: time.Second})
			_, err := p.Develop(t.Context(), wire.Bytes([]byte(order)), wire.Options{})
			var bad *wire.Unreadable
			require.ErrorAs(t, err, &bad)
			require.Equal(t, reason, bad.Reason)
			require.NotEmpty(t, bad.Sentence)
			require.NotErrorIs(t, err, ErrUnavailable)
			// And the next photograph is served as if nothing had been.
			_, err = p.Develop(t.Context(), wire.Bytes([]byte("good")), wire.Options{})
			require.NoError(t, err)
		})
	}
}

func TestAFailingDarkroomIsNotBlamedOnThePhotograph(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{Binary: stub(t, "broken")})
	_, err := p.Develop(t.Context(), wire.Bytes([]byte("good")), wire.Options{})
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, "dying as told", "the child's last words are in the error")
	require.ErrorIs(t, p.Probe(t.Context()), ErrUnavailable)
}

func TestAMissingDarkroomIsUnavailableUntilItIsInstalled(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "darkroom")
	p := newPool(t, Config{Binary: binary})
	_, err := p.Develop(t.Context(), wire.Bytes([]byte("good")), wire.Options{})
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, binary)
	require.ErrorIs(t, p.Probe(t.Context()), ErrUnavailable)

	require.NoError(t, os.WriteFile(binary, []byte("#!/bin/sh\necho 'libvips.so.42 is missing' >&2\nexit 127\n"), 0o700))
	err = p.Probe(t.Context())
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, "libvips.so.42 is missing")

	require.NoError(t, os.Remove(binary))
	require.NoError(t, os.Link(stubBinary, binary))
	require.NoError(t, p.Probe(t.Context()))
	_, err = p.Develop(t.Context(), wire.Bytes([]byte("good")), wire.Options{})
	require.NoError(t, err)
}

func TestTheWholeProcessGroupIsKilled(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{Binary: stubBinary, Timeout: 2 * time.Second})
	note := filepath.Join(t.TempDir(), "pid")
	_, err := p.Develop(t.Context(), wire.Bytes([]byte("family:"+note)), wire.Options{})
	var bad *wire.Unreadable
	require.ErrorAs(t, err, &bad)
	require.Equal(t, wire.TooSlow, bad.Reason)
	relatives := readPIDs(t, note)
	require.Len(t, relatives, 2, "one for each try")
	for _, relative := range relatives {
		eventually(t, "the relative is dead", func() bool { return !running(relative) })
	}
}

func TestAProcessThatLeftTheGroupAndKeepsThePipesHoldsNothingUp(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{Binary: stubBinary, Timeout: 2 * time.Second})
	note := filepath.Join(t.TempDir(), "pid")
	_, err := p.Develop(t.Context(), wire.Bytes([]byte("runaway:"+note)), wire.Options{})
	for _, relative := range readPIDs(t, note) {
		require.NoError(t, syscall.Kill(relative, syscall.SIGKILL))
	}
	var bad *wire.Unreadable
	require.ErrorAs(t, err, &bad)
}

func readPIDs(t *testing.T, file string) (pids []int) {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, line := range strings.Fields(string(b)) {
		pid, err := strconv.Atoi(line)
		require.NoError(t, err)
		pids = append(pids, pid)
	}
	return pids
}

func TestCancellingEndsTheChildAndFreesThePlace(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{Binary: stubBinary})
	require.NoError(t, p.Probe(t.Context()))
	pid := idlePID(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := p.Develop(ctx, wire.Bytes([]byte("hang")), wire.Options{})
		done <- err
	}()
	eventually(t, "the child has the photograph", func() bool { return isBusy(p) })
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	eventually(t, "the child is dead", func() bool { return !running(pid) })
	_, err := p.Develop(t.Context(), wire.Bytes([]byte("good")), wire.Options{})
	require.NoError(t, err)
}

func TestCancellingAWaitForAPlace(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{Binary: stubBinary})
	occupied, leave := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := p.Develop(occupied, wire.Bytes([]byte("hang")), wire.Options{})
		done <- err
	}()
	eventually(t, "the place is taken", func() bool { return isBusy(p) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.Develop(ctx, wire.Bytes([]byte("good")), wire.Options{})
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, p.Probe(ctx), "busy is not broken")
	leave()
	require.ErrorIs(t, <-done, context.Canceled)
}

func TestASilentBinaryCanBeCancelled(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{Binary: stub(t, "silent")})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := p.Develop(ctx, wire.Bytes([]byte("good")), wire.Options{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestCloseEndsIdleAndWorkingChildren(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{Binary: stubBinary, Size: 2})
	require.NoError(t, p.Probe(t.Context()))
	idle := idlePID(t, p)
	done := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := p.Develop(t.Context(), wire.Bytes([]byte("hang")), wire.Options{})
			done <- err
		}()
	}
	eventually(t, "both are at work", func() bool { return len(p.places) == 2 })
	p.Close()
	require.ErrorIs(t, <-done, ErrClosed)
	require.ErrorIs(t, <-done, ErrClosed)
	require.False(t, running(idle))
	_, err := p.Develop(t.Context(), wire.Bytes([]byte("good")), wire.Options{})
	require.ErrorIs(t, err, ErrClosed)
}

func TestAChildIsReplacedAfterItsShareAndAfterEveryError(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{MaxUses: 2})
	good := checkPicture()
	develop := func() int {
		_, err := p.Develop(t.Context(), wire.Bytes(good), wire.Options{})
		require.NoError(t, err)
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.idle) == 0 {
			return 0
		}
		return p.idle[0].pid()
	}
	first := develop()
	require.NotZero(t, first)
	require.Zero(t, develop(), "the second photograph was its last")
	eventually(t, "the first child is dead", func() bool { return !running(first) })
	second := develop()
	require.NotZero(t, second)
	require.NotEqual(t, first, second)

	_, err := p.Develop(t.Context(), wire.Bytes(good[:len(good)/2]), wire.Options{})
	require.Error(t, err)
	eventually(t, "the second child is dead", func() bool { return !running(second) })
	require.NotEqual(t, second, develop())
}

func TestManyPhotographsShareFewChildren(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{Size: 2})
	original := photo(t, "imaging", "testdata/branches.jpg")
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			developed, err := p.Develop(t.Context(), wire.Bytes(original), wire.Options{})
			if err != nil || developed.Metadata.Width != 600 {
				t.Errorf("developed %+v, %v", developed.Metadata, err)
			}
		})
	}
	all.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.LessOrEqual(t, len(p.idle), 2)
	uses := 0
	for _, c := range p.idle {
		uses += c.uses
	}
	require.Equal(t, 12, uses, "no photograph took a child of its own")
}

// TestTheChildHasNothingToTake reads from the kernel what a working child was
// given.
func TestTheChildHasNothingToTake(t *testing.T) {
	t.Parallel()
	// A descriptor as the server may have inherited one: not marked to be
	// closed when a child starts.
	secret, err := os.Open("/etc/passwd")
	require.NoError(t, err)
	inherited, err := syscall.Dup(int(secret.Fd()))
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = secret.Close(), syscall.Close(inherited) })

	p := newPool(t, Config{})
	require.NoError(t, p.Probe(t.Context()))
	proc := fmt.Sprintf("/proc/%d/", idlePID(t, p))

	environ, err := os.ReadFile(proc + "environ")
	require.NoError(t, err)
	// By its length alone: a failure must not print what leaked.
	require.Zero(t, len(environ), "the environment is empty")

	fds, err := os.ReadDir(proc + "fd")
	require.NoError(t, err)
	for _, fd := range fds {
		target, err := os.Readlink(proc + "fd/" + fd.Name())
		require.NoError(t, err)
		if n, _ := strconv.Atoi(fd.Name()); n <= 3 {
			require.True(t, strings.HasPrefix(target, "pipe:"), "%d is %s", n, target)
		} else { // what the Go runtime opened for itself
			require.Regexp(t, `^(anon_inode:\[event(poll|fd)\]|/sys/fs/cgroup/.*)$`, target)
		}
	}

	tasks, err := filepath.Glob(proc + "task/*/status")
	require.NoError(t, err)
	require.NotEmpty(t, tasks)
	for _, task := range tasks {
		status, err := os.ReadFile(task)
		require.NoError(t, err)
		for _, line := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n", "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n"} {
			require.Contains(t, string(status), line, task)
		}
	}

	limits, err := os.ReadFile(proc + "limits")
	require.NoError(t, err)
	for name, hard := range map[string]string{
		"Max cpu time": "3600", "Max file size": "0", "Max data size": "2147483648",
		"Max core file size": "0", "Max open files": "32",
	} {
		require.Regexp(t, name+` +\d+ +`+hard+` `, string(limits))
	}

	group, err := syscall.Getpgid(idlePID(t, p))
	require.NoError(t, err)
	require.Equal(t, idlePID(t, p), group)
	require.NotEqual(t, syscall.Getpgrp(), group)
}

// TestAnOrphanEndsByItself: when the server is killed, its children's input
// ends.
func TestAnOrphanEndsByItself(t *testing.T) {
	t.Parallel()
	c, err := startChild(t.Context(), darkroomBinary)
	require.NoError(t, err)
	require.NoError(t, c.in.Close())
	eventually(t, "the child is dead", func() bool { return !running(c.pid()) })
	c.kill()
	c.wait()
	require.True(t, c.cmd.ProcessState.Success(), "it left in peace: %v", c.cmd.ProcessState)
}

func TestWhatIsTooLargeOrEmptyNeedsNoChild(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{Binary: "/nonexistent"})
	var bad *wire.Unreadable
	_, err := p.Develop(t.Context(), wire.Bytes(nil), wire.Options{})
	require.ErrorAs(t, err, &bad)
	require.Equal(t, wire.Empty, bad.Reason)
	_, err = p.Develop(t.Context(), wire.Bytes(make([]byte, wire.MaxOriginal+1)), wire.Options{})
	require.ErrorAs(t, err, &bad)
	require.Equal(t, wire.TooLarge, bad.Reason)
}
