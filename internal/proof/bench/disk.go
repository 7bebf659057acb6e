package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Fdatasync measures what one flush costs in a folder: the median over n
// overwrites of 8 KiB in a file that is there already, as a write-ahead log does.
func Fdatasync(dir string, n int) (time.Duration, error) {
	f, err := os.CreateTemp(dir, "fdatasync-")
	if err != nil {
		return 0, fmt.Errorf("measure the disk: %w", err)
	}
	defer func() { _, _ = f.Close(), os.Remove(filepath.Clean(f.Name())) }()
	block := make([]byte, 8<<10)
	var took Latencies
	for i := range n + 1 {
		begun := time.Now()
		if _, err := f.WriteAt(block, 0); err != nil {
			return 0, fmt.Errorf("measure the disk: %w", err)
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return 0, fmt.Errorf("measure the disk: %w", err)
		}
		if i > 0 { // the first one allocates
			took = append(took, time.Since(begun))
		}
	}
	return took.Percentile(0.5), nil
}
