package verify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// small is the size of a world's own disk: a fresh cluster, some segments of its
// log, and room for a few hundred orders.
const small = 160 << 20

// cannotError says that this machine has no means for a scenario.
type cannotError struct{ why string }

func (e *cannotError) Error() string { return e.why }

// Disk is a small file system of a world's own, in memory. It is a real one: what
// does not fit is refused by the kernel, in the middle of a write.
type Disk struct{ dir string }

// newDisk mounts one in a folder.
func newDisk(dir string) (*Disk, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, fmt.Sprintf("size=%d,mode=755", small))
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.ENODEV) {
		return nil, &cannotError{fmt.Sprintf("it needs a disk that it may fill, and no tmpfs can be mounted here (%v): run verify as root of the machine, or of a container with CAP_SYS_ADMIN", err)}
	}
	if err != nil {
		return nil, fmt.Errorf("mount a small disk: %w", err)
	}
	return &Disk{dir}, nil
}

func (d *Disk) ballast() string { return filepath.Join(d.dir, "ballast") }

// Fill takes every byte that is left, until Free.
func (d *Disk) Fill() error {
	f, err := os.OpenFile(d.ballast(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("fill the small disk: %w", err)
	}
	for _, block := range [][]byte{make([]byte, 1<<20), make([]byte, 4096)} {
		for err == nil {
			_, err = f.Write(block)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return errors.Join(fmt.Errorf("fill the small disk: %w", err), f.Close())
		}
		err = nil
	}
	return f.Close()
}

// Free gives the space back, as an operator does who deletes something.
func (d *Disk) Free() error {
	if err := os.Remove(d.ballast()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("free the small disk: %w", err)
	}
	return nil
}

// close ends it; what is on it is gone.
func (d *Disk) close() {
	if d != nil {
		_ = syscall.Unmount(d.dir, syscall.MNT_DETACH)
	}
}

// Disk is the small disk of a cramped world.
func (w *World) Disk() *Disk { return w.disk }

// furnish gives the world a PostgreSQL of its own, if it needs one.
func (w *World) furnish(ctx context.Context, kind Database) (err error) {
	parent, settings := w.dir, durableSettings
	switch kind {
	case Shared:
		return nil
	case Cramped:
		if w.disk, err = newDisk(filepath.Join(w.dir, "disk")); err != nil {
			return err
		}
		parent, settings = w.disk.dir, crampedSettings
	case Durable:
	}
	// PostgreSQL's own user has to get there.
	if err := os.Chmod(w.dir, 0o711); err != nil { //nolint:gosec // passing through only
		return err
	}
	if w.own, err = startCluster(ctx, parent, settings); err != nil {
		return err
	}
	w.cluster = w.own
	return nil
}
