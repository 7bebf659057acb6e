package embedded

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Config says where and how to run the server. Only DataDir is required.
type Config struct {
	// DataDir is the folder that holds the database and what belongs to it; it
	// is made if there is none. Other files may lie in it.
	DataDir string
	// RuntimeDir is the private folder of the socket; it is made if there is
	// none, is given to the server's user and holds nothing else. Without it
	// a place is chosen whose path is short enough.
	RuntimeDir string
	// BinDir is the folder of postgres and initdb; without it they are found.
	BinDir string
	// Settings are added to ours, and win over them. What the supervision
	// rests on (addresses, files, the cluster's name) cannot be set.
	Settings map[string]string
	// TCP also listens on a free port of 127.0.0.1.
	TCP bool
	// Log receives what the supervisor does; nothing is logged without it.
	Log *slog.Logger

	// attempts is how many restarts in a row may fail; tests lower it.
	attempts int
}

// DefaultDataDir is the data folder of a machine (/var/lib/proofroom) for root,
// else the user's own; empty when the user has no home.
func DefaultDataDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/proofroom"
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "proofroom")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		u, err := user.Current()
		if err != nil || u.HomeDir == "" {
			return ""
		}
		home = u.HomeDir
	}
	return filepath.Join(home, ".local", "share", "proofroom")
}

// reserved are the settings that the supervision itself decides.
var reserved = []string{
	"cluster_name", "config_file", "data_directory", "external_pid_file", "hba_file", "ident_file",
	"include", "include_dir", "include_if_exists", "lc_messages", "listen_addresses", "log_destination",
	"logging_collector", "password_encryption", "port", "unix_socket_directories",
	"unix_socket_group", "unix_socket_permissions",
}

var settingName = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?$`)

func checkSettings(settings map[string]string) error {
	for name, value := range settings {
		switch {
		case !settingName.MatchString(name):
			return fmt.Errorf("%w: %q is no name of a setting", ErrSettings, name)
		case slices.Contains(reserved, name):
			return fmt.Errorf("%w: %s is decided by the supervisor", ErrSettings, name)
		case strings.ContainsAny(value, "\n\r\x00"):
			return fmt.Errorf("%w: the value of %s must be one line", ErrSettings, name)
		}
	}
	return nil
}

// defaults suit many small transactions whose loss nobody would forgive:
// everything that makes a commit durable stays on.
func defaults(memory uint64, lz4 bool) map[string]string {
	compression := "on"
	if lz4 {
		compression = "lz4"
	}
	const mib = 1 << 20
	return map[string]string{
		"max_connections": "200",
		// An eighth leaves room for the server and the darkroom on one machine.
		"shared_buffers": strconv.FormatUint(min(max(memory/8/mib, 128), 1024), 10) + "MB",

		// The first touch of a page after a checkpoint writes the whole page:
		// few checkpoints and compressed pages are a third less to write.
		"wal_compression":              compression,
		"max_wal_size":                 "4GB",
		"checkpoint_timeout":           "15min",
		"checkpoint_completion_target": "0.9",

		// A fresh table is planned as empty until it is analyzed, so look soon.
		"autovacuum_naptime": "10s",
		"jit":                "off",
		"random_page_cost":   "1.1",

		"timezone":                    "UTC",
		"log_timezone":                "UTC",
		"log_line_prefix":             "%m [%p] %q%d %a ",
		"log_checkpoints":             "off",
		"log_lock_waits":              "on",
		"log_autovacuum_min_duration": "-1",
		// Parameters may be secrets of people; the statement alone is enough.
		"log_parameter_max_length": "0",
	}
}

// renderConf writes a configuration file over the cluster's own, in which initdb
// has put what it found out about this machine, such as usable shared memory.
func renderConf(cluster string, settings map[string]string) string {
	var b strings.Builder
	b.WriteString("# Written at every start; changes here are lost.\n# ALTER SYSTEM SET wins over this file and stays.\n")
	line := func(name, value string) {
		value = strings.ReplaceAll(value, `\`, `\\`)
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.ReplaceAll(value, "'", "''"))
	}
	line("include_if_exists", filepath.Join(cluster, "postgresql.conf"))
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		line(name, settings[name])
	}
	return b.String()
}

// renderHBA writes who may connect how.
func renderHBA(tcp bool) string {
	lines := "# Written at every start; changes here are lost.\n" +
		"local all all scram-sha-256\n" +
		"local replication all scram-sha-256\n"
	if tcp {
		lines += "host all all 127.0.0.1/32 scram-sha-256\n"
	}
	return lines
}

// memory is what this machine or its container may use, in bytes; 0 if unknown.
func memory() uint64 {
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		return 0
	}
	total := info.Totalram * uint64(info.Unit)
	if text, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if limit, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil {
			total = min(total, limit)
		}
	}
	return total
}
