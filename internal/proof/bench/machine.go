package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// MaxOthers is the share of the machine's processors that others may use while
// something is measured.
const MaxOthers = 0.10

// hertz is the unit of processor times in /proc, which Linux fixes for programs.
const hertz = 100

// Usage is what a process with all its descendants has used.
type Usage struct {
	CPU time.Duration
	RSS int64 // bytes now, of processes that live
}

// Of sums up a process and its descendants, living ones and those that were
// waited for. What a process used that ended and was not yet waited for is
// missing, so ask while the ones that matter live.
func Of(pid int) (Usage, error) {
	all, err := processes()
	if err != nil {
		return Usage{}, err
	}
	return sum(all, pid)
}

func sum(all map[int]process, pid int) (Usage, error) {
	p, ok := all[pid]
	if !ok {
		return Usage{}, fmt.Errorf("process %d is gone", pid)
	}
	u := Usage{CPU: ticks(p.own + p.waited), RSS: p.rss}
	for child, c := range all {
		if c.parent == pid && child != pid {
			of, err := sum(all, child)
			if err != nil {
				return u, err
			}
			u.CPU += of.CPU
			u.RSS += of.RSS
		}
	}
	return u, nil
}

// Since is the usage from an earlier look to this one; the memory is this one's.
func (u Usage) Since(earlier Usage) Usage { return Usage{CPU: u.CPU - earlier.CPU, RSS: u.RSS} }

// Others tells how much of the machine others used: everything that is not this
// process or a descendant of it.
type Others struct {
	at         time.Time
	busy, ours time.Duration
}

// WatchOthers begins to look.
func WatchOthers() (*Others, error) {
	busy, ours, err := look()
	return &Others{at: time.Now(), busy: busy, ours: ours}, err
}

// Share is the share of all processors (0 to 1) that others used since the
// beginning.
func (o *Others) Share() (float64, error) {
	busy, ours, err := look()
	if err != nil {
		return 0, err
	}
	whole := time.Since(o.at) * time.Duration(runtime.NumCPU())
	if whole <= 0 {
		return 0, nil
	}
	return max(0, float64((busy-o.busy)-(ours-o.ours))/float64(whole)), nil
}

func look() (busy, ours time.Duration, err error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, fmt.Errorf("see how busy the machine is: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	busy, err = parseBusy(line)
	if err != nil {
		return 0, 0, err
	}
	u, err := Of(os.Getpid())
	return busy, u.CPU, err
}

// parseBusy reads "cpu user nice system idle iowait irq softirq steal ...": all
// but idle and iowait. Stolen time is somebody else's, and counts as busy.
func parseBusy(line string) (time.Duration, error) {
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return 0, fmt.Errorf("%q is no line of processor times", line)
	}
	var total int64
	for i, s := range f[1:9] {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%q is no line of processor times: %w", line, err)
		}
		if i != 3 && i != 4 {
			total += n
		}
	}
	return ticks(total), nil
}

func ticks(n int64) time.Duration { return time.Duration(n) * (time.Second / hertz) }

type process struct {
	parent      int
	own, waited int64 // ticks
	rss         int64 // bytes
}

func processes() (map[int]process, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	out := make(map[int]process, len(dirs))
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it ended meanwhile
		}
		p, err := parseProcess(text)
		if err != nil {
			return nil, err
		}
		out[pid] = p
	}
	return out, nil
}

var errStat = errors.New("a process's stat cannot be read")

// parseProcess reads /proc/PID/stat, whose second field is a name in
// parentheses that may hold anything.
func parseProcess(text []byte) (process, error) {
	i := bytes.LastIndexByte(text, ')')
	if i < 0 {
		return process{}, errStat
	}
	f := strings.Fields(string(text[i+1:])) // f[0] is field 3
	if len(f) < 22 {
		return process{}, errStat
	}
	var n [6]int64
	for j, field := range []int{4, 14, 15, 16, 17, 24} {
		v, err := strconv.ParseInt(f[field-3], 10, 64)
		if err != nil {
			return process{}, fmt.Errorf("%w: %w", errStat, err)
		}
		n[j] = v
	}
	return process{parent: int(n[0]), own: n[1] + n[2], waited: n[3] + n[4], rss: n[5] * int64(os.Getpagesize())}, nil
}
