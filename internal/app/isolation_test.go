package app

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/testkit/pgtest"
)

// What keeps strangers' pictures from the server is told with its readiness,
// layer by layer where this kernel lacks some.
func TestReadinessTellsOfTheDarkroomsIsolation(t *testing.T) {
	t.Parallel()
	darkroom := filepath.Join(t.TempDir(), "darkroom")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", darkroom, "proofroom/cmd/darkroom").CombinedOutput()
	require.NoError(t, err, "%s", out)
	for binary, want := range map[string]string{darkroom: "ok", "/nowhere": ""} {
		srv, err := New(t.Context(), Config{
			DatabaseURL: pgtest.New(t).URL, DataDir: t.TempDir(), Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0",
			PublicURL: "http://localhost:1", PollWaits: []time.Duration{time.Hour}, GiveUp: time.Hour, Darkroom: binary,
		}, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		res := httptest.NewRecorder()
		srv.ready(res, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
		srv.Close()
		said := map[string]string{}
		require.NoError(t, json.NewDecoder(res.Body).Decode(&said))
		if lacks := srv.darkroom.Lacks(); len(lacks) > 0 {
			want = "this kernel does not offer: " + lacks[0]
		}
		require.Equal(t, want != "", said["darkroom"] == "ok", said)
		require.Contains(t, said["darkroom_isolation"], want)
	}
}
