package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// ErrNotRunning says that no server runs on a data folder.
var ErrNotRunning = errors.New("embedded postgres: no server runs on this folder")

// Running finds the server that another process runs on a data folder and
// returns the superuser's address of a database there, as Server.URL does. It is
// for commands beside a running `serve`, by whoever may read the password's
// file. Without a server, or with one that is not ready, it is ErrNotRunning.
func Running(dataDir, database string) (string, error) {
	dataDir, err := filepath.Abs(dataDir)
	if err != nil {
		return "", folderError(dataDir, err)
	}
	f := folder{dir: dataDir}
	text, err := os.ReadFile(filepath.Join(f.cluster(), "postmaster.pid"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%w: %s", ErrNotRunning, dataDir)
	case err != nil:
		return "", folderError(f.cluster(), err)
	}
	// The server writes its port into the fourth line, the folder of its socket
	// into the fifth and its state into the eighth.
	lines := strings.Split(string(text), "\n")
	if len(lines) < 8 || strings.TrimSpace(lines[7]) != "ready" {
		return "", fmt.Errorf("%w: %s", ErrNotRunning, dataDir)
	}
	options := url.Values{
		"host": {lines[4]}, "port": {lines[3]}, "user": {superuser}, "password": {""}, "passfile": {f.passfile()}, "sslmode": {"disable"},
	}.Encode()
	return "postgres:///" + url.PathEscape(database) + "?" + strings.ReplaceAll(options, "+", "%20"), nil
}
