package verify

import (
	"bufio"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// echo answers each line with itself.
func echo(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				r := bufio.NewReader(c)
				for {
					b, err := r.ReadBytes('\n')
					if err != nil {
						return
					}
					_, _ = c.Write(b)
				}
			}()
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestLine(t *testing.T) {
	t.Parallel()
	l, err := newLine(t.Context(), "tcp", echo(t).Addr().String())
	require.NoError(t, err)
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.listener.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	say := func(c net.Conn, words string) (string, error) {
		if _, err := io.WriteString(c, words); err != nil {
			return "", err
		}
		return bufio.NewReader(c).ReadString('\n')
	}
	c := dial()
	got, err := say(c, "hello\n")
	require.NoError(t, err)
	require.Equal(t, "hello\n", got)
	require.Equal(t, 1, l.Made())

	l.Cut()
	_, err = say(c, "hello\n")
	require.Error(t, err, "what stands breaks")
	_, err = say(dial(), "hello\n")
	require.Error(t, err, "and nobody is there")
	require.Equal(t, 1, l.Refused())

	l.Restore()
	c = dial()
	_, err = say(c, "hello\n")
	require.NoError(t, err)

	end := l.LoseCommits()
	got, err = say(c, "select\n")
	require.NoError(t, err)
	require.Equal(t, "select\n", got)
	_, err = say(c, "Commit\x00\n")
	require.Error(t, err, "the reply is lost")
	require.Equal(t, 1, end())
	got, err = say(dial(), "commit\x00\n")
	require.NoError(t, err, "no longer")
	require.Equal(t, "commit\x00\n", got)
}

func TestLineToADatabase(t *testing.T) {
	t.Parallel()
	l, err := newLine(t.Context(), "unix", "/nowhere")
	require.NoError(t, err)
	host, port, err := net.SplitHostPort(l.listener.Addr().String())
	require.NoError(t, err)
	got, err := l.database("postgres:///world_1?host=%2Ftmp%2Fa%20b&port=5432&user=u&sslmode=disable")
	require.NoError(t, err)
	require.Equal(t, "postgres:///world_1?host="+host+"&port="+port+"&sslmode=disable&user=u", got)
}
