package app

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sys/unix"

	"proofroom/internal/base/obs"
	"proofroom/internal/core/media"
)

const (
	// Less than this and the next event fills the disk.
	diskLow, diskGone = 10 << 30, 1 << 30 // bytes
	growthOver        = 7 * 24 * time.Hour
	// Each request, connection and photograph under way is an open file.
	filesEnough = 4096
	// A backup a day, and a few hours for it.
	backupLate, backupStopped = 36 * time.Hour, 7 * 24 * time.Hour
	secretEnough              = 16 // characters of one that somebody chose
)

// settings looks for what is set and should not be.
func (d *doctor) settings() {
	if proxies, err := obs.ParseProxies(d.cfg.TrustedProxies); err != nil {
		d.say("trusted proxies", wrong, "serve would not start: %v", err)
	} else if everybody(proxies) {
		d.say("trusted proxies", look, "%s", trustsEverybody)
	}
	for _, s := range d.cfg.StripeWebhookSecrets {
		if !strings.HasPrefix(s, "whsec_") {
			d.say("secrets", look, "a webhook secret of Stripe does not begin with whsec_, as all of Stripe's do: copy it again")
		}
	}
	for _, s := range d.cfg.FlutterwaveSecretHashes {
		if len(s) < secretEnough {
			d.say("secrets", look, "a secret hash of Flutterwave has %d characters, and it alone proves who sent a webhook: choose %d or more at random", len(s), secretEnough)
		}
	}
	for _, other := range []string{d.cfg.StripeURL, d.cfg.PayPalURL, d.cfg.FlutterwaveURL} {
		if other != "" {
			d.say("stand-in", look, "payments go to %s instead of the provider: nobody pays real money", other)
		}
	}
}

// trustsEverybody is said at start as well.
const trustsEverybody = "the trusted proxies are the whole internet: anybody can name any address as theirs, which limits count by and the log shows; name only your own proxy (--trusted-proxies 127.0.0.1)"

// everybody reports whether every address is a trusted proxy.
func everybody(proxies obs.Proxies) bool {
	for _, p := range proxies {
		if p.Bits() == 0 {
			return true
		}
	}
	return false
}

// machine looks at the folders and at what this process may have.
func (d *doctor) machine() {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil && limit.Max < filesEnough {
		d.say("open files", look, "a process started here may open %d files: allow %d or more (LimitNOFILE= in the service's unit, ulimit -n)", limit.Max, filesEnough)
	}
	open := 0
	for _, f := range []struct {
		path   string
		rights fs.FileMode // that nobody else may have
	}{
		{d.cfg.DataDir, 0o022}, // what lies in it is closed by itself
		{filepath.Join(d.cfg.DataDir, "postgres"), 0o066},
		{d.localBlobs(), 0o027},
	} {
		info, err := os.Stat(f.path)
		if f.path == "" || err != nil {
			continue // serve makes it, or says what is wrong
		}
		if bad := info.Mode().Perm() & f.rights; bad != 0 {
			open++
			d.say("folder "+f.path, wrong, "others than its owner may read or change it (mode %04o): chmod go-rwx, but let the database's group pass (g+x on postgres)", info.Mode().Perm())
		}
	}
	if open == 0 {
		d.say("folders", fine, "%s is closed to others", d.cfg.DataDir)
	}
}

// localBlobs is the folder of photographs; empty when it is not one.
func (d *doctor) localBlobs() string {
	dir := strings.TrimPrefix(d.cfg.Blobs, "file://")
	if strings.Contains(dir, "://") {
		return ""
	}
	return dir
}

// disks says how much room there is, and for how long where that can be told. db
// is nil when there is none.
func (d *doctor) disks(ctx context.Context, db *pgxpool.Pool) {
	data, dataDev, err := room(d.cfg.DataDir)
	if err != nil {
		d.say("disk", wrong, "the data folder cannot be looked at: %v", err)
		return
	}
	blobs, blobsDev := data, dataDev
	if dir := d.localBlobs(); dir != "" {
		if blobs, blobsDev, err = room(dir); err != nil {
			d.say("disk", wrong, "the folder of photographs cannot be looked at: %v", err)
			return
		}
	}
	if blobsDev != dataDev {
		state, detail := data.judge()
		d.say("disk of "+d.cfg.DataDir, state, "%s", detail)
	}
	state, detail := blobs.judge()
	if db != nil {
		grown, err := media.Grown(ctx, db, growthOver)
		if err != nil {
			d.say("disk", wrong, "the photographs cannot be counted: %v", err)
			return
		}
		if days, says := lasts(blobs.free, grown); says != "" {
			detail += "; " + says
			if days < 30 && state == fine {
				state = look
			}
		}
	}
	d.say("disk of photographs", state, "%s", detail)
}

// lasts says for how long the room is enough, at the rate of the last days. It
// says nothing where there is no rate yet.
func lasts(free uint64, g media.Growth) (days float64, says string) {
	over := min(growthOver, g.Oldest)
	if g.Bytes == 0 || over < 24*time.Hour {
		return 0, ""
	}
	rate := float64(g.Bytes) / (over.Hours() / 24)
	days = float64(free) / rate
	return days, fmt.Sprintf("at the rate of the last %.0f days (%s of photographs a day, without the database) it lasts for %.0f days",
		over.Hours()/24, bytesOf(int64(rate)), days)
}

