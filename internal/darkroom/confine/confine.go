package confine

/*
#cgo pkg-config: vips
#include "confine.h"
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

// Lacks names the layers that this machine's kernel does not offer, and what
// it would take, for an operator to read. It is empty where all are in place.
func Lacks() []string {
	var lacks []string
	for {
		lack := C.confine_lack(C.int(len(lacks)))
		if lack == nil {
			return lacks
		}
		lacks = append(lacks, C.GoString(lack))
	}
}

// Output is where the process's standard output led when it started. The
// standard output itself now leads to standard error.
func Output() *os.File { return os.NewFile(C.CONFINE_OUTPUT, "output") }

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
