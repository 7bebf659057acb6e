package embedded

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func TestAnotherProcessFindsTheServer(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	_, err := Running(dir, "postgres")
	require.ErrorIs(t, err, ErrNotRunning)
	s, err := Start(t.Context(), quick(dir))
	require.NoError(t, err)
	address, err := Running(dir, "postgres")
	require.NoError(t, err)
	require.Equal(t, s.URL("postgres"), address)
	conn, err := pgx.Connect(t.Context(), address)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	require.NoError(t, s.Stop(background()))
	_, err = Running(dir, "postgres")
	require.ErrorIs(t, err, ErrNotRunning)
}
