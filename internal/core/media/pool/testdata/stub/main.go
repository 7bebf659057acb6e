// Command stub speaks the darkroom's protocol and misbehaves as the
// photograph that it is sent tells it to.
package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"proofroom/internal/darkroom/wire"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "wait" {
		wait()
	}
	name := filepath.Base(os.Args[0])
	if name == "silent" {
		wait()
	}
	check(wire.WriteHello(os.Stdout, wire.Hello{Engine: "stub"}))
	in := bufio.NewReader(os.Stdin)
	for {
		request, err := wire.ReadRequest(in)
		if err != nil {
			return
		}
		order, argument, _ := strings.Cut(string(request.Original), ":")
		if name == "broken" {
			order = "die"
		}
		obey(order, argument, &request)
		check(wire.WriteReply(os.Stdout, wire.Reply{ID: request.ID, Developed: developed()}))
	}
}

func obey(order, argument string, request *wire.Request) {
	switch order {
	case "hang":
		wait()
	case "until":
		// Opening a named pipe waits for whoever opens its other end.
		f, err := os.Open(argument)
		check(err)
		check(f.Close())
	case "die":
		fmt.Fprintln(os.Stderr, "stub: dying as told")
		os.Exit(3)
	case "die once":
		f, err := os.OpenFile(argument, os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			check(f.Close())
			os.Exit(3)
		}
	case "memory":
		fmt.Fprintln(os.Stderr, "fatal error: runtime: out of memory")
		os.Exit(2)
	case "babble":
		fmt.Print("<script>alert(1)</script>")
		wait()
	case "wrong id":
		request.ID += 7
	case "family":
		// A relative in the same group that keeps the pipes open.
		relative := exec.Command(os.Args[0], "wait")
		relative.Stdout = os.Stdout
		check(relative.Start())
		note(argument, relative.Process.Pid)
		wait()
	case "runaway":
		// A relative that has left the group and keeps the pipes open.
		relative := exec.Command(os.Args[0], "wait")
		relative.Stdin, relative.Stdout = os.Stdin, os.Stdout
		relative.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		check(relative.Start())
		note(argument, relative.Process.Pid)
		os.Exit(3)
	}
}

func developed() *wire.Developed {
	d := &wire.Developed{
		Metadata: wire.Metadata{Format: wire.JPEG, Width: 2, Height: 2, Orientation: 1},
		Average:  "#808080",
	}
	for _, kind := range wire.Kinds() {
		d.Derivatives = append(d.Derivatives, wire.Derivative{
			Kind: kind, Format: wire.JPEG, Width: 1, Height: 1, Bytes: []byte("\xff\xd8\xff\xd9"),
		})
	}
	return d
}

// note adds a process number to a file.
func note(file string, pid int) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	check(err)
	_, err = fmt.Fprintln(f, pid)
	check(err)
	check(f.Close())
}

// wait does so for ever, without being woken and without using the processor.
func wait() {
	for {
		_ = syscall.Pause() // it only ever returns because of a signal
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "stub:", err)
		os.Exit(9)
	}
}
