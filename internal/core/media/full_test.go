package media

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/base/problem"
)

// A disk without room is said to be one, and nothing else is.
func TestFull(t *testing.T) {
	t.Parallel()
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		err := full(fmt.Errorf("copy: %w", &fs.PathError{Op: "write", Path: "p", Err: errno}))
		require.ErrorIs(t, err, ErrStoreFull)
		require.ErrorIs(t, err, errno, "the log says which")
		require.Equal(t, problem.Unavailable, problem.As(err).Kind)
	}
	other := errors.New("other")
	require.Equal(t, other, full(other))
}
