package embedded

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// maxSocketPath is what fits into the kernel's sun_path with its final zero.
const maxSocketPath = 107

// account is the user that PostgreSQL runs as.
type account struct {
	name     string
	uid, gid int
	drop     bool // the parent is root and has to change to it
}

// attributes are those of a child process: the server's user, and a session of
// its own so that no terminal signals it.
func (a account) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if a.drop {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attr
}

// give makes path the server's own.
func (a account) give(path string) error {
	if !a.drop {
		return nil
	}
	return os.Lchown(path, a.uid, a.gid)
}

// folder is the data folder: its parts, the server's user, and the lock that
// makes this process its only parent.
type folder struct {
	dir     string
	account account
	lock    *os.File
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }
func (f *folder) cluster() string         { return f.path("postgres") }
func (f *folder) passfile() string        { return f.path("postgres.pgpass") }
func (f *folder) conf() string            { return f.path("postgres.conf") }
func (f *folder) hba() string             { return f.path("postgres.hba") }

// openFolder makes the folder if there is none, becomes its parent and settles
// who the server's user is.
func openFolder(dir string) (*folder, error) {
	if dir == "" {
		return nil, fmt.Errorf("%w: none was named and this user has no home", ErrNotWritable)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, folderError(dir, err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, folderError(dir, err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, folderError(dir, err)
	}
	// Marks and short paths are derived from the name, so there must be one.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, folderError(dir, err)
	}
	f := &folder{dir: dir}
	if err := f.takeLock(); err != nil {
		return nil, err
	}
	if f.account, err = f.chooseAccount(); err == nil {
		err = f.letThrough()
	}
	if err != nil {
		f.release()
		return nil, err
	}
	return f, nil
}

// takeLock refuses a second living parent. The kernel frees the lock when this
// process ends, however it ends; Go opens files so that children do not keep it.
func (f *folder) takeLock() error {
	path := f.path("postgres.lock")
	lock, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return folderError(path, err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(path) // only to name it
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("%w: process %s works on %s; stop it, choose another data folder, or give both the same PROOFROOM_DATABASE_URL",
				ErrInUse, strings.TrimSpace(string(holder)), f.dir)
		}
		return folderError(path, err)
	}
	// The id is for people; a full disk must not stop us before PostgreSQL,
	// which says so more clearly, has had its try.
	_ = lock.Truncate(0)
	_, _ = lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	f.lock = lock
	return nil
}

// release lets another parent in. The file stays: removing it would let two
// parents lock two files of one name.
func (f *folder) release() { _ = f.lock.Close() }

// chooseAccount settles the server's user: the owner of the cluster, and for a
// new one ourselves or, for root, an unprivileged user.
func (f *folder) chooseAccount() (account, error) {
	own := os.Geteuid()
	if owner, err := ownerOf(f.cluster()); err == nil {
		switch {
		case own != 0 && owner.uid != own:
			return account{}, fmt.Errorf("%w: %s belongs to user %s and this is user id %d; run as that user or as root, or choose another data folder",
				ErrNotWritable, f.cluster(), owner.name, own)
		case owner.uid != 0:
			owner.drop = own == 0
			return owner, nil
		}
	}
	if own != 0 {
		return account{name: userName(own), uid: own, gid: os.Getegid()}, nil
	}
	for _, name := range []string{"proofroom", "postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if uidErr == nil && gidErr == nil && uid != 0 {
			return account{name: name, uid: uid, gid: gid, drop: true}, nil
		}
	}
	return account{}, fmt.Errorf("%w: PostgreSQL refuses to run as root and there is no user to give it to; make one: useradd --system proofroom", ErrNotWritable)
}

func ownerOf(path string) (account, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return account{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return account{}, errors.New("no owner known")
	}
	return account{name: userName(int(st.Uid)), uid: int(st.Uid), gid: int(st.Gid)}, nil
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}

