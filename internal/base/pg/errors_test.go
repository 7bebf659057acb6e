package pg_test

import (
	"fmt"
	"io/fs"
	"net"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/pg"
)

// A file system that fails is no database that cannot be reached, though both
// speak in errnos; a database whose disk is full is one to come back to.
func TestADiskIsNoNetwork(t *testing.T) {
	t.Parallel()
	disk := fmt.Errorf("write a file: %w", &fs.PathError{Op: "write", Path: "p", Err: syscall.ENOSPC})
	require.False(t, pg.IsUnreachable(disk))
	require.False(t, pg.IsTransient(disk))
	network := fmt.Errorf("begin: %w", &net.OpError{Op: "read", Net: "unix", Err: syscall.ECONNRESET})
	require.True(t, pg.IsUnreachable(network))
	require.True(t, pg.IsTransient(network))
	require.True(t, pg.IsTransient(&pgconn.PgError{Code: "53100"}))
}
