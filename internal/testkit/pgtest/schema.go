package pgtest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"

	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"proofroom/internal/base/pg"
	"proofroom/migrations"
)

// schema is what a template holds: a name that changes with its content, and
// how to make it in the empty database at url.
type schema struct {
	hash    func() (string, error)
	migrate func(ctx context.Context, url string) error
}

// product is the schema that the program itself works with.
var product = schema{hash: productHash, migrate: pg.Migrate}

// productHash covers all that pg.Migrate applies: our migrations and those of
// the job queue's library.
func productHash() (string, error) {
	h := sha256.New()
	err := fs.WalkDir(migrations.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(migrations.FS, path)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(h, "%s %d\n%s", path, len(text), text) // a hash never fails
		return nil
	})
	if err != nil {
		return "", err
	}
	queue, err := rivermigrate.New(riverpgxv5.New(nil), nil)
	if err != nil {
		return "", err
	}
	for _, m := range queue.AllVersions() {
		_, _ = fmt.Fprintf(h, "%d %s", m.Version, m.SQLUp)
	}
	return fmt.Sprintf("%x", h.Sum(nil))[:16], nil
}