// space is what is left of a file system.
type space struct {
	free, size   uint64 // bytes
	names, nodes uint64 // left and all; 0 where it does not count them
}

// room looks at the file system of a folder, or of the nearest above that is there.
func room(dir string) (s space, device uint64, err error) {
	for {
		var st syscall.Stat_t
		if err = syscall.Stat(dir, &st); err == nil {
			device = st.Dev
			break
		}
		if parent := filepath.Dir(dir); parent != dir && os.IsNotExist(err) {
			dir = parent
			continue
		}
		return s, 0, fmt.Errorf("%s: %w", dir, err)
	}
	var fsys syscall.Statfs_t
	if err := syscall.Statfs(dir, &fsys); err != nil {
		return s, 0, fmt.Errorf("%s: %w", dir, err)
	}
	block := uint64(fsys.Bsize)
	return space{fsys.Bavail * block, fsys.Blocks * block, fsys.Ffree, fsys.Files}, device, nil
}

func (s space) judge() (state, detail string) {
	detail = fmt.Sprintf("%s free of %s", bytesOf(int64(s.free)), bytesOf(int64(s.size)))
	switch {
	case s.free < diskGone:
		return wrong, detail + ": it is as good as full. Nothing acknowledged is lost when it is, but nothing is taken either: make room"
	case s.free < diskLow:
		return look, detail + ": make room before the next event"
	case s.nodes > 0 && s.names < s.nodes/20:
		return look, fmt.Sprintf("%s, but it can hold only %d files more: a file system with more inodes is needed", detail, s.names)
	}
	return fine, detail
}

// tuning compares PostgreSQL's settings with what is advised.
func (d *doctor) tuning(ctx context.Context, db *pgxpool.Pool) {
	var pages, vacuum, compression string
	var wal, buffers, checkpoint int64
	err := db.QueryRow(ctx, `SELECT current_setting('full_page_writes'), current_setting('autovacuum'), current_setting('wal_compression'),
		pg_size_bytes(current_setting('max_wal_size')), pg_size_bytes(current_setting('shared_buffers')),
		extract(epoch FROM current_setting('checkpoint_timeout')::interval)::bigint`).Scan(&pages, &vacuum, &compression, &wal, &buffers, &checkpoint)
	if err != nil {
		d.say("database settings", wrong, "they cannot be read: %v", err)
		return
	}
	if pages != "on" {
		d.say("database settings", wrong, "full_page_writes is %s: a crash of the machine can tear pages for good; set it to on", pages)
	}
	if vacuum != "on" {
		d.say("database settings", wrong, "autovacuum is %s: tables swell, and one day PostgreSQL refuses to write; set it to on", vacuum)
	}
	var advice []string
	if compression == "off" {
		advice = append(advice, "wal_compression = lz4 (or on): a third less to write")
	}
	if wal < 4<<30 {
		advice = append(advice, fmt.Sprintf("max_wal_size = 4GB (now %s)", bytesOf(wal)))
	}
	if checkpoint < 15*60 {
		advice = append(advice, fmt.Sprintf("checkpoint_timeout = 15min (now %s)", time.Duration(checkpoint)*time.Second))
	}
	if buffers < 128<<20 {
		advice = append(advice, fmt.Sprintf("shared_buffers = an eighth to a quarter of the memory (now %s)", bytesOf(buffers)))
	}
	if len(advice) > 0 {
		d.say("database settings", look, "it works, and is faster with %s; see docs/performance.md", strings.Join(advice, ", "))
		return
	}
	d.say("database settings", fine, "as advised")
}

// backups looks at the newest backup that was made with this data folder.
func (d *doctor) backups(now time.Time) {
	last, err := readLastBackup(d.cfg.DataDir)
	switch {
	case err != nil:
		d.say("backup", look, "the note about the last one cannot be read: %v", err)
	case last == nil:
		d.say("backup", look, "none was made with this data folder: run proofroom backup --to DIR daily, or have one of your own; see docs/operations.md")
	default:
		state, detail := last.judge(now)
		if _, dev, err := room(d.cfg.DataDir); err == nil && state == fine {
			if _, other, err := room(last.Dir); err == nil && dev == other {
				state, detail = look, detail+", on the same disk as what it is a copy of"
			}
		}
		d.say("backup", state, "%s", detail)
	}
}

func (b lastBackup) judge(now time.Time) (state, detail string) {
	age := now.Sub(b.At).Round(time.Minute)
	detail = fmt.Sprintf("the last is of %s (%s ago), %s", b.At.UTC().Format(time.DateTime+" MST"), age, b.Dir)
	if b.Verified {
		detail += ", proven by restoring"
	}
	switch {
	case age > backupStopped:
		return wrong, detail + ": they have stopped; look at what runs them"
	case age > backupLate:
		return look, detail + ": it should be daily"
	case b.Lost > 0:
		return look, fmt.Sprintf("%s; %d files were lost in the store before it", detail, b.Lost)
	}
	return fine, detail
}
