package embedded

import (
	"io"
	"os"
	"strings"
	"syscall"
)

// maxLog is the size in bytes at which the server's log is turned over.
const maxLog = 8 << 20

// logFile is where the server writes to directly, not through a pipe: a parent
// that is stopped must not block it, and a killed one must not silence it.
type logFile struct {
	path  string
	file  *os.File
	start int64 // where the log of the present run begins
}

func openLog(path string) (*logFile, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, folderError(path, err)
	}
	l := &logFile{path: path, file: file}
	l.turn(maxLog)
	return l, nil
}

func (l *logFile) close() { _ = l.file.Close() }

func (l *logFile) size() int64 {
	info, err := l.file.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// begin notes that a new run starts here.
func (l *logFile) begin() { l.start = l.size() }

// tail is the end of what this run wrote: at most 15 lines of at most 4 KiB.
func (l *logFile) tail() string {
	size := l.size()
	from := max(min(l.start, size), size-4<<10)
	text := make([]byte, size-from)
	n, err := l.file.ReadAt(text, from)
	if err != nil && err != io.EOF {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text[:n])), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// turn keeps the log within limit bytes: what is there becomes the one older
// part. The server appends, so it goes on at the new beginning; a line written
// between copy and cut is lost, which a log can bear.
func (l *logFile) turn(limit int64) {
	if l.size() < limit {
		return
	}
	older, err := os.OpenFile(l.path+".1", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err == nil {
		// On a full disk the copy stays short: to stay within bounds matters more.
		_, _ = io.Copy(older, io.NewSectionReader(l.file, 0, l.size()))
		_ = older.Close()
	}
	_ = l.file.Truncate(0)
	l.start = 0
}
