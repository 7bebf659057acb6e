package verify

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// working is how many ticks of a processor's time (10 ms each) a child has used
// since it was seen first before it counts as one at work: idling takes none.
const working = 4

// Working is a child of the instance that is in the middle of a photograph, and 0
// while none is. seen is what was there when the photograph was not yet: nil at
// first, then what the last call returned.
func (i *Instance) Working(seen map[int]int) (pid int, first map[int]int) {
	first = map[int]int{}
	for child, used := range i.rooms() {
		before, known := seen[child]
		if !known {
			before = used
		}
		first[child] = before
		if used >= before+working {
			pid = child
		}
	}
	return pid, first
}

// KillDarkroom kills a child of the instance, at once.
func (i *Instance) KillDarkroom(pid int) bool {
	_, ours := i.rooms()[pid]
	return ours && syscall.Kill(pid, syscall.SIGKILL) == nil
}

// rooms are the instance's darkroom children and the processor time that each has
// used, in the kernel's ticks.
func (i *Instance) rooms() map[int]int {
	out := map[int]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is constant and well formed
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		head, tail, ok := bytes.Cut(text, []byte(") "))
		fields := strings.Fields(string(tail))
		if !ok || !bytes.HasSuffix(head, []byte("(darkroom")) || len(fields) < 13 || fields[0] == "Z" || fields[1] != strconv.Itoa(i.cmd.Process.Pid) {
			continue
		}
		var pid, user, system int
		_, err1 := fmt.Sscan(string(head), &pid)
		_, err2 := fmt.Sscan(fields[11]+" "+fields[12], &user, &system)
		if err1 == nil && err2 == nil {
			out[pid] = user + system
		}
	}
	return out
}
