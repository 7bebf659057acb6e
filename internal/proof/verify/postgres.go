package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// StopPostgres has the world's own PostgreSQL stop at once (an immediate
// shutdown): nothing is written down, and the next start recovers. Its
// supervisor, the one that `serve` has, starts it again by itself.
func (w *World) StopPostgres() error {
	pid, err := w.postmaster()
	if err != nil {
		return err
	}
	return syscall.Kill(pid, syscall.SIGQUIT)
}

// KillPostgres kills the world's own PostgreSQL and leaves its children orphaned.
func (w *World) KillPostgres() error {
	pid, err := w.postmaster()
	if err != nil {
		return err
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// postmaster is the process of the world's own PostgreSQL.
func (w *World) postmaster() (int, error) {
	if w.own == nil {
		return 0, errors.New("this world shares its PostgreSQL with others")
	}
	text, err := os.ReadFile(filepath.Join(w.own.dir, "postgres", "postmaster.pid"))
	if err != nil {
		return 0, fmt.Errorf("find the world's PostgreSQL: %w", err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strconv.Atoi(strings.TrimSpace(first))
}

// KillBackend kills a session of the server's, one that is at work if there is
// any: PostgreSQL then throws everybody out and recovers.
func (w *World) KillBackend(ctx context.Context) error {
	if w.own == nil {
		return errors.New("this world shares its PostgreSQL with others")
	}
	pid, err := w.Int(ctx, `SELECT pid FROM pg_stat_activity WHERE application_name = 'proofroom serve' AND datname = current_database()
		ORDER BY state = 'active' DESC, xact_start DESC NULLS LAST LIMIT 1`)
	if err != nil {
		return fmt.Errorf("find a session of the server's: %w", err)
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// PostgresSaid counts the lines of PostgreSQL's log with a text: those about this
// world's database or, in a PostgreSQL of its own, all of them.
func (w *World) PostgresSaid(text string) (int, error) {
	log, err := os.ReadFile(w.cluster.server.LogFile())
	if err != nil {
		return 0, fmt.Errorf("read PostgreSQL's log: %w", err)
	}
	n := 0
	for line := range bytes.Lines(log) {
		if bytes.Contains(line, []byte(text)) && (w.own != nil || bytes.Contains(line, []byte("] "+w.name+" "))) {
			n++
		}
	}
	return n, nil
}

// RevivePostgres starts the world's own PostgreSQL again if its supervisor has
// given it up, as whoever runs the machine does.
func (w *World) RevivePostgres(ctx context.Context) error {
	if w.own == nil {
		return nil
	}
	select {
	case <-w.own.server.Done():
		return w.own.restart(ctx)
	default:
		return nil
	}
}