// letThrough lets the server's user pass through the data folder to its cluster,
// by the folder's group so that nobody else gains anything. It touches only
// folders of root's whose group has no rights yet.
func (f *folder) letThrough() error {
	if !f.account.drop || f.account.passes(f.dir) {
		return nil
	}
	info, err := os.Lstat(f.dir)
	if err != nil {
		return folderError(f.dir, err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid != 0 || info.Mode().Perm()&0o070 != 0 {
		return nil // PostgreSQL's own attempt decides, and blockedAt explains
	}
	if err := os.Lchown(f.dir, -1, f.account.gid); err != nil {
		return folderError(f.dir, err)
	}
	return folderError(f.dir, os.Chmod(f.dir, info.Mode().Perm()|0o010))
}

// passes tells whether the mode of dir lets the account through. It knows
// nothing of access lists, so it serves to help and to explain, not to refuse.
func (a account) passes(dir string) bool {
	info, err := os.Stat(dir)
	if err != nil {
		return true
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	switch {
	case int(st.Uid) == a.uid:
		return info.Mode().Perm()&0o100 != 0
	case int(st.Gid) == a.gid:
		return info.Mode().Perm()&0o010 != 0
	}
	return info.Mode().Perm()&0o001 != 0
}

// blockedAt says which folder on the way keeps the server's user out, if any.
func (f *folder) blockedAt() string {
	for dir := f.dir; ; dir = filepath.Dir(dir) {
		if !f.account.passes(dir) {
			return fmt.Sprintf("user %s cannot pass through %s: run chmod o+x %s, or choose another data folder", f.account.name, dir, dir)
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// major is the version that made the cluster; 0 if there is none yet.
func (f *folder) major() (int, error) {
	text, err := os.ReadFile(filepath.Join(f.cluster(), "PG_VERSION"))
	if err == nil {
		major, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return 0, fmt.Errorf("%w: %s/PG_VERSION says %q, which is no version of PostgreSQL %d or newer; nothing was changed",
				ErrVersion, f.cluster(), strings.TrimSpace(string(text)), minMajor)
		}
		return major, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return 0, folderError(f.cluster(), err)
	}
	entries, err := os.ReadDir(f.cluster())
	if errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0 {
		return 0, nil
	}
	if err != nil {
		return 0, folderError(f.cluster(), err)
	}
	return 0, fmt.Errorf("%w: %s holds files but no PG_VERSION, so it is not a complete database; nothing was changed: move it away or put a backup in its place",
		ErrNotWritable, f.cluster())
}

// mark names this cluster on this machine. A copy of the folder, or the same
// path in a container, has another.
func (f *folder) mark() (string, error) {
	info, err := os.Stat(f.cluster())
	if err != nil {
		return "", folderError(f.cluster(), err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", fmt.Errorf("embedded postgres: %s has no inode", f.cluster())
	}
	return fmt.Sprintf("proofroom-%x-%x", st.Dev, st.Ino), nil
}

// socketDir makes the private folder of the socket: the one named, else run/ in
// the data folder, else one in /run or /tmp if that path would be too long or
// have a comma, at which clients split an address.
func (f *folder) socketDir(named string, port int) (string, error) {
	fits := func(dir string) bool { return len(socketPath(dir, port)) <= maxSocketPath }
	if named != "" {
		dir, err := filepath.Abs(named)
		if err != nil {
			return "", folderError(named, err)
		}
		if !fits(dir) {
			return "", fmt.Errorf("%w: %s has %d bytes and the kernel allows %d; name a shorter runtime folder",
				ErrPathTooLong, socketPath(dir, port), len(socketPath(dir, port)), maxSocketPath)
		}
		if strings.Contains(dir, ",") {
			return "", fmt.Errorf("%w: %s: clients take a comma for the end of the address; name a runtime folder without", ErrNotWritable, dir)
		}
		return dir, f.makePrivate(dir)
	}
	short := fmt.Sprintf("prf-%x", sha256.Sum256([]byte(f.dir)))[:20]
	candidates := []string{f.path("run")}
	if f.account.drop {
		candidates = append(candidates, filepath.Join("/run", short))
	} else {
		candidates = append(candidates, filepath.Join("/run/user", strconv.Itoa(f.account.uid), short))
	}
	candidates = append(candidates, filepath.Join("/tmp", short))
	var failed error
	for _, dir := range candidates {
		if !fits(dir) || strings.Contains(dir, ",") {
			continue
		}
		err := f.makePrivate(dir)
		if err == nil {
			return dir, nil
		}
		failed = errors.Join(failed, err)
	}
	return "", failed
}

func socketPath(dir string, port int) string {
	return filepath.Join(dir, ".s.PGSQL."+strconv.Itoa(port))
}

// makePrivate makes dir a folder that only the server's user (and root) can
// enter. In a folder that everybody can write, such as /tmp, somebody may have
// taken the name before: such a one is refused.
func (f *folder) makePrivate(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return folderError(dir, err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return folderError(dir, err)
	}
	owner, err := ownerOf(dir)
	if err != nil {
		return folderError(dir, err)
	}
	if !info.IsDir() || owner.uid != os.Geteuid() && owner.uid != f.account.uid {
		return fmt.Errorf("%w: %s is not a folder of ours but user %s's; remove it or name another runtime folder", ErrNotWritable, dir, owner.name)
	}
	if err := f.account.give(dir); err != nil {
		return folderError(dir, err)
	}
	return folderError(dir, os.Chmod(dir, 0o700))
}

// write replaces a file of ours at once and durably.
func (f *folder) write(path string, mode os.FileMode, content string) error {
	next := path + ".new"
	file, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return folderError(path, err)
	}
	_, err = file.WriteString(content)
	if err == nil {
		err = file.Chmod(mode)
	}
	if err == nil && f.account.drop && mode&0o070 != 0 {
		err = file.Chown(-1, f.account.gid)
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		_ = os.Remove(next)
		return folderError(path, err)
	}
	return f.sync()
}

// sync makes names in the folder durable.
func (f *folder) sync() error {
	d, err := os.Open(f.dir)
	if err != nil {
		return folderError(f.dir, err)
	}
	defer func() { _ = d.Close() }()
	return folderError(f.dir, d.Sync())
}
