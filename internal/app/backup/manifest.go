package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"proofroom/internal/base/pg"
)

// format is the version of what a backup looks like.
const format = 1

// Method is how the database was copied.
type Method string

// The methods.
const (
	Base Method = "base" // pg_basebackup of the private PostgreSQL
	Dump Method = "dump" // pg_dump of the operator's database
)

// Size is an amount of files.
type Size struct {
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
}

func (s *Size) add(bytes int64) { s.Files++; s.Bytes += bytes }

// Lost is a file that a row names and that the store did not have, or not as it
// was recorded, when the backup was made.
type Lost struct {
	Key string `json:"key"`
	Why string `json:"why"`
}

// Manifest says what a backup is.
type Manifest struct {
	Format   int       `json:"format"`
	BegunAt  time.Time `json:"begun_at"` // everything committed before is in it
	At       time.Time `json:"at"`       // nothing committed later is in it, by the database's clock
	EndedAt  time.Time `json:"ended_at"`
	Schema   int64     `json:"schema"`
	Method   Method    `json:"method"`
	Postgres string    `json:"postgres"` // "15.18 (Debian ...)"
	Major    int       `json:"postgres_major"`
	Database Size      `json:"database"`
	Blobs    Size      `json:"blobs"`
	Copied   Size      `json:"copied"` // of the blobs; the others are linked to an older backup
	Lost     []Lost    `json:"lost"`
	Folders  []string  `json:"folders"`     // of the database, also empty ones
	Sums     string    `json:"sums_sha256"` // the hash of SHA256SUMS
	Needs    []string  `json:"needs"`       // what a restore needs and is not in here
}

// needs are kept out of backups, so that a stolen one opens no other door.
var needs = []string{
	"the settings of serve (PROOFROOM_... and flags): keys of payment providers, webhook secrets, the mail server's password; keep them where you keep passwords",
	"this program, of the same version or newer, with the darkroom beside it",
}

// write puts the manifest and its hash into dir.
func (m Manifest) write(dir string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	sum := sha256.Sum256(text)
	line := hex.EncodeToString(sum[:]) + "  " + manifestFile + "\n"
	if err := errors.Join(writeFile(filepath.Join(dir, manifestFile), text), writeFile(filepath.Join(dir, hashOfIt), []byte(line))); err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	return nil
}

// writeFile writes a file and waits until it is on the disk.
func writeFile(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Read reads the manifest of the backup in dir and refuses one that was changed
// or that this program cannot restore. It does not look at the rest.
func Read(dir string) (Manifest, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, fmt.Errorf("%w in %s", ErrNoBackup, dir)
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("read the manifest: %w", err)
	}
	stated, err := os.ReadFile(filepath.Join(dir, hashOfIt))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, fmt.Errorf("read the manifest: %w", err)
	}
	sum := sha256.Sum256(text)
	if err != nil || !bytes.Equal(stated, []byte(hex.EncodeToString(sum[:])+"  "+manifestFile+"\n")) {
		return Manifest{}, damaged(dir, "its "+manifestFile+" does not have the hash that "+hashOfIt+" states")
	}
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return Manifest{}, damaged(dir, "its "+manifestFile+" cannot be read: "+err.Error())
	}
	newest, err := pg.Newest()
	if err != nil {
		return Manifest{}, err
	}
	if m.Format > format || m.Schema > newest {
		return Manifest{}, fmt.Errorf("%w: it has schema %d (format %d) and this program knows %d (format %d); nothing was changed: restore it with the proofroom that made it, or a newer one",
			ErrNewer, m.Schema, m.Format, newest, format)
	}
	return m, nil
}

// damaged says what is wrong with a backup, what is safe and what to do.
func damaged(dir string, what ...string) error {
	const enough = 10
	text := strings.Join(what[:min(enough, len(what))], "; ")
	if n := len(what) - enough; n > 0 {
		text += fmt.Sprintf("; and %d more", n)
	}
	return fmt.Errorf("%w: %s: %s. Nothing was restored from it, and it was not changed: use another backup, or bring these files back from a copy of this one", ErrDamaged, dir, text)
}
