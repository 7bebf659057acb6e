package confine

/*
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { OUTPUT = 3 };

static void limit(int what, const char *name, rlim_t soft, rlim_t hard)
{
	struct rlimit now;
	if (getrlimit(what, &now) == 0) {
		if (now.rlim_max < hard) hard = now.rlim_max;
		if (hard < soft) soft = hard;
		now.rlim_cur = soft;
		now.rlim_max = hard;
		if (setrlimit(what, &now) == 0) return;
	}
	fprintf(stderr, "darkroom: cannot set %s: %s\n", name, strerror(errno));
	_exit(71);
}

// It runs before Go has started a single thread: no_new_privs belongs to a
// thread, and only threads that start later inherit it.
__attribute__((constructor)) static void confine(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		fprintf(stderr, "darkroom: cannot set no_new_privs: %s\n", strerror(errno));
		_exit(71);
	}
	// Frames go out by a descriptor of their own: a library that prints to
	// standard output, as one does before it gives up, then cannot garble them.
	if (dup2(STDOUT_FILENO, OUTPUT) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
		fprintf(stderr, "darkroom: cannot set up the output: %s\n", strerror(errno));
		_exit(71);
	}
	// What the server itself inherited and never marked would be here too.
	if (close_range(OUTPUT + 1, ~0U, 0) != 0) {
		for (int fd = OUTPUT + 1; fd < 4096; fd++) close(fd);
	}
	limit(RLIMIT_DATA, "RLIMIT_DATA", 2048UL << 20, 2048UL << 20);
	limit(RLIMIT_CPU, "RLIMIT_CPU", 60, 3600);
	limit(RLIMIT_NOFILE, "RLIMIT_NOFILE", 32, 32);
	limit(RLIMIT_FSIZE, "RLIMIT_FSIZE", 0, 0);
	limit(RLIMIT_CORE, "RLIMIT_CORE", 0, 0);
	// One photograph on one core: a heap for each thread would only cost
	// memory (half of it, as measured).
	mallopt(M_ARENA_MAX, 1);
}
*/
import "C"

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// seconds of processor time that one photograph may take. The parent's own
// timer ends a slow child much earlier; this is for a child whose parent died
// in the meantime.
const seconds = 60

func init() {
	// The Go runtime would ignore the signal that the limit sends.
	over := make(chan os.Signal, 1)
	signal.Notify(over, syscall.SIGXCPU)
	go func() {
		<-over
		fmt.Fprintln(os.Stderr, "darkroom: out of processor time")
		os.Exit(1)
	}()
}

// Output is where the process's standard output led when it started. The
// standard output itself now leads to standard error.
func Output() *os.File { return os.NewFile(C.OUTPUT, "output") }

// Renew grants the next photograph its processor time. The limit counts from
// the start of the process, so it moves along.
func Renew() error {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return fmt.Errorf("read the processor time used: %w", err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CPU, &limit); err != nil {
		return fmt.Errorf("read the limit of processor time: %w", err)
	}
	limit.Cur = min(limit.Max, uint64(used.Utime.Sec+used.Stime.Sec)+seconds)
	if err := syscall.Setrlimit(syscall.RLIMIT_CPU, &limit); err != nil {
		return fmt.Errorf("renew the limit of processor time: %w", err)
	}
	return nil
}
