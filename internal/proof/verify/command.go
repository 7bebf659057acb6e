package verify

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Command runs a command of the program on the world's database and files, beside
// whatever serves, and returns what it wrote. Killed: by an ordered fault, which
// only the proof build obeys.
func (w *World) Command(ctx context.Context, faults []string, args ...string) (out string, killed bool, err error) {
	cmd := exec.CommandContext(ctx, w.binary, append(args, "--database-url", w.url, "--blobs", w.files())...)
	cmd.Env = append(environment(), "PROOFROOM_FAULTS="+strings.Join(faults, ","), "PROOFROOM_GUARDS_OFF="+strings.Join(w.guardsOff, ","))
	said, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		status, ok := ended.Sys().(syscall.WaitStatus)
		if ok && status.Signaled() && status.Signal() == syscall.SIGKILL && ctx.Err() == nil {
			return string(said), true, nil
		}
	}
	if err != nil {
		return string(said), false, fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, said)
	}
	return string(said), false, nil
}

// Folder is one of the world's own, for what a command makes.
func (w *World) Folder(name string) string { return filepath.Join(w.dir, name) }
