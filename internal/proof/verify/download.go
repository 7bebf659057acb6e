package verify

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
)

// original is the file that all photographs of a world share as their original.
const original = "shared/original"

// Originals gives every photograph an original of so many bytes.
func (w *World) Originals(ctx context.Context, size int) error {
	content := make([]byte, size)
	noise := rand.NewChaCha8([32]byte{})
	_, _ = noise.Read(content)
	if err := os.MkdirAll(filepath.Dir(filepath.Join(w.files(), original)), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(w.files(), original), content, 0o600); err != nil {
		return err
	}
	w.original = sha256.Sum256(content)
	_, err := w.DB.Exec(ctx, `INSERT INTO blobs (photo_id, kind, key, format, bytes, sha256) SELECT id, 'original', $1, 'image/jpeg', $2, $3 FROM photos`,
		original, size, w.original[:])
	return err
}

// files is where the world's files are kept: on its small disk, if it has one.
func (w *World) files() string {
	if w.disk != nil {
		return filepath.Join(w.disk.dir, "files")
	}
	return filepath.Join(w.dir, "files")
}

// Download is one download of an original. may says whether whoever asks has any
// right to it, as the scenario knows; if not, bytes that come are a finding of
// the judge. between is called once the first bytes are there, and the rest is
// read only afterwards; nil: at once. whole reports whether all bytes came.
func (w *World) Download(ctx context.Context, i *Instance, b Buyer, photo uuid.UUID, may bool, between func()) (a Answer, whole bool) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.URL+"/api/v1/photos/"+photo.String()+"/original", nil)
	if err != nil {
		return Answer{Err: err}, false
	}
	req.Header.Set("Authorization", "Bearer "+b.Token)
	a.From = time.Now()
	w.Count(Requests, 1)
	res, err := w.http.Do(req)
	if err != nil {
		a.Err, a.To = err, time.Now()
		return a, false
	}
	defer func() { _ = res.Body.Close() }()
	a.Status, a.Header = res.StatusCode, res.Header
	hash := sha256.New()
	if res.StatusCode == http.StatusOK {
		_, err = io.CopyN(hash, res.Body, 1)
		if between != nil {
			between()
		}
	}
	if err == nil {
		_, err = io.Copy(hash, res.Body)
	}
	a.Err, a.To = err, time.Now()
	w.Span("download "+photo.String(), a.From, a.To)
	whole = res.StatusCode == http.StatusOK && err == nil
	switch {
	case res.StatusCode == http.StatusOK && !may:
		w.found(Finding{CheckAccess, fmt.Sprintf("the original of photograph %s was given to a buyer who has no right to it", photo)})
	case whole && [sha256.Size]byte(hash.Sum(nil)) != w.original:
		w.found(Finding{CheckAccess, fmt.Sprintf("the original of photograph %s came with other bytes", photo)})
	}
	return a, whole
}

// Found notes that a promise was seen broken that only the scenario can judge.
func (w *World) Found(check, format string, args ...any) {
	w.found(Finding{check, fmt.Sprintf(format, args...)})
}

// found notes what a client saw that must not be.
func (w *World) found(f Finding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, f)
}

// sawSomething reports whether anything was found so far.
func (w *World) sawSomething() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.seen) > 0
}
